"""Drives the built `tenure` as a user does: writes a pipeline and requests into a folder, runs it, reads what it left.

The build folder is TENURE_BUILD_DIR. `tiny` models are committed and take milliseconds; the real model is fetched by
scripts/fetch_model.sh, and cases that want it are skipped, with the reason, where it is absent.
"""

import contextlib
import copy
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TENURE_BUILD_DIR", ROOT / "build" / "release"))
TENURE = BUILD / "bin" / "tenure"
TEST_PLUGINS = BUILD / "lib" / "tenure" / "test_plugins"
DATA = ROOT / "tests" / "data"
TINY = DATA / "tiny-llama-f32.gguf"
TINY_CONTEXT = 512
FIRST_PLAIN_TOKEN, N_VOCAB = 17, 320  # of the tiny models: 17 special tokens, then text
MODEL = ROOT / "models" / "smollm2-135m-instruct.gguf"
MODEL_Q8_0 = ROOT / "models" / "smollm2-135m-instruct.Q8_0.gguf"

# docs/pipelines.md
OK, USAGE, BAD_DATA, NO_INPUT, UNAVAILABLE, INTERNAL = 0, 64, 65, 66, 69, 70
CANNOT_CREATE, IO_ERROR, STOPPED, BAD_PLAN, GATE_FAILED, TOO_MANY_ERRORS = 73, 74, 75, 78, 100, 101


def needs(path):
    """Skips a case, saying why, where a model file was not fetched or made."""
    return unittest.skipUnless(path.exists(), f"{path.relative_to(ROOT)} is not there (scripts/fetch_model.sh, bench/peer.sh)")


def tokens(seed, n):
    """n plain token ids of the tiny models, the same for the same seed."""
    chosen = random.Random(seed)
    return [chosen.randrange(FIRST_PLAIN_TOKEN, N_VOCAB) for _ in range(n)]


def prose(seed, n_words):
    """Seeded English-like text for the real model."""
    words = """the cache keeps tokens that a later question may need while other words are released when their budget is
    spent and the reader of a long report asks who wrote it where it was found why the river turned cold which city had
    seven bridges how many ships left before winter and what the captain said to his crew about silver lamps""".split()
    chosen = random.Random(seed)
    sentences = []
    while n_words > 0:
        n = min(n_words, chosen.randrange(6, 14))
        sentences.append(" ".join(chosen.choice(words) for _ in range(n)).capitalize() + ".")
        n_words -= n
    return " ".join(sentences)


def _toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(str(value))


def pipeline(stages, policies=None, model=TINY, run=None, backend=None, engine=None, gates=(), matrix=None):
    """Pipeline text. stages: [{id, kind, …}]; policies: {name: {plugin, …}}. Strict unless `engine` says otherwise."""
    sections = {
        "run": run or {},
        "model": {"path": model},
        "backend": {"plugin": "cpu", "threads": 2, **(backend or {})},
        "engine": {"memory": "256 MiB", "determinism": "strict", **(engine or {})},
    }
    sections.update({f"policy.{name}": values for name, values in (policies or {}).items()})
    if matrix:
        sections["matrix"] = matrix
    text = "tenure = 1\n"
    for name, values in sections.items():
        text += f"\n[{name}]\n" + "".join(f"{key if name != 'matrix' else json.dumps(key)} = {_toml(v)}\n" for key, v in values.items())
    for kind, tables in (("stage", stages), ("gate", gates)):
        for table in tables:
            text += f"\n[[{kind}]]\n" + "".join(f"{key} = {_toml(v)}\n" for key, v in table.items())
    return text


def reader(path="requests.jsonl", **more):
    return {"id": "requests", "kind": "read_jsonl", "path": path, **more}


def generate(policy, id=None, **more):
    return {"id": id or policy, "kind": "generate", "from": "requests", "policy": policy, "max_new_tokens": 16,
            "ignore_eos": True, **more}


def score(policy, id=None, **more):
    return {"id": id or policy, "kind": "score", "from": "requests", "policy": policy, **more}


# Small enough that the prompts of these tests lose most of their slots.
POLICIES = {
    "full": {"plugin": "full"},
    "streaming_llm": {"plugin": "streaming_llm", "budget": 40, "chunk": 32},
    "h2o": {"plugin": "h2o", "budget": 40, "chunk": 32},
    "random": {"plugin": "random", "budget": 40, "chunk": 32},
    "knorm": {"plugin": "knorm", "budget": 40, "chunk": 32},
    "keydiff": {"plugin": "keydiff", "budget": 40, "chunk": 32, "period": 8},
    "tova": {"plugin": "tova", "budget": 40, "chunk": 32},
    "snapkv": {"plugin": "snapkv", "budget": 40, "chunk": 32, "window": 8, "n_recent": 8},
    "pyramidkv": {"plugin": "pyramidkv", "budget": 40, "chunk": 32, "window": 8, "n_recent": 8},
    "adakv": {"plugin": "adakv", "inner": "knorm", "budget": 40, "chunk": 32, "when": ["chunk", "decode"]},
    "lagkv": {"plugin": "lagkv", "budget": 40, "chunk": 32, "period": 8},
    "expected_attention": {"plugin": "expected_attention", "budget": 40, "chunk": 32, "period": 8},
    "rkv": {"plugin": "rkv", "budget": 40, "chunk": 32, "period": 8},
}


class Run:
    """A finished process and the run directory it left."""

    def __init__(self, directory, code, stdout, stderr, seconds):
        self.directory, self.code, self.stdout, self.stderr, self.seconds = directory, code, stdout, stderr, seconds

    @property
    def lines(self):
        results = self.directory / "results.jsonl"
        return [json.loads(line) for line in results.read_bytes().splitlines()] if results.exists() else []

    @property
    def rows(self):
        """{(id, cell, stage, sample): row}; the last attempt counts."""
        return {key_of(row): row for row in self.lines}

    def row(self, id, stage=None, cell="", sample=0):
        found = [r for k, r in self.rows.items() if k[0] == id and k[1] == cell and k[3] == sample and stage in (None, k[2])]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} rows of {id} {stage}\n{self.stderr}")
        return found[0]

    @property
    def summary(self):
        return json.loads((self.directory / "summary.json").read_text(encoding="utf-8"))

    @property
    def manifest(self):
        return json.loads((self.directory / "manifest.json").read_text(encoding="utf-8"))


def key_of(row):
    return row["id"], row["cell"], row["stage"], row["sample"]


def lasting(row):
    """What of a row must not depend on neighbours, order, threads or interruptions."""
    row = copy.deepcopy(row)
    del row["timing"], row["attempt"]
    for segment in row["segments"]:
        del segment["ttft_ms"]
    return row


def verdict(row):
    """Tokens and log-probabilities, whatever the policy, the stage or the cache."""
    return [(s["tokens"], s["logprob"], s["finish"]) for s in row["segments"]], row["score"], row["status"]


class PipelineCase(unittest.TestCase):
    """A case with a folder of its own."""

    maxDiff = 4000

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tenure-system-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.n_runs = 0

    def write(self, text, requests=None, name="pipeline.toml"):
        """The pipeline's path. requests: dicts, or lines as bytes."""
        if requests is not None:
            lines = (r if isinstance(r, bytes) else json.dumps(r).encode() for r in requests)
            (self.folder / "requests.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def command(self, pipeline_path, out, *options):
        return [str(TENURE), "run", str(pipeline_path), "--out", str(out), "--quiet", "--plugin-dir", str(TEST_PLUGINS), *options]

    def tenure(self, *arguments, stdin=b"", timeout=300, **more):
        """(exit code, stdout, stderr) of any command."""
        done = subprocess.run([str(TENURE), *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout,
                              cwd=self.folder, check=False, **more)
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def run_tenure(self, text, requests=None, options=(), out=None, expect=OK, **more):
        """Runs the pipeline into a fresh directory (or `out`) and asserts the exit code."""
        self.n_runs += 1
        directory = self.folder / (out or f"run-{self.n_runs}")
        path = self.write(text, requests)
        began = time.monotonic()
        code, stdout, stderr = self.tenure(*self.command(path, directory, *options)[1:], **more)
        run = Run(directory, code, stdout, stderr, time.monotonic() - began)
        if expect is not None:
            self.assertEqual(code, expect, stderr)
        return run

    @contextlib.contextmanager
    def started(self, pipeline_path, out, *options, **more):
        """A running process; killed, if it still runs, when the block ends."""
        process = subprocess.Popen(self.command(pipeline_path, out, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, cwd=self.folder, **more)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def wait_for(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"waited in vain for {what}")
            time.sleep(0.005)
