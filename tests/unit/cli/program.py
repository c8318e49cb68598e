"""Runs the built program in a folder of its own."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("TENURE_BUILD_DIR", ROOT / "build" / "release"))
TENURE = BUILD / "bin" / "tenure"
PLUGINS = BUILD / "lib" / "tenure" / "plugins"
TEST_PLUGINS = BUILD / "lib" / "tenure" / "test_plugins"
TINY = ROOT / "tests" / "data" / "tiny-llama-f32.gguf"

# docs/pipelines.md
OK, USAGE, BAD_DATA, NO_INPUT, UNAVAILABLE, CANNOT_CREATE, STOPPED, BAD_PLAN = 0, 64, 65, 66, 69, 73, 75, 78

PIPELINE = """\
tenure = 1
[model]
path = "{model}"
[engine]
memory = "256 MiB"
[policy.bounded]
plugin = "streaming_llm"
budget = 64
chunk = 32
[[stage]]
id = "prompts"
kind = "read_jsonl"
path = "prompts.jsonl"
[[stage]]
id = "all"
kind = "generate"
from = "prompts"
max_new_tokens = 8
ignore_eos = true
[[stage]]
id = "bounded"
kind = "generate"
from = "prompts"
policy = "bounded"
max_new_tokens = 8
ignore_eos = true
"""
# Two cells of "bounded"; "all" is shared by both.
MATRIX = '[matrix]\n"policy.bounded.budget" = [32, 64]\n'
WRITER = '[[stage]]\nid = "view"\nkind = "write_jsonl"\nfrom = ["all", "bounded"]\npath = "view.jsonl"\n'


class ProgramCase(unittest.TestCase):
    """A case with an empty current folder and an environment without plugins but the built ones."""

    maxDiff = 4000

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tenure-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.environment = {**os.environ, "XDG_DATA_HOME": str(self.folder / "no-user-plugins")}
        self.environment.pop("TENURE_PLUGIN_PATH", None)

    def tenure(self, *arguments, expect=OK, stdin=b"", **environment):
        """(stdout, stderr) after the exit code was as expected."""
        done = subprocess.run([str(TENURE), *map(str, arguments)], input=stdin, capture_output=True, cwd=self.folder, timeout=100,
                              env={**self.environment, **environment}, check=False)
        stderr = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, expect, f"{arguments}\n{stderr}")
        return done.stdout.decode(errors="replace"), stderr

    def write(self, text, name="pipeline.toml"):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def pipeline(self, more="", model=TINY):
        return self.write(PIPELINE.format(model=model) + more)

    def prompts(self, n=3):
        return self.write("".join(f'{{"id": "{i}", "prompt": "the story of number {i}, told at some length by the fire"}}\n' for i in range(n)),
                          "prompts.jsonl")
