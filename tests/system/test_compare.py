"""The compare stage: which rows it joins, what they say, what gates make of them, and that a kill leaves each of them once."""

import json
import os
import signal
import unittest

from harness import BAD_PLAN, DATA, GATE_FAILED, OK, PipelineCase, generate, pipeline, reader, score, tokens

METRICS = ["exact_match", "agree_tokens", "token_f1", "rouge_l", "kv.peak_bytes"]
POLICIES = {"full": {"plugin": "full"}, "h2o": {"plugin": "h2o", "budget": 20, "chunk": 16}}


def compare(others, id="delta", metrics=METRICS, reference="full"):
    return {"id": id, "kind": "compare", "from": [reference, *others], "metrics": metrics}


def requests(n, length=80):
    return [{"id": f"{i}", "tokens": tokens(i, length), "metadata": {"n": i}, "label": "even" if i % 2 == 0 else "odd"} for i in range(n)]


def agreeing(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


class Compare(PipelineCase):
    def test_rows_join_by_id_and_sample(self):
        stages = [reader(), generate("full", samples=2, temperature=0.7), generate("h2o", samples=2, temperature=0.7), compare(["h2o"])]
        run = self.run_tenure(pipeline(stages, POLICIES), requests(5))
        self.assertEqual(sum(row["stage"] == "delta" for row in run.lines), 10)
        for i in range(5):
            for sample in range(2):
                reference, other, delta = (run.row(f"{i}", stage, sample=sample) for stage in ("full", "h2o", "delta"))
                self.assertEqual((delta["status"], delta["metadata"], delta["policy"], delta["error"]), ("ok", {"n": i}, "h2o", None))
                said = delta["compare"]
                self.assertEqual(list(said), METRICS)
                self.assertEqual(said["agree_tokens"], agreeing(reference["tokens"], other["tokens"]))
                self.assertEqual(said["exact_match"], float(reference["text"].strip() == other["text"].strip()))
                self.assertAlmostEqual(said["kv.peak_bytes"], other["kv"]["peak_bytes"] / reference["kv"]["peak_bytes"])
                self.assertLess(said["kv.peak_bytes"], 1)
        cell = next(c for c in run.summary["cells"] if c["stage"] == "delta")
        self.assertEqual((cell["n"]["ok"], cell["metrics"]["compare.agree_tokens"]["n"]), (10, 10))
        self.assertEqual(self.tenure("report", run.directory)[0], OK)
        self.assertIn("Against the reference", (run.directory / "report.html").read_text(encoding="utf-8"))

    def test_a_stage_agrees_with_itself(self):
        stages = [reader(), generate("full"), generate("full", "again"), compare(["again"])]
        run = self.run_tenure(pipeline(stages, POLICIES), requests(3))
        for row in run.lines:
            if row["stage"] == "delta":
                self.assertEqual(row["compare"], {"exact_match": 1, "agree_tokens": 16, "token_f1": 1, "rouge_l": 1, "kv.peak_bytes": 1})

    def test_a_shared_reference_is_joined_to_every_cell(self):
        matrix = {"policy.h2o.budget": [20, 30]}
        view = {"id": "view", "kind": "write_jsonl", "from": "delta", "path": "delta.jsonl", "fields": ["id", "compare"]}
        stages = [reader(), generate("full"), generate("h2o"), compare(["h2o"]), view]
        run = self.run_tenure(pipeline(stages, POLICIES, matrix=matrix), requests(3))
        deltas = [row for row in run.lines if row["stage"] == "delta"]
        self.assertEqual({(row["id"], row["cell"]) for row in deltas},
                         {(f"{i}", f"policy.h2o.budget={budget}") for i in range(3) for budget in (20, 30)})
        self.assertEqual({row["axes"]["policy.h2o.budget"] for row in deltas}, {20, 30})
        for row in deltas:
            other, reference = run.row(row["id"], "h2o", cell=row["cell"]), run.row(row["id"], "full")
            self.assertEqual(row["compare"]["agree_tokens"], agreeing(reference["tokens"], other["tokens"]))
        lines = (run.directory / "delta.jsonl").read_bytes().splitlines()
        self.assertEqual(len(lines), 6)
        self.assertEqual(set(json.loads(lines[0])["compare"]), set(METRICS))

    def test_the_reference_may_vary_and_the_other_be_shared(self):
        matrix = {"policy.h2o.budget": [20, 30]}
        stages = [reader(), generate("full"), generate("h2o"), compare(["full"], reference="h2o", metrics=["kv.peak_bytes"])]
        run = self.run_tenure(pipeline(stages, POLICIES, matrix=matrix), requests(2))
        deltas = [row for row in run.lines if row["stage"] == "delta"]
        self.assertEqual(len(deltas), 4)
        self.assertTrue(all(row["compare"]["kv.peak_bytes"] > 1 for row in deltas))

    def test_several_stages_against_one_reference(self):
        stages = [reader(), generate("full"), generate("h2o"), generate("full", "again"), compare(["h2o", "again"], metrics=["agree_tokens"])]
        gates = [{"stage": "delta", "metric": "again.agree_tokens", "min": 16}, {"stage": "delta", "metric": "compare.h2o.agree_tokens", "max": 16}]
        run = self.run_tenure(pipeline(stages, POLICIES, gates=gates), requests(2))
        row = run.row("0", "delta")
        self.assertEqual(set(row["compare"]), {"h2o.agree_tokens", "again.agree_tokens"})
        self.assertEqual(row["compare"]["again.agree_tokens"], 16)

    def test_what_is_not_ok_is_skipped(self):
        # Nothing is kept of the full cache where it does not fit.
        policies = {"full": {"plugin": "full"}, "h2o": {"plugin": "h2o", "budget": 16, "chunk": 16}}
        bad = [{"id": "bad", "prompt": 1}]
        text = pipeline([reader(), generate("full"), generate("h2o"), compare(["h2o"])], policies, engine={"memory": "128 KiB"}, run={"max_errors": 9})
        run = self.run_tenure(text, [*requests(1), {"id": "long", "tokens": tokens(9, 400)}, *bad])
        self.assertEqual({i: run.row(i, "full")["status"] for i in ("0", "long", "bad")}, {"0": "ok", "long": "limit", "bad": "error"})
        self.assertEqual({i: run.row(i, "delta")["status"] for i in ("0", "long", "bad")}, {"0": "ok", "long": "skipped", "bad": "skipped"})
        said = run.row("long", "delta")
        self.assertEqual((said["compare"], said["error"]["code"]), (None, "memory"))
        self.assertIn('stage "full"', said["error"]["message"])

    def test_gates_by_either_name(self):
        stages = [reader(), generate("full"), generate("h2o"), compare(["h2o"])]
        for metric in ("agree_tokens", "compare.agree_tokens"):
            run = self.run_tenure(pipeline(stages, POLICIES, gates=[{"stage": "delta", "metric": metric, "min": 16}]), requests(3), expect=GATE_FAILED)
            self.assertEqual((run.summary["gates"][0]["status"], run.summary["gates"][0]["n"]), ("failed", 3))
        smaller = {"stage": "delta", "metric": "kv.peak_bytes", "max": 0.9, "where": {"label": "odd"}}
        run = self.run_tenure(pipeline(stages, POLICIES, gates=[smaller]), requests(3))
        self.assertEqual(run.summary["gates"][0]["n"], 1)

    def test_plans_that_cannot_be_compared(self):
        both = [reader(), generate("full"), generate("h2o")]
        scored = [reader(), score("full"), generate("h2o")]
        for stages, gates, words in [
            ([*both, compare([])], (), "at least one stage to compare"),
            ([*both, compare(["full"])], (), "twice"),
            ([*both, compare(["requests"])], (), "takes rows"),
            ([*both, compare(["h2o"], metrics=["peak_bytes"])], (), 'did you mean \\"kv.peak_bytes\\"?'),
            ([*both, compare(["h2o"], metrics=[])], (), "at least one metric"),
            ([*both, compare(["h2o"], metrics=["rouge_l", "rouge_l"])], (), "twice"),
            ([*both, compare(["h2o"]), compare(["delta"], id="again")], (), "rows of its own kind"),
            ([*scored, compare(["h2o"])], (), "generates nothing"),
            ([*both, compare(["h2o"])], [{"stage": "delta", "metric": "timing.ttft_ms", "max": 1}], "no metric of stage"),
            ([*both, compare(["h2o"])], [{"stage": "delta", "metric": "kv.peak_bytes", "max": 1, "versus": "full"}], "relative already"),
            ([*both, compare(["h2o"])], [{"stage": "delta", "metric": "kv.peak_bytes", "max": "1 MiB"}], "a number"),
        ]:
            run = self.run_tenure(pipeline(stages, POLICIES, gates=gates), requests(1), expect=BAD_PLAN)
            self.assertIn(words.replace('\\"', '"'), run.stderr)

    def test_plan_graph_and_validate_know_it(self):
        path = self.write(pipeline([reader(), generate("full"), generate("h2o"), compare(["h2o"])], POLICIES, matrix={"policy.h2o.budget": [20, 30]}), requests(2))
        self.assertEqual(self.tenure("validate", path)[0], OK)
        code, out, stderr = self.tenure("plan", path)
        self.assertEqual(code, OK, stderr)
        self.assertIn("stage.delta.kind = compare", out.decode())
        graph = json.loads(self.tenure("graph", path, "--format", "json")[1])
        self.assertEqual(next(node["cells"] for node in graph["nodes"] if node["id"] == "delta"), 2)
        self.assertEqual([edge["from"] for edge in graph["edges"] if edge["to"] == "delta"], ["full", "h2o"])


class Resume(PipelineCase):
    def text(self):
        return pipeline([reader(), generate("full", max_new_tokens=4), generate("h2o", max_new_tokens=4), compare(["h2o"])], POLICIES,
                        matrix={"policy.h2o.budget": [20, 30]})

    def test_a_kill_at_any_moment_leaves_each_joined_row_once(self):
        whole = self.run_tenure(self.text(), requests(40)).rows
        path = self.folder / "pipeline.toml"
        for n_lines in (20, 90, 130, 190):
            out = self.folder / f"killed-{n_lines}"
            results = out / "results.jsonl"
            with self.started(path, out) as process:
                self.wait_for(lambda: (results.exists() and results.read_bytes().count(b"\n") >= n_lines) or process.poll() is not None, "rows")
                if process.poll() is None:
                    os.kill(process.pid, signal.SIGKILL)
            run = self.run_tenure(self.text(), out=out.name)
            self.assertEqual(len(run.lines), len(whole))
            self.assertEqual({k: r["compare"] for k, r in run.rows.items()}, {k: r["compare"] for k, r in whole.items()})

    def test_rows_lost_in_the_middle_of_joining_are_joined_by_the_next_run(self):
        run = self.run_tenure(self.text(), requests(10))
        results = run.directory / "results.jsonl"
        lines = results.read_bytes().splitlines(keepends=True)
        results.write_bytes(b"".join(lines[:-3]))
        (run.directory / "DONE").unlink()
        code, out, stderr = self.tenure("plan", self.folder / "pipeline.toml", "--out", run.directory, "--plugin-dir", "/")
        self.assertIn("delta            skips 7 of 10 rows", out.decode(), stderr)
        again = self.run_tenure(self.text(), out=run.directory.name)
        self.assertEqual(sorted(map(str, again.rows)), sorted(str((r["id"], r["cell"], r["stage"], r["sample"])) for r in map(json.loads, lines)))
        self.assertEqual(len(again.lines), len(lines))

    def test_a_retried_side_is_compared_again(self):
        text = pipeline([reader(), generate("full"), generate("h2o"), compare(["h2o"])], POLICIES, run={"max_errors": 9})
        run = self.run_tenure(text, requests(3))
        results = run.directory / "results.jsonl"
        rows = run.lines
        for row in rows:  # as if the policy had failed once
            if row["id"] == "1" and row["stage"] == "h2o":
                row.update(status="error", error={"code": "plugin_error", "message": "made up", "plugin": None})
            if row["id"] == "1" and row["stage"] == "delta":
                row.update(status="skipped", compare=None)
        results.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        code, _, stderr = self.tenure("resume", run.directory, "--retry-errors", "--quiet")
        self.assertEqual(code, OK, stderr)
        self.assertEqual(len(run.lines), len(rows) + 2)
        self.assertEqual((run.row("1", "delta")["status"], run.row("1", "delta")["attempt"]), ("ok", 2))


if __name__ == "__main__":
    unittest.main(verbosity=2)
