"""Other people's plugins in real runs: a second backend, and a policy that was built outside the tree."""

import json
import subprocess
import unittest

from harness import OK, POLICIES, ROOT, TEST_PLUGINS, TINY, PipelineCase, generate, pipeline, reader, tokens, verdict


class Plugins(PipelineCase):
    def test_first_toml_gives_the_same_tokens_on_both_backends(self):
        first = ROOT / "pipelines" / "first.toml"
        settings = [f"model.path={TINY}"]
        for policy in ("full", "streaming_llm", "h2o", "random"):
            # f32 throughout, so that no rounding of one backend's can turn a token; the tiny model's context is short.
            settings += [f"policy.{policy}.kv_type=f32", f"stage.{policy}.overflow=truncate_middle", f"stage.{policy}.max_new_tokens=8"]
        options = [word for setting in settings for word in ("--set", setting)]
        tokens_of = {}
        for backend in ("cpu", "toy"):
            code, _, stderr = self.tenure("run", first, "--out", backend, "--backend", backend, "--plugin-dir", TEST_PLUGINS,
                                          "--quiet", *options)
            self.assertEqual(code, OK, stderr)
            lines = (self.folder / backend / "results.jsonl").read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines]
            self.assertEqual({row["status"] for row in rows}, {"ok"})
            self.assertGreater(sum(row["events"]["released"] for row in rows), 0)
            tokens_of[backend] = {(row["id"], row["stage"]): row["tokens"] for row in rows}
        self.assertEqual(len(tokens_of["cpu"]), 28)
        self.assertEqual(tokens_of["cpu"], tokens_of["toy"])

    def test_a_policy_built_outside_the_tree_runs_in_a_pipeline(self):
        code, _, advice = self.tenure("plugin", "new", "policy", "mine")
        self.assertEqual(code, OK, advice)
        source = (self.folder / "mine" / "policy_mine.c").read_text(encoding="utf-8")
        lines = [line for line in source.splitlines() if line.strip() and not line.strip().startswith(("/*", "*", "//"))]
        self.assertLessEqual(len(lines), 60)
        build = next(line.strip() for line in advice.splitlines() if line.strip().startswith("cmake"))
        subprocess.run(build, shell=True, cwd=self.folder, check=True, capture_output=True)
        library = next(self.folder.glob("mine/**/libtenure_policy_mine.so"))
        mine = {"plugin": str(library), "budget": 40, "chunk": 32}
        requests = [{"id": f"r{i}", "tokens": tokens(i, 120)} for i in range(3)]
        run = self.run_tenure(pipeline([reader(), generate("mine"), generate("full")], {**POLICIES, "mine": mine}), requests)
        for i in range(3):
            row = run.row(f"r{i}", "mine")
            self.assertEqual(row["status"], "ok", row["error"])
            self.assertGreater(row["events"]["released"], 0)
            self.assertLess(row["kv"]["peak_bytes"], run.row(f"r{i}", "full")["kv"]["peak_bytes"])
            self.assertNotEqual(verdict(row)[0][0][0], [])


if __name__ == "__main__":
    unittest.main()
