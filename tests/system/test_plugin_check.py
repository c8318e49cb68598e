"""tenure plugin check as its users meet it: an installed program, a new project, a CI system, a typing error."""

import json
import os
import subprocess
import unittest
import xml.etree.ElementTree

from harness import BAD_PLAN, BUILD, GATE_FAILED, OK, TEST_PLUGINS, UNAVAILABLE, USAGE, PipelineCase

H2O = BUILD / "lib" / "tenure" / "plugins" / "libtenure_policy_h2o.so"
OVER_BUDGET = BUILD / "lib" / "tenure" / "bad_plugins" / "libtenure_policy_bad_budget.so"


class PluginCheck(PipelineCase):
    def test_a_new_project_passes_with_what_is_installed(self):
        prefix = self.folder / "prefix"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, capture_output=True)
        tenure = prefix / "bin" / "tenure"
        # Nothing of the build tree or the user may help.
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}

        def run(*words):
            return subprocess.run([str(word) for word in words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

        self.assertEqual(run(tenure, "plugin", "new", "policy", "my_policy").returncode, OK)
        for command in (["cmake", "-S", "my_policy", "-B", "built"], ["cmake", "--build", "built"]):
            done = run(*command)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"TENURE_SDK:PATH={prefix / 'include'}", (self.folder / "built" / "CMakeCache.txt").read_text(encoding="utf-8"))
        done = run(tenure, "plugin", "check", "built/libtenure_policy_my_policy.so")
        self.assertEqual(done.returncode, OK, done.stdout + done.stderr)
        self.assertIn(" 0 failed", done.stdout)
        self.assertIn('policy "my_policy"', done.stdout)

    def test_reports_for_programs(self):
        code, stdout, stderr = self.tenure("plugin", "check", OVER_BUDGET, "--json", "--junit", "result.xml", "--seed", 7)
        self.assertEqual(code, GATE_FAILED, stderr)
        report = json.loads(stdout)
        self.assertEqual((report["plugin"], report["kind"], report["seed"], report["exit_code"]), ("bad_budget", "policy", 7, GATE_FAILED))
        failed = [check for check in report["checks"] if check["outcome"] == "failed"]
        self.assertEqual([check["rule"] for check in failed], ["budget"])
        suite = xml.etree.ElementTree.parse(self.folder / "result.xml").getroot()
        self.assertEqual(suite.get("tests"), str(len(report["checks"])))
        self.assertEqual([case.get("name") for case in suite if case.find("failure") is not None], ["budget"])
        self.assertEqual(suite.get("skipped"), str(sum(case.find("skipped") is not None for case in suite)))

    def test_one_rule_in_this_process(self):
        code, stdout, _ = self.tenure("plugin", "check", OVER_BUDGET, "--rule", "budget")
        self.assertEqual(code, GATE_FAILED)
        self.assertTrue(stdout.startswith(b"FAILED   budget "), stdout)
        code, stdout, _ = self.tenure("plugin", "check", H2O, "--rule", "budget")
        self.assertEqual(code, OK)
        self.assertTrue(stdout.startswith(b"ok       budget "), stdout)

    def test_by_id_on_another_backend_with_a_seed(self):
        code, stdout, stderr = self.tenure("plugin", "check", "h2o", "--backend", "toy", "--plugin-dir", TEST_PLUGINS, "--seed", 3)
        self.assertEqual(code, OK, stdout.decode() + stderr)
        self.assertIn(b"seed 3", stdout)

    def test_a_backend_runs_a_model_alone_and_together(self):
        for backend in ("cpu", "toy"):
            code, stdout, stderr = self.tenure("plugin", "check", backend, "--plugin-dir", TEST_PLUGINS)
            self.assertEqual(code, OK, stdout.decode() + stderr)
            self.assertIn(b"not compared with a reference", stdout)

    def test_what_cannot_be_loaded(self):
        self.assertEqual(self.tenure("plugin", "check", "./none.so")[0], UNAVAILABLE)
        for library in ("abi_wrong_major", "abi_no_symbol", "abi_init_fails", "abi_missing_slot", "abi_zero_table"):
            code, stdout, stderr = self.tenure("plugin", "check", TEST_PLUGINS / f"libtenure_{library}.so", "--json")
            self.assertEqual(code, UNAVAILABLE, stderr)
            self.assertEqual(json.loads(stdout)["checks"][1]["outcome"], "skipped")

    def test_usage(self):
        for words in ((), (H2O, "--rule", "budgets"), (H2O, "--seed", "x"), (H2O, "--set", "budget=3"), (H2O, "--set", "no"),
                      (H2O, "--time-limit", "0"), (H2O, "--set", "a.b=1", "--jsn")):
            code, _, stderr = self.tenure("plugin", "check", *words)
            self.assertEqual(code, USAGE, stderr)

    def test_a_parameter_is_set(self):
        template = TEST_PLUGINS / "libtenure_policy_template.so"
        self.assertEqual(self.tenure("plugin", "check", template, "--set", "decay=0.5", "--rule", "runs")[0], OK)
        other = ("--set", "policy.base.plugin=h2o", "--set", "policy.base.budget=24")  # as for a policy that wraps another
        self.assertEqual(self.tenure("plugin", "check", template, *other, "--rule", "runs")[0], OK)
        for wrong in ("decay=1.5", "dekay=0.5", "policy.base.plugin=h2"):
            code, stdout, stderr = self.tenure("plugin", "check", template, "--set", wrong)
            self.assertIn(code, (BAD_PLAN, UNAVAILABLE))
            self.assertEqual(stdout, b"")
            self.assertIn(wrong.split("=")[1] if "." in wrong.split("=")[0] else wrong.split("=")[0], stderr)


if __name__ == "__main__":
    unittest.main()
