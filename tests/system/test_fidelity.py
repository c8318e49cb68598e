"""kl and top1: a stage predicts the tokens of its reference. What must be 0, what must not, that nothing else of a row changes,
and that the reference's logits survive a kill and go with the last cell."""

import math
import os
import signal
import unittest

from harness import BAD_PLAN, OK, TINY, PipelineCase, generate, lasting, pipeline, reader, score, tokens
from tiny_llama import TinyLlama

POLICIES = {"full": {"plugin": "full"}, "h2o": {"plugin": "h2o", "budget": "1/4", "chunk": 16}}
METRICS = ["kl", "top1", "agree_tokens"]
ROUNDING = 2e-4  # the reference's logits are kept in f16, and rows of a prompt are computed otherwise than decoded ones


def compare(others, id="delta", metrics=METRICS, reference="full"):
    return {"id": id, "kind": "compare", "from": [reference, *others], "metrics": metrics}


def requests(n, length=100):
    return [{"id": f"{i}", "tokens": tokens(i, length)} for i in range(n)]


def deltas(run):
    return {key: row["compare"] for key, row in run.rows.items() if row["stage"] == "delta"}


def log_softmax(logits):
    most = max(logits)
    total = most + math.log(sum(math.exp(v - most) for v in logits))
    return [v - total for v in logits]


def divergence(p, q):
    return sum(math.exp(a) * (a - b) for a, b in zip(log_softmax(p), log_softmax(q), strict=True))


class Fidelity(PipelineCase):
    def test_the_same_cache_predicts_the_same_whatever_it_says_itself(self):
        # The reference draws its tokens, the other stage takes the likeliest: only teacher forcing makes them agree.
        stages = [reader(), generate("full", temperature=1.5, seed=3, samples=2), generate("full", "greedy", samples=2), compare(["greedy"])]
        run = self.run_tenure(pipeline(stages, POLICIES), requests(4))
        self.assertEqual(len(deltas(run)), 8)
        for said in deltas(run).values():
            self.assertLess(said["kl"], ROUNDING)
            self.assertEqual(said["top1"], 1)
            self.assertLess(said["agree_tokens"], 16)

    def test_the_figures_are_those_of_the_published_formulas(self):
        # One chunk of 32 tokens, of which the first 4 and the last 16 stay.
        keeps = {"plugin": "streaming_llm", "budget": 20, "n_sink": 4, "chunk": 32, "positions": "original", "kv_type": "f32"}
        policies = {"full": {"plugin": "full", "kv_type": "f32"}, "window": keeps}
        run = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=10), generate("window"), compare(["window"])], policies), requests(2, 32))
        oracle = TinyLlama(TINY)
        for i in range(2):
            ids = tokens(i, 32) + run.row(f"{i}", "full")["tokens"]
            expected = oracle.logits(ids[:-1])[31:]
            predicted = oracle.logits(ids[:-1], released=(32, range(4, 16)))[31:]
            divergences = [divergence(p, q) for p, q in zip(expected, predicted, strict=True)]
            self.assertLess(divergences[0], 1e-12)  # the first token follows the whole prompt
            same = [p.index(max(p)) == q.index(max(q)) for p, q in zip(expected, predicted, strict=True)]
            said = run.row(f"{i}", "delta")["compare"]
            self.assertAlmostEqual(said["kl"] / (sum(divergences) / 10), 1, delta=0.01)
            self.assertAlmostEqual(said["top1"], sum(same) / 10)

    def test_what_was_released_shows_and_more_shows_more(self):
        means = []
        for budget in ("7/8", "1/4"):
            policies = {**POLICIES, "h2o": {**POLICIES["h2o"], "budget": budget}}
            run = self.run_tenure(pipeline([reader(), generate("full"), generate("h2o"), compare(["h2o"])], policies), requests(6))
            means.append(sum(said["kl"] for said in deltas(run).values()) / 6)
            self.assertTrue(all(0 <= said["top1"] <= 1 for said in deltas(run).values()))
        self.assertGreater(means[0], 10 * ROUNDING)
        self.assertGreater(means[1], means[0])

    def test_the_rows_are_otherwise_those_of_a_run_without_it(self):
        stages = [reader(), generate("full"), generate("h2o")]
        plain = self.run_tenure(pipeline(stages, POLICIES), requests(4))
        compared = self.run_tenure(pipeline([*stages, compare(["h2o"])], POLICIES), requests(4))
        for key, row in plain.rows.items():
            self.assertEqual({**lasting(compared.rows[key]), "fidelity": None}, lasting(row))
        self.assertEqual(set(compared.row("0", "h2o")["fidelity"]), {"kl", "top1"})
        self.assertIsNone(compared.row("0", "full")["fidelity"])

    def test_a_shared_reference_serves_every_cell_and_its_logits_go_at_the_end(self):
        matrix = {"policy.h2o.budget": ["3/4", "1/4"]}
        run = self.run_tenure(pipeline([reader(), generate("full"), generate("h2o"), compare(["h2o"])], POLICIES, matrix=matrix), requests(3))
        self.assertEqual(len(deltas(run)), 6)
        self.assertTrue(all(set(said) == set(METRICS) for said in deltas(run).values()))
        self.assertFalse((run.directory / "logits").exists())
        cell = next(c for c in run.summary["cells"] if c["stage"] == "delta")
        self.assertEqual(cell["metrics"]["compare.kl"]["n"], 3)

    def test_a_kill_keeps_the_logits_and_the_figures(self):
        text = pipeline([reader(), generate("full", max_new_tokens=6), generate("h2o", max_new_tokens=6), compare(["h2o"])], POLICIES,
                        matrix={"policy.h2o.budget": ["3/4", "1/4"]})
        whole = deltas(self.run_tenure(text, requests(30)))
        for n_lines in (10, 45, 75, 130):
            out = self.folder / f"killed-{n_lines}"
            results = out / "results.jsonl"
            with self.started(self.folder / "pipeline.toml", out) as process:
                self.wait_for(lambda: (results.exists() and results.read_bytes().count(b"\n") >= n_lines) or process.poll() is not None, "rows")
                if process.poll() is None:
                    os.kill(process.pid, signal.SIGKILL)
                    self.assertTrue((out / "logits").exists())
            self.assertEqual(deltas(self.run_tenure(text, out=out.name)), whole)

    def test_a_reference_is_run_again_where_its_logits_are_gone(self):
        text = pipeline([reader(), generate("full"), generate("h2o"), compare(["h2o"])], POLICIES)
        run = self.run_tenure(text, requests(3))
        before = deltas(run)
        results = run.directory / "results.jsonl"
        kept = [line for line in results.read_bytes().splitlines(keepends=True) if b'"id":"1"' not in line or b'"stage":"full"' in line]
        results.write_bytes(b"".join(kept))
        (run.directory / "DONE").unlink()
        again = self.run_tenure(text, out=run.directory.name)
        self.assertEqual(deltas(again), before)
        self.assertEqual({key[0]: row["attempt"] for key, row in again.rows.items() if row["stage"] == "full"}, {"0": 1, "1": 2, "2": 1})

    def test_a_bad_request_and_segments_have_no_figure(self):
        several = {"id": "s", "segments": [{"text": "the policy"}, {"text": " keeps", "generate": 4}]}
        text = pipeline([reader(), generate("full"), generate("h2o"), compare(["h2o"])], POLICIES, run={"max_errors": 9})
        run = self.run_tenure(text, [*requests(1), several, {"id": "bad", "prompt": 1}])
        self.assertEqual(set(run.row("s", "delta")["compare"]), {"agree_tokens"})
        self.assertEqual(run.row("bad", "delta")["status"], "skipped")
        self.assertEqual(set(run.row("0", "delta")["compare"]), set(METRICS))

    def test_gates_judge_them(self):
        gates = [{"stage": "delta", "metric": "kl", "max": ROUNDING}, {"stage": "delta", "metric": "top1", "min": 1}]
        self.run_tenure(pipeline([reader(), generate("full"), generate("full", "again"), compare(["again"])], POLICIES, gates=gates), requests(2), expect=OK)

    def test_plans_where_it_is_impossible(self):
        both = [reader(), generate("full"), generate("h2o")]
        third = generate("h2o", "third")
        for stages, matrix, words in [
            ([reader(), generate("full"), score("h2o"), compare(["h2o"])], None, "generates nothing"),
            ([*both, third, compare(["h2o"]), compare(["h2o"], id="again", reference="third")], None, "has another reference"),
            ([*both, third, compare(["h2o"]), compare(["third"], id="again", reference="h2o")], None, "has a reference itself"),
            ([*both, compare(["full"], reference="h2o")], {"policy.h2o.budget": ["1/2", "1/4"]}, "runs once for all cells"),
            ([*both, {**reader(), "id": "others"}, {**third, "from": "others"}, compare(["third"])], None, "read different requests"),
        ]:
            run = self.run_tenure(pipeline(stages, POLICIES, matrix=matrix), requests(1), expect=BAD_PLAN)
            self.assertIn(words, run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
