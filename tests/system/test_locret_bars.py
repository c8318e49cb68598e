"""scripts/locret_bars.py holds every bar against figures that meet it and figures that do not; scripts/random_heads.py keeps a
file's shapes."""

import json
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
N_DOCUMENTS = 2


def estimate(mean):
    return {"mean": mean, "ci95": [mean, mean], "n": N_DOCUMENTS}


def line(policy, budget, kl=0.05, keyed=0.97, number=1.0, peak=0.3):
    digits = [{"instrument": "keyed", "tokens": 100, "correct": round(100 * keyed)}]
    return {
        "policy": policy, "budget": budget, "kv_end_of_full": 0.13, "kv_peak_of_full": peak,
        "instruments": {"keyed": {"accuracy": estimate(keyed)}, "copy": {"accuracy": estimate(0.95)},
                        "r_number": {"exact": estimate(number)}, "sentence": {"exact": estimate(0.9)},
                        "continuation": {"kl": estimate(kl)}},
        "retrieval": {"of_full": estimate(0.98)},
        "documents": [{"questions": digits} for _ in range(N_DOCUMENTS)]}


def locret(budgets, **figures):
    return [line("full", "", kl=0, peak=1)] + [line("locret", budget, **figures) for budget in budgets]


def good_parts():
    budgets = ("1/4", "1/8", "1/16")
    rivals = [line(policy, budget, kl=0.1, keyed=0.4) for policy in ("h2o", "knorm", "keydiff", "snapkv", "tova") for budget in budgets[:2]]
    return {"rivals": locret(()) + rivals, "global": locret(budgets), "head": locret(budgets[:2], kl=0.1),
            "noise-global": locret(budgets), "noise-head": locret(budgets[:2]), "context-2048": locret(("1/8",)),
            "context-4096": locret(("1/8",), peak=0.18), "global-q8_0": locret(("1/8",), kl=0.051),
            "global-q4": locret(("1/8",), kl=0.06), "control-continuation": locret(("1/8",), keyed=0.1),
            "control-random": locret(("1/8",), keyed=0.1)}


class LocretBars(unittest.TestCase):
    def judge(self, parts, *scale):
        with tempfile.TemporaryDirectory() as folder:
            heads, others = Path(folder) / "heads", Path(folder) / "others"
            for part, lines in parts.items():
                of_part = (others if part == "rivals" else heads) / part
                of_part.mkdir(parents=True)
                (of_part / "eval.json").write_text(json.dumps({"lines": lines}), encoding="utf-8")
            return subprocess.run([sys.executable, "-B", SCRIPTS / "locret_bars.py", heads, others, *scale], capture_output=True,
                                  text=True, check=False)

    def test_all_hold(self):
        result = self.judge(good_parts())
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("0 fall short", result.stdout)

    def test_each_figure_that_falls_short_is_named(self):
        for part, replaced, named in (
                ("global", locret(("1/4", "1/8", "1/16"), keyed=0.85), "global 1/8: keyed numbers"),
                ("global", locret(("1/4", "1/8", "1/16"), kl=0.13), "global 1/8: KL beyond H2O's"),
                ("global", locret(("1/4", "1/8", "1/16"), peak=0.45), "global 1/8, 1024 tokens: peak bytes"),
                ("head", locret(("1/4", "1/8"), kl=0.4), "equal heads 1/8: KL"),
                ("noise-global", locret(("1/4", "1/8", "1/16"), number=0.9), "global 1/16: R.Number"),
                ("rivals", locret(()) + [line(policy, budget, keyed=0.6) for policy in ("h2o", "knorm", "keydiff", "snapkv", "tova")
                                         for budget in ("1/4", "1/8")], "global 1/8: keyed numbers beyond"),
                ("context-4096", locret(("1/8",), keyed=0.85, peak=0.18), "global 1/8, 4096 tokens: keyed numbers"),
                ("global-q4", locret(("1/8",), keyed=0.9), "KV q4: keyed numbers lost"),
                ("control-continuation", locret(("1/8",), keyed=0.5), "must fail")):
            with self.subTest(named=named):
                result = self.judge({**good_parts(), part: replaced})
                self.assertEqual(result.returncode, 1, result.stderr)
                short = [row for row in result.stdout.splitlines() if "falls short" in row]
                self.assertTrue(any(named in row for row in short), result.stdout)

    def test_what_the_full_cache_cannot_answer_falls_short(self):
        parts = good_parts()
        for found in parts["global"]:
            del found["retrieval"]
            del found["instruments"]["copy"]
        result = self.judge(parts)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("| global 1/8: all retrieval, of full | nan | ≥ 0.950 | **falls short** |", result.stdout)

    def test_a_scale_lowers_the_bars(self):
        parts = {**good_parts(), "global": locret(("1/4", "1/8", "1/16"), keyed=0.91)}
        self.assertEqual(self.judge(parts).returncode, 1)
        self.assertEqual(self.judge(parts, "0.95").returncode, 0)

    def test_a_missing_line_is_said(self):
        result = self.judge({**good_parts(), "global": locret(("1/4",))})
        self.assertEqual(result.returncode, 1)
        self.assertIn("no line of locret at 1/8", result.stderr)


class RandomHeads(unittest.TestCase):
    def test_shapes_and_metadata_stay(self):
        shape = [64, 100]
        header = json.dumps({"__metadata__": {"policy": "locret"},
                             "layers.0.w1": {"dtype": "F16", "shape": shape, "data_offsets": [0, 2 * 6400]}}).encode()
        with tempfile.TemporaryDirectory() as folder:
            heads, out = Path(folder) / "heads", Path(folder) / "out"
            heads.write_bytes(struct.pack("<Q", len(header)) + header + bytes(2 * 6400))
            subprocess.run([sys.executable, "-B", SCRIPTS / "random_heads.py", heads, out], check=True)
            made = out.read_bytes()
        self.assertEqual(made[: 8 + len(header)], heads_head(header))
        values = struct.unpack("<6400e", made[8 + len(header):])
        self.assertAlmostEqual(sum(values) / 6400, 0, delta=0.01)
        self.assertAlmostEqual(sum(v * v for v in values) / 6400, 1 / 100, delta=0.001)


def heads_head(header):
    return struct.pack("<Q", len(header)) + header


if __name__ == "__main__":
    unittest.main(verbosity=2)
