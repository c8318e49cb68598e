"""The pipelines that are shipped: each runs as it is but for a tiny model, whose context is short."""

import json
import unittest

from harness import OK, ROOT, TINY, PipelineCase


class Pipelines(PipelineCase):
    def run_shipped(self, path, generates, *settings):
        for stage in generates:
            settings += (f"stage.{stage}.overflow=truncate_middle", f"stage.{stage}.max_new_tokens=8")
        options = [word for setting in (f"model.path={TINY}", *settings) for word in ("--set", setting)]
        out = path.stem
        code, _, stderr = self.tenure("run", path, "--out", out, "--quiet", *options)
        self.assertEqual(code, OK, f"{path}\n{stderr}")
        return [json.loads(line) for line in (self.folder / out / "results.jsonl").read_text(encoding="utf-8").splitlines()]

    def test_a_pipeline_for_every_policy(self):
        shipped = sorted((ROOT / "pipelines" / "policies").glob("*.toml"))
        policies = {path.parent.name.removeprefix("policy_") for path in (ROOT / "plugins").glob("policy_*/*.toml")}
        self.assertEqual({path.stem for path in shipped} | {"full"}, policies)
        for path in shipped:
            rows = self.run_shipped(path, ["full", path.stem])
            self.assertEqual({row["status"] for row in rows}, {"ok"}, path)
            evicted = [row for row in rows if row["stage"] == path.stem]
            self.assertGreater(sum(row["events"]["released"] for row in evicted), 0, path)
            ratios = [row["compare"]["kv.peak_bytes"] for row in rows if row["stage"] == "delta"]
            self.assertEqual(len(ratios), len(evicted))
            self.assertLess(max(ratios), 1, path)

    def test_all_of_them_compared(self):
        # The book is not part of a checkout; any text with pages of that length will do.
        rows = self.run_shipped(ROOT / "pipelines" / "compare_policies.toml", ["full", "evicted"], "stage.prompts.limit=1",
                                f"stage.prompts.path={ROOT / 'docs' / 'pipelines.md'}")
        deltas = [row for row in rows if row["stage"] == "delta"]
        axes = {tuple(row["axes"][f"{table}.{key}"] for table, key in (("policy.evicted", "plugin"), ("policy.evicted", "budget"),
                                                                       ("stage.prompts", "split"))) for row in deltas}
        self.assertEqual((len(deltas), len(axes)), (11 * 3 * 2, 11 * 3 * 2))
        for row in deltas:
            self.assertEqual(row["status"], "ok", row)
            self.assertEqual(row["compare"].keys(), {"exact_match", "agree_tokens", "token_f1", "rouge_l", "kl", "top1", "kv.peak_bytes", "kv.end_bytes"})
            self.assertGreaterEqual(row["compare"]["kl"], 0)
            self.assertLessEqual(row["compare"]["kv.peak_bytes"], 1)
            self.assertLess(row["compare"]["kv.end_bytes"], 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
