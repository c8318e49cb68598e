"""doctor: facts of the machine, checked against other tools."""

import json
import os
import resource
import subprocess
import unittest

from program import TENURE, UNAVAILABLE, ProgramCase


class Doctor(ProgramCase):
    def facts(self, *options, expect=0, **environment):
        found = json.loads(self.tenure("doctor", "--json", *options, expect=expect, **environment)[0])
        self.assertEqual(found["healthy"], expect == 0)
        for fact in found["facts"]:
            self.assertIn(fact["verdict"], ("ok", "note", "bad"))
            self.assertEqual(fact["verdict"] == "ok", fact["fix"] == "", fact)
        return {fact["name"]: fact for fact in found["facts"]}

    def test_every_fact_has_a_line_and_every_finding_a_fix(self):
        facts = self.facts()
        text = self.tenure("doctor")[0]
        for name in facts:
            self.assertRegex(text, rf"(?m)^(ok|note|bad) +{name} ")
        self.assertEqual(text.count(" -> "), sum(f["fix"] != "" for f in facts.values()))

    def test_threads_follow_the_affinity_and_slurm(self):
        n = len(os.sched_getaffinity(0))
        self.assertIn(f"affinity {n},", self.facts()["threads"]["fact"])
        one = subprocess.run(["taskset", "-c", str(min(os.sched_getaffinity(0))), str(TENURE), "doctor", "--json"], capture_output=True,
                             env=self.environment, cwd=self.folder, check=True)
        threads = next(f for f in json.loads(one.stdout)["facts"] if f["name"] == "threads")
        self.assertTrue(threads["fact"].startswith("1 usable"), threads)
        self.assertTrue(self.facts(SLURM_CPUS_PER_TASK="1")["threads"]["fact"].startswith("1 usable"))

    def test_the_backend_tells_its_code_path(self):
        self.assertRegex(self.facts()["backend"]["fact"], r"^cpu: .*code path \S+")
        bad = self.facts("--backend", "nobody", expect=UNAVAILABLE)["backend"]
        self.assertEqual(bad["verdict"], "bad")
        self.assertIn("nobody", bad["fact"])

    def test_a_folder_that_cannot_be_written(self):
        bad = self.facts("--out", "/proc/self", expect=UNAVAILABLE)["disk"]
        self.assertEqual(bad["verdict"], "bad")
        self.assertEqual(self.facts()["disk"]["verdict"], "ok")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_variables_that_do_nothing_are_said(self):
        self.environment.pop("OMP_NUM_THREADS", None)
        self.environment.pop("OPENBLAS_NUM_THREADS", None)
        self.environment.pop("MKL_NUM_THREADS", None)
        self.assertEqual(self.facts()["environment"]["verdict"], "ok")
        self.assertIn("OMP_NUM_THREADS=1", self.facts(OMP_NUM_THREADS="1")["environment"]["fact"])
        self.assertEqual(self.facts(TENURE_PLUGIN_PATH="here")["environment"]["verdict"], "note")

    def test_locale_and_scheduler(self):
        self.assertEqual(self.facts(LC_ALL="C.UTF-8")["locale"]["verdict"], "ok")
        self.assertEqual(self.facts(LC_ALL="C")["locale"]["verdict"], "note")
        self.assertIn("Slurm job 77, array task 3", self.facts(SLURM_JOB_ID="77", SLURM_ARRAY_TASK_ID="3")["scheduler"]["fact"])

    def test_limits_of_the_shell(self):
        done = subprocess.run([str(TENURE), "doctor", "--json"], capture_output=True, env=self.environment, cwd=self.folder, check=True,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
        limits = next(f for f in json.loads(done.stdout)["facts"] if f["name"] == "limits")
        self.assertEqual((limits["verdict"], "open files 100" in limits["fact"]), ("note", True))


if __name__ == "__main__":
    unittest.main()
