"""Pipelines that must be refused with 78, each error with its place, before anything is written."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "unit" / "cli"))
from program import BAD_PLAN, MATRIX, OK, ProgramCase  # noqa: E402


class BadPipelines(ProgramCase):
    def refused(self, path, *said, options=(), **environment):
        """Refused alike by validate and run; returns what was said."""
        self.prompts(1)
        before = sorted(p.name for p in self.folder.iterdir())
        out, validated = self.tenure("validate", path, *options, expect=BAD_PLAN, **environment)
        self.assertEqual(out, "")
        out, ran = self.tenure("run", path, "--out", "run", *options, expect=BAD_PLAN, **environment)
        self.assertEqual((out, ran), ("", validated))
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), before)
        for words in said:
            self.assertIn(words, validated)
        return validated

    def place(self, path, text):
        """file:line:column of a text in a pipeline, as errors write it."""
        content = path.read_bytes()
        at = content.index(text.encode())
        line = content.count(b"\n", 0, at) + 1
        return f"{path.name}:{line}:{at - content.rfind(bytes([10]), 0, at)}"

    def test_row_1_a_typo_has_a_place_and_a_suggestion(self):
        path = self.pipeline("[run]\nmax_erors = 1\n")
        self.refused(path, self.place(path, "max_erors"), 'did you mean "max_errors"?', "E0107")
        path = self.pipeline("[enginee]\n")
        self.refused(path, self.place(path, "enginee"), 'did you mean "engine"?')
        path = self.pipeline('[policy.other]\nplugin = "streaming_llm"\nbudget = 8\nbudgte = 8\n')
        self.refused(path, self.place(path, "budgte"), 'did you mean "budget"?')

    def test_row_2_text_that_is_not_toml(self):
        for content, code, line in ((b"tenure = 1\nmodel = {\n", "E0101", 2), (b"tenure = 1\nx = \"\xff\xfe\"\n", "E0102", 2),
                                    (b"tenure = 1\nx = \"\0\"\n", "E0102", 2), (b"tenure = = 1\n", "E0101", 1), (b"a = 1\na = 2\n", "E0101", 2)):
            path = self.write(content)
            self.assertRegex(self.refused(path, code), rf"pipeline\.toml:{line}:\d+")

    def test_row_2_a_byte_order_mark_and_crlf_are_accepted(self):
        plain = self.pipeline().read_bytes()
        for content in (b"\xef\xbb\xbf" + plain, plain.replace(b"\n", b"\r\n")):
            self.tenure("validate", self.write(content), expect=OK)

    def test_row_3_files_that_kill_parsers_are_refused(self):
        cases = {"dots": b".".join([b"a"] * 20_000) + b" = 1\n", "header": b"[" + b".".join([b"a"] * 20_000) + b"]\n", "size": b"# " + b"x" * (2 << 20),
                 "arrays": b"x = " + b"[" * 300 + b"]" * 300 + b"\n", "tables": b"x = " + b"{a=" * 300 + b"1" + b"}" * 300 + b"\n", "vt": b"[\x0b\n"}
        for name, content in cases.items():
            path = self.write(content)
            self.refused(path, "pipeline.toml" if name == "size" else "pipeline.toml:1:")

    def test_row_5_all_unset_variables_are_listed(self):
        path = self.pipeline('[[stage]]\nid = "more"\nkind = "read_jsonl"\npath = "${NO_SUCH_A}/${NO_SUCH_B}/${GIVEN}/${ALSO:-x}"\nmap = {id = "${NO_SUCH_C}"}\n')
        said = self.refused(path, "E0111", GIVEN="y")
        for name in ("NO_SUCH_A", "NO_SUCH_B", "NO_SUCH_C"):
            line_and_column = self.place(path, "${" + name).split(":", 1)[1]
            self.assertIn(f"{name} ({line_and_column})", said)
        self.assertNotIn("GIVEN (", said)
        self.assertNotIn("ALSO (", said)

    def test_row_6_matrices(self):
        axes = "".join(f'"policy.bounded.{key}" = [{", ".join(str(v) for v in range(2, 1002))}]\n' for key in ("budget", "chunk", "period"))
        self.refused(self.pipeline("[matrix]\n" + axes), "E0116", "1000000000")
        self.refused(self.pipeline('[matrix]\n"policy.bounded.budget" = []\n'), "E0117")
        self.refused(self.pipeline('[matrix]\n"policy.bounded.budget" = [32, 64, 32]\n'), "E0118", "32")
        self.refused(self.pipeline(MATRIX + '[[matrix.exclude]]\n"policy.bounded.budget" = 32\n[[matrix.exclude]]\n"policy.bounded.budget" = 64\n'), "E0117")
        self.refused(self.pipeline('[matrix]\n"policy.nobody.budget" = [1, 2]\n'), "nobody")

    def test_row_7_stages_that_do_not_fit_name_both_ends(self):
        text = self.pipeline().read_text()
        cycle = '[[stage]]\nid = "a"\nkind = "generate"\nfrom = "b"\n[[stage]]\nid = "b"\nkind = "generate"\nfrom = "a"\n'
        self.refused(self.write(text + cycle), "E0114", "a \u2192 b \u2192 a")
        self.refused(self.write(text + '[[stage]]\nid = "c"\nkind = "generate"\nfrom = "prompst"\n'), '"prompst"', '"c"', 'did you mean "prompts"?')
        self.refused(self.write(text + '[[stage]]\nid = "d"\nkind = "generate"\nfrom = "all"\n'), '"d"', '"all"')
        self.refused(self.write(text + '[[stage]]\nid = "e"\nkind = "generate"\nfrom = "e"\n'), '"e"')
        self.refused(self.write(text + '[[stage]]\nid = "all"\nkind = "generate"\nfrom = "prompts"\n'), '"all"')

    def test_row_18_budgets_of_nothing_or_less(self):
        for value in ("0", "-1", '"0"', '"-1/8"', '"0/8"', '"1/0"', '"9/8"', '"0 MiB"', '"-3 MiB"', "1.5", '"much"'):
            path = self.pipeline(f'[policy.bad]\nplugin = "streaming_llm"\nbudget = {value}\n')
            self.refused(path, self.place(path, f"{value}\n") if value != "0" else "budget", "budget")


if __name__ == "__main__":
    unittest.main()
