"""Help, versions, wrong words, and what numbers mean."""

import os
import re
import subprocess
import unittest

from program import ROOT, TENURE, USAGE, ProgramCase

NAMES = ["run", "resume", "validate", "plan", "graph", "generate", "report", "compare", "watch", "plugin list", "plugin show", "plugin new",
         "plugin check", "plugin doctor", "bench", "eval", "train", "tokenize", "inspect", "demo", "doctor", "explain", "completion"]


class Usage(ProgramCase):
    def test_help_lists_every_command_once(self):
        out, _ = self.tenure("--help")
        listed = re.findall(r"^  ((?:plugin )?[a-z]+)(?: .*)?  +\S.*$", out.split("commands:")[1], re.MULTILINE)
        self.assertEqual(listed, NAMES)
        self.assertEqual(self.tenure("help")[0], out)

    def test_no_words_show_help_and_fail(self):
        out, _ = self.tenure(expect=USAGE)
        self.assertEqual(out, self.tenure("--help")[0])

    def test_every_command_has_help_with_an_example_before_its_options(self):
        for name in NAMES:
            for flag in ("--help", "-h"):
                out, err = self.tenure(*name.split(), flag)
                self.assertIn(f"  tenure {name}", out.split("options:")[0], name)
                self.assertIn("--help", out.split("options:")[1])
                self.assertEqual(err, "")

    def test_version(self):
        out, _ = self.tenure("--version")
        self.assertEqual(out, f"tenure {os.environ['TENURE_VERSION']}\n")

    def test_wrong_words_are_answered_with_the_nearest_right_one(self):
        for words, said in ((["validat", "x"], "tenure validate"), (["plugin", "shwo"], "plugin show"), (["run", "--ouut", "x", "p"], "--out"),
                            (["plugin"], "plugin list")):
            out, err = self.tenure(*words, expect=USAGE)
            self.assertIn(said, err)
            self.assertIn("E0501", err)
            self.assertEqual(out, "")

    def test_options_are_never_abbreviated(self):
        self.tenure("graph", "x.toml", "--for", "dot", expect=USAGE)

    def test_too_few_and_too_many_words(self):
        self.assertIn("PIPELINE", self.tenure("validate", expect=USAGE)[1])
        self.assertIn("b.toml", self.tenure("validate", "a.toml", "b.toml", expect=USAGE)[1])
        self.assertIn("--format", self.tenure("graph", "a", "--format", "dot", "--format", "json", expect=USAGE)[1])

    def test_a_closed_stdout_is_a_quiet_end(self):
        done = subprocess.run(f"{TENURE} --help | head -n 1", shell=True, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class Explain(ProgramCase):
    def test_a_code_in_every_spelling(self):
        out, _ = self.tenure("explain", "E0107")
        self.assertRegex(out, r"^E0107: unknown key \(exit code 78\)\n\n\w")
        for word in ("e0107", "0107", "107", "E107"):
            self.assertEqual(self.tenure("explain", word)[0], out)

    def test_an_exit_code_names_its_errors(self):
        out, _ = self.tenure("explain", "78")
        self.assertIn("pipeline", out)
        self.assertIn("E0107 unknown key", out)
        self.assertNotIn("E0501", out)

    def test_a_number_that_is_both_shows_both(self):
        out, _ = self.tenure("explain", "101")
        self.assertIn("exit code 101", out)
        self.assertIn("E0101", out)
        self.assertNotIn("exit code 101:", self.tenure("explain", "0101")[0])

    def test_no_code(self):
        for word in ("999", "E9999", "banana", "E", "", "-1", "99999999999999999999"):
            self.tenure("explain", "--", word, expect=USAGE)

    def test_the_list_has_every_code_of_the_source(self):
        source = (ROOT / "host" / "error" / "codes.h").read_text(encoding="utf-8")
        enum = source[source.index("enum class Code"):source.index("struct CodeInfo")]
        numbers = {int(n) for n in re.findall(r"= (\d+),", enum)}
        out, _ = self.tenure("explain")
        self.assertEqual({int(n) for n in re.findall(r"^E(\d{4}) ", out, re.MULTILINE)}, numbers)

    def test_the_list_has_every_exit_code_of_the_source(self):
        source = (ROOT / "host" / "error" / "codes.h").read_text(encoding="utf-8")
        codes = {int(n) for n in re.findall(r"exit_\w+ = (\d+),", source)} | {130, 143}
        out, _ = self.tenure("explain")
        self.assertEqual({int(n) for n in re.findall(r"^(\d+) +exit code", out, re.MULTILINE)}, codes)


if __name__ == "__main__":
    unittest.main()
