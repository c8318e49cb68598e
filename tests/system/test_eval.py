"""`tenure eval`: what it prints, what it writes, what keys change, and how it fails."""

import copy
import json
import random
import signal
import subprocess
import unittest

from harness import (BAD_PLAN, CANNOT_CREATE, NO_INPUT, OK, STOPPED, TENURE, TEST_PLUGINS, TINY, TOO_MANY_ERRORS, UNAVAILABLE, USAGE,
                     PipelineCase)

FULL, CHUNK = "full", ("--chunk", "64")
INSTRUMENTS = {"keyed": 4, "passkey": 1, "copy": 2, "continuation": 1}  # questions a document of text


class Eval(PipelineCase):
    def setUp(self):
        super().setUp()
        chosen = random.Random(1)
        words = "the one who decides is a policy and not the host of a cache that is full".split()
        lines = [" ".join(chosen.choice(words) for _ in range(20)) + "." for _ in range(80)]
        (self.folder / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def evaluate(self, *options, text="text.txt", context=384, n=2, expect=OK):
        """(stdout, stderr) on the tiny model."""
        code, stdout, stderr = self.tenure("eval", "-m", TINY, "--text", text, "--context", context, "-n", n, "-t", 2,
                                           "--plugin-dir", TEST_PLUGINS, *options)
        self.assertEqual(code, expect, stderr)
        return stdout.decode(), stderr

    def report(self, *options, **more):
        return json.loads(self.evaluate("--json", *options, **more)[0])

    @staticmethod
    def table(stdout):
        lines = [line for line in stdout.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    def test_the_table(self):
        stdout, stderr = self.evaluate("--policy", "h2o,random", "--policy", "streaming_llm", "--budget", "1/2,48", *CHUNK)
        heading, rule, *lines = self.table(stdout)
        self.assertEqual(heading, ["policy", "budget", "keyed numbers", "passkey", "random copy", "R.Number", "sentence facts",
                                   "all of these (of full)", "KL to full",
                                   "same top token", "perplexity", "KV MiB (of full)", "peak MiB (of full)", "policy ms"])
        self.assertEqual(set(rule), {"---"})
        expected = [[FULL, "-"]] + [[p, b] for p in ("h2o", "random", "streaming_llm") for b in ("1/2", "48")]
        self.assertEqual([line[:2] for line in lines], expected)
        self.assertEqual({len(line) for line in lines}, {len(heading)})
        # Random weights remember nothing, so no policy can be blamed.
        for line in lines[1:]:
            self.assertEqual(line[2:8], ["not informative"] * 5 + ["-"])
        self.assertTrue(all(cell.endswith(": not informative") for cell in lines[0][2:7]), lines[0])
        self.assertEqual(lines[0][8:10], ["0.000 [0.000, 0.000]", "1.00 [1.00, 1.00]"])
        self.assertIn("4 of 4 documents", stderr)

    def test_the_json(self):
        report = self.report("--policy", "h2o", "--budget", "1/2,48", "--seed", 5, *CHUNK)
        self.assertEqual((report["schema"], report["seed"], report["context"]), (1, 5, 384))
        self.assertEqual([d["id"] for d in report["documents"]], ["text-0", "text-1", "noise-0", "sentences-0"])
        self.assertEqual(report["floors"], {"keyed": 0.9, "passkey": 0.9, "copy": 0.8, "r_number": 0.9, "sentence": 0.8})
        self.assertEqual([(line["policy"], line["budget"]) for line in report["lines"]], [(FULL, ""), ("h2o", "1/2"), ("h2o", "48")])
        full, _, small = report["lines"]
        for line in report["lines"]:
            self.assertEqual(set(line["instruments"]), {*INSTRUMENTS, "r_number", "sentence"})
            for name, n in {"keyed": 2, "r_number": 1, "sentence": 1, "continuation": 2}.items():
                for figure in ("exact", "accuracy", "logprob"):
                    estimate = line["instruments"][name][figure]
                    self.assertEqual(estimate["n"], n)
                    self.assertLessEqual(estimate["ci95"][0], estimate["mean"])
                    self.assertGreaterEqual(estimate["ci95"][1], estimate["mean"])
            questions = [q["instrument"] for q in line["documents"][0]["questions"]]
            self.assertEqual({name: questions.count(name) for name in INSTRUMENTS}, INSTRUMENTS)
            self.assertEqual([q["instrument"] for q in line["documents"][2]["questions"]], ["r_number"])
        # The means follow from the documents' values.
        continuations = [d["questions"][-1] for d in small["documents"][:2]]
        found = small["instruments"]["continuation"]
        self.assertAlmostEqual(found["kl"]["mean"], sum(q["kl"] for q in continuations) / 2)
        self.assertAlmostEqual(found["top1"]["mean"], sum(q["top1"] for q in continuations) / 2)
        self.assertAlmostEqual(found["accuracy"]["mean"], sum(q["correct"] / q["tokens"] for q in continuations) / 2)
        self.assertGreater(found["kl"]["mean"], 0)
        self.assertEqual(full["instruments"]["continuation"]["kl"]["mean"], 0)
        # 48 slots lie in pages of 16, in runs of 4.
        for whole, part in zip(full["documents"], small["documents"]):
            self.assertEqual(part["kv_end_bytes"] * 384, whole["kv_end_bytes"] * 64)

    def test_a_seed_is_the_whole_of_chance(self):
        def figures(*options):
            report = copy.deepcopy(self.report("--policy", "random", "--budget", "1/4", *CHUNK, *options))
            for line in report["lines"]:
                for timed in (line, *line["documents"]):
                    del timed["policy_ms"]
            return report
        once = figures("--seed", 3)
        self.assertEqual(once, figures("--seed", 3))
        self.assertNotEqual(once["lines"], figures("--seed", 4)["lines"])

    def test_a_suite_asks_for_its_own(self):
        text = self.report("--suite", "text")
        self.assertEqual(set(text["lines"][0]["instruments"]), {"continuation"})
        self.assertEqual(len(text["documents"]), 2)
        retrieval = self.report("--suite", "retrieval")
        self.assertEqual(set(retrieval["lines"][0]["instruments"]), {"keyed", "passkey", "copy", "r_number", "sentence"})
        everything = self.report()["lines"][0]
        self.assertEqual(everything["instruments"], {**retrieval["lines"][0]["instruments"], **text["lines"][0]["instruments"]})

    def test_how_many_documents_of_each_kind(self):
        def ids(*options, n=2):
            return [document["id"] for document in self.report("--seed", 2, *options, n=n)["documents"]]
        self.assertEqual(ids("--noise", 3, "--sentences", 0), ["text-0", "text-1", "noise-0", "noise-1", "noise-2"])
        self.assertEqual(ids("--sentences", 1, n=0), ["sentences-0"])

    def test_keys_of_all_policies_and_of_one(self):
        def kl(report, line):
            return report["lines"][line]["instruments"]["continuation"]["kl"]["mean"]
        options = ("--suite", "text", "--policy", "h2o,streaming_llm", "--budget", "1/2", *CHUNK)
        plain = self.report(*options)
        both = self.report(*options, "--set", "policy.budget=60", "--set", 'policy.when=["chunk"]')
        one = self.report(*options, "--set", "policy.h2o.budget=60")
        self.assertEqual([line["budget"] for line in one["lines"]], ["", "60", "1/2"])
        self.assertNotEqual(kl(both, 1), kl(plain, 1))
        self.assertNotEqual(kl(both, 2), kl(plain, 2))
        self.assertEqual((kl(one, 1), kl(one, 2)), (kl(both, 1), kl(plain, 2)))

    def test_a_policy_that_keeps_all_is_a_line_only_where_a_key_changes_it(self):
        self.assertEqual(len(self.report("--suite", "text", "--policy", FULL)["lines"]), 1)
        report = self.report("--suite", "text", "--policy", FULL, "--set", "policy.kv_type=bf16")
        self.assertEqual([(line["k_type"], line["v_type"]) for line in report["lines"]], [("f16", "f16"), ("bf16", "bf16")])
        self.assertGreater(report["lines"][1]["instruments"]["continuation"]["kl"]["mean"], 0)
        lines = self.table(self.evaluate("--suite", "text", "--policy", f"{FULL},h2o", "--budget", "48", "--set", "policy.kv_type=bf16",
                                         "--set", "policy.h2o.v_type=f32")[0])[2:]
        self.assertEqual([line[0] for line in lines], [FULL, f"{FULL}, KV bf16", "h2o, K bf16, V f32"])

    def test_files(self):
        stdout, _ = self.evaluate("--suite", "text", "--out", "there/it", "--json", "eval.json")
        self.assertEqual((self.folder / "there/it/eval.md").read_text(encoding="utf-8"), stdout)
        inside = json.loads((self.folder / "there/it/eval.json").read_text(encoding="utf-8"))
        self.assertEqual(json.loads((self.folder / "eval.json").read_text(encoding="utf-8")), inside)
        self.evaluate("--json", "nowhere/eval.json", expect=CANNOT_CREATE)
        self.evaluate("--out", "text.txt/x", expect=CANNOT_CREATE)

    def test_what_cannot_be_is_refused(self):
        self.assertEqual(self.tenure("eval", "--text", "text.txt")[0], USAGE)
        for options, said, expect in [
            (("--suite", "speed"), "all, retrieval or text", USAGE),
            (("--noise", "-1"), "--noise", USAGE),
            (("--sentences", "1000000000"), "--sentences", USAGE),
            (("--seed", "x"), "whole number", USAGE),
            (("extra",), "a file goes with --json", USAGE),
            (("--policy", "nobody", "--budget", "48"), "nobody", UNAVAILABLE),
            (("--policy", "h2o"), "needs a budget", BAD_PLAN),
            (("--policy", "h2o", "--budget", "9/8"), "9/8", BAD_PLAN),
            (("--policy", "h2o", "--budget", "48", "--set", "policy.n_sinks=4"), "n_sinks", BAD_PLAN),
        ]:
            with self.subTest(options=options):
                self.assertIn(said, self.evaluate(*options, expect=expect)[1])
        self.assertIn("--documents, --noise and --sentences", self.evaluate(n=0, expect=USAGE)[1])
        self.assertIn("too short", self.evaluate(context=200, expect=USAGE)[1])
        self.assertIn("context is 512", self.evaluate(context=500, expect=USAGE)[1])
        (self.folder / "short.txt").write_text("One line.\n", encoding="utf-8")
        self.assertIn("text is too short", self.evaluate(text="short.txt", expect=NO_INPUT)[1])
        self.evaluate(text="missing.txt", expect=NO_INPUT)
        code, _, stderr = self.tenure("eval", "-m", TINY)  # no text was fetched into this folder
        self.assertEqual(code, NO_INPUT)
        self.assertIn("scripts/fetch_text.sh", stderr)

    def test_a_signal_ends_it_between_documents(self):
        command = [str(TENURE), "eval", "-m", str(TINY), "--text", "text.txt", "--context", "384", "-n", "3000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder) as process:
            self.assertIn(b"1 of 6000 documents", process.stderr.readline())
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stdout), (STOPPED, b""))

    def test_a_failing_policy_is_said_and_counted(self):
        stdout, stderr = self.evaluate("--policy", "faulty,h2o", "--budget", "48", "--set", "policy.faulty.fault=fail_select", *CHUNK,
                                       expect=TOO_MANY_ERRORS)
        self.assertIn("error: faulty 48, text-0:", stderr)
        self.assertEqual(len(self.table(stdout)), 2 + 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
