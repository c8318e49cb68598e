#!/usr/bin/env python3
"""The comparison's own test: how a ratio is made, when it is refused, and one whole run against stand-in programs."""

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("compare", str(BENCH / "compare"))
spec = importlib.util.spec_from_loader("compare", loader)
compare = importlib.util.module_from_spec(spec)
sys.modules["compare"] = compare
loader.exec_module(compare)

SPEED = compare.Metric("full", "decode_tps")
MEMORY = compare.Metric("full", "max_rss_bytes")


def pair(ours: float, off: float, on: float, figure: str = "decode_tps", other_cpu: float = 0.0):
    def figures(value: float, share: float = 0.0):
        return compare.Figures({figure: value}, share, 1.0)

    return compare.Pair({"full": figures(ours, other_cpu)}, {"off": figures(off), "on": figures(on)}, [40.0])


class Ratio(unittest.TestCase):
    def test_speed_is_against_the_faster_setting(self):
        self.assertEqual(pair(300, 100, 150).ratio(SPEED), 2.0)
        self.assertEqual(pair(300, 150, 100).ratio(SPEED), 2.0)

    def test_memory_is_against_the_smaller_setting(self):
        self.assertEqual(pair(100, 200, 400, "max_rss_bytes").ratio(MEMORY), 0.5)

    def test_the_median_of_ratios_not_the_ratio_of_medians(self):
        pairs = [pair(100, 100, 1), pair(400, 200, 1), pair(900, 100, 1)]
        self.assertEqual(compare.ratio_of(pairs, SPEED, 3), 2.0)

    def test_noisy_pairs_do_not_count(self):
        pairs = [pair(100, 100, 1), pair(900, 100, 1, other_cpu=0.5), pair(100, 100, 1)]
        self.assertEqual(compare.ratio_of(pairs, SPEED, 2), 1.0)
        self.assertIsNone(compare.ratio_of(pairs, SPEED, 3))

    def test_flatness_is_our_deep_decode_over_our_shallow_one(self):
        deep = pair(0, 1, 1)
        deep.ours["evicted"] = compare.Figures({"decode_tps": 150.0}, 0.0, 1.0)
        self.assertEqual(compare.flatness({"decode": [pair(200, 1, 1)], "8k": [deep]}), 0.75)
        self.assertIsNone(compare.flatness({"decode": [pair(200, 1, 1)]}))


class WholeRun(unittest.TestCase):
    """Stand-ins answer as the real programs do; what is checked is the commands they get and the file that comes out."""

    def run_compare(self, folder: Path, *options: str) -> subprocess.CompletedProcess:
        bandwidth = {"read_gbps_1t": 20.0, "read_gbps": 40.0}
        run = {"sequences": 1, "prefill": {"tps": {"median": 400.0}}, "decode": {"tps": {"median": 80.0}, "gbps": 12.0},
               "peak_resident_bytes": 2**20, "other_cpu": None}
        answers = {
            "llama-bench": '{"n_prompt": 512, "n_gen": 0, "samples_ts": [90.0, 100.0, 120.0]}',
            "llama-batched-bench": '{"pp": 8000, "speed_pp": 200.0, "speed_tg": 20.0}',
            "llama-completion": "x",
            "tenure": json.dumps({"probe": {"before": bandwidth, "after": bandwidth}, "runs": [run]}),
        }
        for name, answer in answers.items():
            program = folder / name
            program.write_text(f"#!/bin/sh\necho \"$(basename $0) $*\" >> {folder}/commands\necho '{answer}'\n")
            program.chmod(0o755)
        for model in ("model.gguf", "other.gguf"):
            (folder / model).touch()
        return subprocess.run(
            [sys.executable, BENCH / "compare", "--peer", folder, "--tenure", folder / "tenure", "--model", folder / "model.gguf",
             "--quiet-limit", "0", *options],
            capture_output=True, text=True, check=False)

    def test_the_json_file_and_the_commands(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            wanted = ["decode_8k_evicted", "prefill_512"]
            result = self.run_compare(folder, "--pairs", "1", "--json", f"{folder}/out.json", "--only", *wanted)
            self.assertEqual(result.returncode, 0, result.stderr)
            document = json.loads((folder / "out.json").read_text())["models"]["model.gguf"]
            self.assertEqual(sorted(document["ratios"]), wanted)
            first = document["pairs"]["8k"][0]
            self.assertEqual(first["ours"]["evicted"]["figures"]["decode_tps"], 80.0)
            self.assertEqual(first["peer"]["on"]["figures"]["decode_tps"], 20.0)
            self.assertEqual(first["probe_gbps"], [40.0] * 4)
            # A busy machine may refuse the ratio; it may not give another one.
            self.assertIn(document["ratios"]["decode_8k_evicted"], (4.0, None))
            self.assertIn(document["ratios"]["prefill_512"], (4.0, None))
            commands = (folder / "commands").read_text().splitlines()
            eights = [line.split()[0] for line in commands if " 8000 " in line][:4]
            self.assertEqual(eights, ["tenure", "llama-batched-bench", "tenure", "llama-batched-bench"])
            self.assertTrue(any("--policy streaming_llm --budget 1024" in line for line in commands))
            self.assertTrue(any("-fa off" in line and "-npp 8000 -ntg 64 -npl 1" in line for line in commands))

    def test_everything_for_two_models(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            models = ("model.gguf", "other.gguf")
            result = self.run_compare(folder, "--pairs", "1", "--divide", "8", "--json", f"{folder}/out.json", "--model",
                                      *(f"{folder}/{model}" for model in models))
            self.assertEqual(result.returncode, 0, result.stderr)
            document = json.loads((folder / "out.json").read_text())
            self.assertEqual(sorted(document["models"]), sorted(models))
            commands = (folder / "commands").read_text()
            for model in models:
                found = document["models"][model]
                self.assertEqual(set(found["ratios"]), {metric for shape in compare.SHAPES.values() for metric in shape.metrics})
                self.assertEqual(len(found["batches"]), 1)
                self.assertIn(f"generate -m {folder}/{model} -t 2 -p x --raw -n 1\n", commands)
                self.assertIn("--sequences 1,2,4,8,16", commands)
            self.assertIn("-npp 1000 -ntg 64 -npl 1", commands)
            self.assertIn("load", result.stdout)

    def test_a_missing_program_and_a_failing_one(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.assertEqual(self.run_compare(folder, "--model", f"{folder}/none.gguf").returncode, 66)
            (folder / "false").symlink_to("/bin/false")
            self.assertEqual(self.run_compare(folder, "--tenure", f"{folder}/false").returncode, 70)


if __name__ == "__main__":
    unittest.main()
