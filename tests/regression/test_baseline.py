"""pipelines/regression.toml against the rows that are kept beside it: a run passes, what got worse is caught, and a run after
that passes again. The commands are those of the pipeline's first comment."""

import json
import pathlib
import shlex
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import BAD_DATA, GATE_FAILED, NO_INPUT, OK, ROOT, USAGE, PipelineCase  # noqa: E402

PIPELINE = ROOT / "pipelines" / "regression.toml"
BASELINE = ROOT / "pipelines" / "data" / "regression_baseline.jsonl"


def documented_limits():
    """The --fail-if options of the comment."""
    comment = [line[1:].rstrip("\\") for line in PIPELINE.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return shlex.split(" ".join(line for line in comment if line.strip().startswith("--fail-if")))


class Baseline(PipelineCase):
    def run_now(self, name, *sets):
        code, _, stderr = self.tenure("run", PIPELINE, "--out", self.folder / name, "--quiet", *(w for s in sets for w in ("--set", s)))
        self.assertEqual(code, OK, stderr)
        return self.folder / name

    def compare(self, a, b, *options):
        code, out, stderr = self.tenure("compare", a, b, *options)
        return code, out.decode(), stderr

    def test_a_planted_regression_is_caught_and_a_rerun_passes(self):
        limits = documented_limits()
        self.assertEqual(len(limits), 6)
        code, out, stderr = self.compare(BASELINE, self.run_now("now"), *limits)
        self.assertEqual(code, OK, out + stderr)
        for name, change, worse in [("smaller", "policy.bounded.budget=\"1/2\"", {"perplexity", "delta"}),
                                    ("wider", "policy.bounded.kv_type=f32", {"bounded"})]:
            code, out, stderr = self.compare(BASELINE, self.run_now(name, change), "--json", *limits)
            self.assertEqual(code, GATE_FAILED, out + stderr)
            self.assertEqual({limit["stage"] for limit in json.loads(out)["limits"] if limit["holds"]}, worse)
        code, out, stderr = self.compare(BASELINE, self.run_now("again"), *limits)
        self.assertEqual(code, OK, out + stderr)

    def test_the_figures_are_those_of_the_rows(self):
        now = self.run_now("now", "policy.bounded.budget=\"1/2\"")
        code, out, stderr = self.compare(BASELINE, now, "--json", "--fail-if", "perplexity/score.ppl > 1000% @95%")
        self.assertEqual(code, OK, stderr)
        rows = [{row["id"]: row["score"]["ppl"] for row in map(json.loads, path.read_bytes().splitlines()) if row["stage"] == "perplexity"}
                for path in (BASELINE, now / "results.jsonl")]
        changes = [rows[1][id] - rows[0][id] for id in rows[0]]
        mean = sum(changes) / len(changes)
        deviation = (sum((c - mean) ** 2 for c in changes) / (len(changes) - 1)) ** 0.5
        half = 2.093024 * deviation / len(changes) ** 0.5  # Student's t, 19 degrees of freedom
        said = json.loads(out)["metrics"]
        self.assertEqual([(m["stage"], m["metric"], m["n"]) for m in said], [("perplexity", "score.ppl", 20)])
        self.assertAlmostEqual(said[0]["change"], mean, places=6)
        for ours, expected in zip(said[0]["ci95"], (mean - half, mean + half), strict=True):
            self.assertAlmostEqual(ours, expected, delta=1e-3 * half)

    def test_missing_rows_are_an_error_unless_allowed(self):
        short = self.folder / "short.jsonl"
        short.write_bytes(b"".join(BASELINE.read_bytes().splitlines(keepends=True)[:-1]))
        for a, b, only in ((BASELINE, short, "A only"), (short, BASELINE, "B only")):
            code, out, stderr = self.compare(a, b)
            self.assertEqual((code, out), (BAD_DATA, ""), stderr)
            self.assertIn(only, stderr)
            self.assertEqual(self.compare(a, b, "--allow-missing")[0], OK)

    def test_limits_that_say_nothing(self):
        for limit, expected, words in [("score.ppl", USAGE, "there is no < or >"), ("score.ppl > many", USAGE, "no number"),
                                       ("/score.ppl > 1", USAGE, "no stage"), ("kv.peak_bytes > 1pp", USAGE, "shares"),
                                       ("score.ppl > 1 @2", USAGE, "confidence"), ("bounded/score.ppl > 1", BAD_DATA, "no pair"),
                                       ("bounded/events.rebuilt > 1%", BAD_DATA, "mean in A is 0")]:
            code, _, stderr = self.compare(BASELINE, BASELINE, "--fail-if", limit)
            self.assertEqual(code, expected, stderr)
            self.assertIn(words, stderr)
        self.assertEqual(self.compare(BASELINE, self.folder)[0], NO_INPUT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
