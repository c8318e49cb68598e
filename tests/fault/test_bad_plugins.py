"""Plugins that must be refused with 69 and one line each, before any of their code runs where that can be told before."""

import hashlib
import os
import pathlib
import shutil
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "unit" / "cli"))
from program import BAD_PLAN, PLUGINS, TEST_PLUGINS, UNAVAILABLE, ProgramCase  # noqa: E402

H2O = PLUGINS / "libtenure_policy_h2o"
LIBRARY = H2O.with_suffix(".so").read_bytes() + b"a copy"  # works, and has a hash of its own


class BadPlugins(ProgramCase):
    def setUp(self):
        super().setUp()
        self.plugins = self.folder / "plugins"
        self.plugins.mkdir()
        self.prompts(2)

    def copy(self, library=None, manifest=None):
        """A copy of the h2o policy; its folder is searched first, so this is the one that "h2o" means."""
        path = self.plugins / "libtenure_copied.so"
        path.write_bytes(LIBRARY if library is None else library)
        text = H2O.with_suffix(".toml").read_text()
        path.with_suffix(".toml").write_text(manifest(text) if manifest else text)
        return path

    def run_with(self, plugin, expect=UNAVAILABLE, folder=None):
        path = self.pipeline(f'[policy.tried]\nplugin = "{plugin}"\nbudget = 40\nchunk = 32\n'
                             '[[stage]]\nid = "tried"\nkind = "generate"\nfrom = "prompts"\npolicy = "tried"\nmax_new_tokens = 4\n')
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        out, err = self.tenure("run", path, "--out", "run", "--quiet", "--plugin-dir", folder or self.plugins, expect=expect)
        if expect == UNAVAILABLE:
            self.assertEqual(out, "")
            self.assertFalse((self.folder / "run" / "results.jsonl").exists() and (self.folder / "run" / "results.jsonl").read_bytes())
        return out, err

    def refused(self, plugin, *said, **more):
        _, err = self.run_with(plugin, **more)
        errors = [line for line in err.splitlines() if line.startswith("error[")]
        self.assertEqual(len(errors), 1, err)
        for words in said:
            self.assertIn(words, err)

    def test_the_copy_itself_runs(self):
        """Or every refusal below would prove nothing."""
        self.copy()
        out, _ = self.run_with("h2o", expect=0)
        self.assertEqual(out, "run\n")
        self.assertIn(hashlib.sha256(LIBRARY).hexdigest(), (self.folder / "run" / "manifest.json").read_text())

    def test_row_24_list_and_plan_keep_stdout_to_themselves(self):
        out, _ = self.tenure("plugin", "list", "--plugin-dir", TEST_PLUGINS)
        for line in out.splitlines():
            self.assertIn(line.split()[1], ("policy", "backend"))
        path = self.pipeline('[policy.loud]\nplugin = "faulty"\nfault = "print"\nbudget = 40\n'
                             '[[stage]]\nid = "loud"\nkind = "generate"\nfrom = "prompts"\npolicy = "loud"\n')
        out, _ = self.tenure("plan", path, "--plugin-dir", TEST_PLUGINS)
        self.assertTrue(out.startswith("plan pipeline"))

    def test_row_25_wrong_abi_or_no_plugin_at_all(self):
        self.refused("abi_wrong_major", "E0204", "abi_wrong_major", folder=TEST_PLUGINS)
        self.refused("abi_no_symbol", "E0205", "tenure_library_v1", folder=TEST_PLUGINS)
        self.refused("abi_needs_newer", "E0204", folder=TEST_PLUGINS)

    def test_row_25_another_architecture(self):
        data = bytearray(LIBRARY)
        struct.pack_into("<H", data, 18, 183)  # e_machine: AArch64
        self.copy(bytes(data))
        self.refused("h2o", "libtenure_copied.so")

    def test_row_25_a_truncated_library(self):
        whole = H2O.with_suffix(".so").read_bytes()
        for n in (0, 40, 500, len(whole) // 2, len(whole) - 100):
            self.copy(whole[:n])
            self.refused("h2o", "libtenure_copied.so")

    def test_row_26_a_library_that_others_can_write(self):
        path = self.copy()
        path.chmod(0o666)
        self.refused("h2o", "E0207")
        path.chmod(0o644)
        self.plugins.chmod(0o777)
        self.refused("h2o", "E0207")

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a file away")
    def test_row_26_a_library_of_somebody_else(self):
        os.chown(self.copy(), 12345, 12345)
        self.refused("h2o", "E0207")

    def test_row_26_another_hash_than_the_manifest_gives(self):
        right, wrong = hashlib.sha256(LIBRARY).hexdigest(), hashlib.sha256(b"").hexdigest()

        def with_hash(digest):
            return lambda text: (text.replace('sha256 = ""', f'sha256 = "{digest}"') if 'sha256 = ""' in text
                                 else text.replace("[binary]", f'[binary]\nsha256 = "{digest}"'))

        self.copy(manifest=with_hash(right))
        self.run_with("h2o", expect=0)
        self.copy(manifest=with_hash(wrong))
        self.refused("h2o", "E0208", right)

    def test_row_27_two_libraries_of_one_id(self):
        first = self.copy()
        for suffix in (".so", ".toml"):
            shutil.copy(first.with_suffix(suffix), self.plugins / f"libtenure_again{suffix}")
        _, err = self.run_with("h2o", expect=BAD_PLAN)
        self.assertIn("libtenure_copied.so", err)
        self.assertIn("libtenure_again.so", err)


if __name__ == "__main__":
    unittest.main()
