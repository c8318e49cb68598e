"""demo: a whole run from nothing."""

import json
import pathlib
import re
import subprocess
import unittest

from program import BUILD, ProgramCase


class Demo(ProgramCase):
    def test_runs_offline_and_leaves_rows_and_a_report(self):
        out, _ = self.tenure("demo", http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
        table = {(m[0], m[1]): (int(m[2]), float(m[3]), float(m[4])) for m in
                 re.findall(r"^(\w+) +(\S+) +(\d+) +[\d.]+ KiB +(\d+) % +(\d+)$", out, re.MULTILINE)}
        self.assertEqual(set(table), {("full", "-")} | {(p, b) for p in ("streaming_llm", "h2o", "random") for b in ("1/2", "1/4")})
        answers, share, released = table["full", "-"]
        self.assertEqual((answers, released), (20, 0))
        self.assertAlmostEqual(share, 100, delta=10)
        for policy in ("streaming_llm", "h2o", "random"):
            self.assertEqual(table[policy, "1/2"][0], 20)
            self.assertLess(table[policy, "1/4"][1], table[policy, "1/2"][1])
            self.assertLess(table[policy, "1/2"][1], share)
            self.assertGreater(table[policy, "1/4"][2], table[policy, "1/2"][2])
        report = self.folder / out.splitlines()[-1].split()[-1]
        self.assertTrue(out.splitlines()[-1].startswith("report"))
        self.assertIn("streaming_llm", report.read_text(encoding="utf-8"))
        rows = [json.loads(line) for line in (report.parent / "results.jsonl").read_text().splitlines()]
        self.assertEqual(len(rows), 20 * 7)
        self.assertEqual({row["status"] for row in rows}, {"ok"})

    def test_each_demo_has_a_directory_of_its_own_or_the_one_named(self):
        first = pathlib.Path(self.tenure("demo")[0].splitlines()[-1].split()[-1])
        second = pathlib.Path(self.tenure("demo")[0].splitlines()[-1].split()[-1])
        self.assertNotEqual(first.parent, second.parent)
        self.assertEqual(first.parts[0], "runs")
        self.assertEqual(self.tenure("demo", "--out", "here")[0].splitlines()[-1].split()[-1], "here/report.html")


class Installed(ProgramCase):
    def test_an_installed_program_finds_its_plugins_its_demo_and_its_completions(self):
        prefix = self.folder / "prefix"
        subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(prefix)], check=True, capture_output=True)
        done = subprocess.run([str(prefix / "bin" / "tenure"), "demo"], capture_output=True, cwd=self.folder, env=self.environment, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        listed = subprocess.run([str(prefix / "bin" / "tenure"), "plugin", "show", "cpu"], capture_output=True, text=True,
                                env=self.environment, check=True).stdout
        self.assertIn(str(prefix), listed)
        share = prefix / "share"
        for script, shell in (("bash-completion/completions/tenure", "bash"), ("zsh/vendor-completions/_tenure", "zsh"),
                              ("fish/vendor_completions.d/tenure.fish", "fish")):
            self.assertEqual((share / script).read_text(), self.tenure("completion", shell)[0])


if __name__ == "__main__":
    unittest.main()
