"""Faults of write(2), put in by strace: interrupted calls are made again, an I/O error ends the run with what was written."""

import re
import shutil
import subprocess
import unittest

from harness import IO_ERROR, OK, POLICIES, PipelineCase, generate, key_of, lasting, pipeline, reader, tokens


def can_trace():
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(can_trace(), "strace is not there, or may not trace here")
class WriteFaults(PipelineCase):
    def setUp(self):
        super().setUp()
        requests = [{"id": f"r{i}", "tokens": tokens(i, 40)} for i in range(12)]
        text = pipeline([reader(), generate("full"), generate("h2o")], POLICIES)
        self.undisturbed = self.run_tenure(text, requests, out="undisturbed")
        self.path = self.write(text)

    def run_with(self, fault, out):
        """(exit code, stderr) of a run whose writes to the rows' file meet the fault."""
        results = self.folder / out / "results.jsonl"
        trace = self.folder / "trace"
        done = subprocess.run(["strace", "-f", "-o", str(trace), "-P", str(results), "-e", "trace=write", "-e", f"inject=write:{fault}",
                               *self.command(self.path, self.folder / out)], capture_output=True, timeout=120, cwd=self.folder, check=False)
        self.assertRegex(trace.read_text(errors="replace"), "INJECTED", "the fault was never met")
        return done.returncode, done.stderr.decode(errors="replace")

    def assert_whole(self, out):
        run = self.run_tenure(self.path.read_text(encoding="utf-8"), out=out)
        self.assertEqual(len(run.lines), len({key_of(row) for row in run.lines}), "a row was written twice")
        self.assertEqual({k: lasting(r) for k, r in run.rows.items()}, {k: lasting(r) for k, r in self.undisturbed.rows.items()})

    def test_interrupted_writes_are_made_again(self):
        code, stderr = self.run_with("error=EINTR:when=2+3", "interrupted")
        self.assertEqual(code, OK, stderr)
        self.assert_whole("interrupted")

    def test_an_io_error_ends_the_run_and_running_again_completes_it(self):
        code, stderr = self.run_with("error=EIO:when=5", "broken")
        self.assertEqual(code, IO_ERROR, stderr)
        self.assertTrue(re.search("results.jsonl", stderr), stderr)
        written = (self.folder / "broken" / "results.jsonl").read_bytes()
        # strace counts each thread's writes for itself, so the fifth of some thread may be a later one of the run.
        self.assertGreaterEqual(written.count(b"\n"), 4)
        self.assertLess(written.count(b"\n"), len(self.undisturbed.rows))
        self.assertTrue(written.endswith(b"\n"), "a torn row was left")
        self.assert_whole("broken")


if __name__ == "__main__":
    unittest.main()
