"""plugin list, show, doctor, new, and that what is new passes check."""

import shutil
import subprocess
import unittest

from program import CANNOT_CREATE, PLUGINS, UNAVAILABLE, USAGE, ProgramCase


class Plugins(ProgramCase):
    def test_list_has_what_was_built(self):
        rows = {line.split()[0]: line.split()[1] for line in self.tenure("plugin", "list")[0].splitlines()}
        built = {path.stem.removeprefix("libtenure_") for path in PLUGINS.glob("*.toml")}
        self.assertEqual(len(rows), len(built))
        self.assertEqual(rows["cpu"], "backend")
        for policy in ("full", "streaming_llm", "h2o", "random"):
            self.assertEqual(rows[policy], "policy")

    def test_show_by_id_and_by_file(self):
        by_id, _ = self.tenure("plugin", "show", "h2o")
        self.assertIn('policy "h2o"', by_id)
        self.assertIn("attention_mass", by_id)
        self.assertEqual(self.tenure("plugin", "show", PLUGINS / "libtenure_policy_h2o.so")[0], by_id)
        self.assertIn('backend "cpu"', self.tenure("plugin", "show", "cpu")[0])
        self.assertIn("h2o", self.tenure("plugin", "show", "h2", expect=UNAVAILABLE)[1])
        self.tenure("plugin", "show", "./none.so", expect=UNAVAILABLE)

    def test_doctor_is_well_here_and_ill_with_a_torn_library(self):
        self.assertIn("cpu", self.tenure("plugin", "doctor")[0])
        folder = self.folder / "torn"
        folder.mkdir()
        library = (PLUGINS / "libtenure_policy_h2o.so").read_bytes()
        (folder / "libtenure_policy_h2o.so").write_bytes(library[:500])
        shutil.copy(PLUGINS / "libtenure_policy_h2o.toml", folder)
        self.assertIn("torn/libtenure_policy_h2o.so", self.tenure("plugin", "doctor", "--plugin-dir", folder, expect=UNAVAILABLE)[0])

    def test_a_folder_given_comes_first_and_the_current_one_never(self):
        folder = self.folder / "mine"
        folder.mkdir()
        for suffix in (".so", ".toml"):
            shutil.copy(PLUGINS / f"libtenure_policy_h2o{suffix}", folder)
            shutil.copy(PLUGINS / f"libtenure_policy_h2o{suffix}", self.folder)
        self.assertIn(str(folder), self.tenure("plugin", "show", "h2o", "--plugin-dir", "mine")[0])
        self.assertIn(str(PLUGINS), self.tenure("plugin", "show", "h2o")[0])

    def test_a_new_project_builds_and_is_found(self):
        written, advice = self.tenure("plugin", "new", "policy", "mine")
        self.assertEqual(sorted(written.split()), sorted(str(p.relative_to(self.folder)) for p in (self.folder / "mine").iterdir()))
        commands = [line.strip() for line in advice.splitlines() if line.startswith("  ")]
        self.assertEqual(len(commands), 2)
        subprocess.run(commands[0], shell=True, cwd=self.folder, check=True, capture_output=True)
        checked = self.tenure(*commands[1].split()[1:])[0]
        self.assertIn('policy "mine"', checked)
        self.assertIn(" 0 failed", checked)

    def test_new_refuses(self):
        self.tenure("plugin", "new", "backend", "mine", expect=USAGE)
        self.tenure("plugin", "new", "policy", "No Id", expect=USAGE)
        (self.folder / "full").mkdir()
        (self.folder / "full" / "file").write_text("mine")
        self.tenure("plugin", "new", "policy", "full", expect=CANNOT_CREATE)
        self.assertEqual((self.folder / "full" / "file").read_text(), "mine")


if __name__ == "__main__":
    unittest.main()
