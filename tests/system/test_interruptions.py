"""Whatever stops a run, what was written stays, and running again completes it: every row once, the same as undisturbed."""

import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import unittest

from harness import (BAD_PLAN, CANNOT_CREATE, DATA, IO_ERROR, OK, POLICIES, STOPPED, TENURE, TEST_PLUGINS, TINY, PipelineCase, generate,
                     key_of, lasting, pipeline, reader, tokens)


class LongRun(PipelineCase):
    def assert_whole(self, run, undisturbed):
        """Every row once, as undisturbed; nothing torn."""
        keys = [key_of(row) for row in run.lines]
        self.assertEqual(len(keys), len(set(keys)), "a row was written twice")
        self.assertEqual(set(keys), set(undisturbed.rows))
        for key, row in run.rows.items():
            self.assertEqual(lasting(row), lasting(undisturbed.rows[key]), key)
        self.assertTrue((run.directory / "DONE").exists())
        self.assertEqual(undisturbed.summary["cells"][0]["n"], run.summary["cells"][0]["n"])

    def long_run(self, n=60, max_new_tokens=60, **more):
        """A pipeline that takes a second or two, and its requests."""
        stages = [reader(), generate("full", max_new_tokens=max_new_tokens), generate("h2o", max_new_tokens=max_new_tokens)]
        requests = [{"id": f"r{i}", "tokens": tokens(i, 30 + i % 50)} for i in range(n)]
        more.setdefault("backend", {"threads": 1})
        return pipeline(stages, POLICIES, **more), requests

    def n_rows(self, out):
        results = self.folder / out / "results.jsonl"
        return results.read_bytes().count(b"\n") if results.exists() else 0

    @contextlib.contextmanager
    def held(self, text, out, n_rows):
        """A started run that stands still with `n_rows` (a range) written, until let_go: what the test counts and sends meanwhile belongs
        to one moment of it. One that got further while the test was not scheduled is done anew."""
        while True:
            with self.started(self.write(text), self.folder / out) as process:
                self.wait_for(lambda: self.n_rows(out) >= n_rows.start, "rows")
                os.kill(process.pid, signal.SIGSTOP)  # send_signal() would fetch it if it has ended
                end = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                if end.si_code == os.CLD_STOPPED and self.n_rows(out) in n_rows:
                    yield process
                    return
            shutil.rmtree(self.folder / out)

    def let_go(self, process, *signals):
        """Sends the signals, each once the one before was received, and lets a held process go on."""
        for number in signals:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            self.wait_for(lambda number=number: process.poll() is not None or not self.is_pending(process, number), "a signal's handler")
        process.send_signal(signal.SIGCONT)

    @staticmethod
    def is_pending(process, number):
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        pending = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("ShdPnd:"))
        return pending >> (number - 1) & 1 == 1


class Interruptions(LongRun):
    def test_kill_9_at_50_random_moments(self):
        text, requests = self.long_run(n=120, max_new_tokens=100, engine={"in_flight": 8})
        undisturbed = self.run_tenure(text, requests, out="undisturbed")
        path, chance = self.write(text), random.Random(5)
        n_kills, seen = 0, []
        n_all = len(undisturbed.rows)
        while n_kills < 50 or len({n for n in seen if 0 < n < n_all}) <= 5:  # moments in the middle
            with self.started(path, self.folder / "killed") as process:
                try:
                    process.wait(timeout=chance.uniform(0.01, max(0.1, undisturbed.seconds / 12)))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    n_kills += 1
                    seen.append(self.n_rows("killed"))
                    continue
            self.assertEqual(process.returncode, OK)
            # It got through: what it left is judged, and the killing starts over in a fresh directory.
            self.assert_whole(self.run_tenure(text, out="killed"), undisturbed)
            shutil.rmtree(self.folder / "killed")
        self.assert_whole(self.run_tenure(text, out="killed"), undisturbed)

    def test_sigterm_with_8_in_flight_drains_and_resume_completes(self):
        text, requests = self.long_run(n=80, max_new_tokens=200, engine={"in_flight": 8})
        undisturbed = self.run_tenure(text, requests)
        with self.held(text, "stopped", range(10, 50)) as process:
            n_at_signal = self.n_rows("stopped")
            self.let_go(process, signal.SIGTERM)
            self.assertEqual(process.wait(), STOPPED)
        # Of 160: twice 8 requests are read ahead, of two rows each, and as many again may begin until the signal is seen.
        self.assertLessEqual(self.n_rows("stopped") - n_at_signal, 2 * 32, "only what runs may be finished")
        summary = json.loads((self.folder / "stopped" / "summary.json").read_text())
        self.assertEqual(summary["exit_code"], STOPPED)
        self.assertFalse((self.folder / "stopped" / "DONE").exists())
        code, _, stderr = self.tenure("resume", self.folder / "stopped", "--quiet")
        self.assertEqual(code, OK, stderr)
        self.assert_whole(self.run_tenure(text, out="stopped"), undisturbed)

    def long_answers(self, **more):
        """Four short answers and two of a second or two each: what a drain would have to wait for."""
        requests = [{"id": f"short-{i}", "tokens": tokens(i, 20), "max_new_tokens": 5} for i in range(4)]
        requests += [{"id": f"long-{i}", "tokens": tokens(i, 20), "max_new_tokens": 20000} for i in range(2)]
        return pipeline([reader(), generate("streaming_llm")], POLICIES, backend={"threads": 1}, **more), requests

    def test_a_second_signal_ends_it_at_once_with_the_journal_intact(self):
        text, requests = self.long_answers()
        undisturbed = self.run_tenure(text, requests)
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            out = f"twice-{code}"
            with self.held(text, out, range(3, 5)) as process:
                self.let_go(process, number, number)
                self.assertEqual(process.wait(), code)
            self.assertLessEqual(self.n_rows(out), 4, "the long ones were not waited for")
            for line in (self.folder / out / "results.jsonl").read_bytes().splitlines(keepends=True):
                self.assertTrue(line.endswith(b"\n"))
                json.loads(line)
            self.assert_whole(self.run_tenure(text, out=out), undisturbed)

    def test_a_drain_that_takes_too_long_is_cut(self):
        text, requests = self.long_answers(run={"drain": "100ms"})
        undisturbed = self.run_tenure(text, requests)
        with self.held(text, "cut", range(4, 5)) as process:
            self.let_go(process, signal.SIGINT)
            self.assertEqual(process.wait(), STOPPED)
        self.assertEqual(self.n_rows("cut"), 4)
        self.assert_whole(self.run_tenure(text, out="cut"), undisturbed)

    def test_a_second_process_on_the_same_run_is_turned_away(self):
        text, requests = self.long_run(n=80, max_new_tokens=200)
        self.write(text, requests)
        with self.held(text, "shared", range(1, 160)) as process:
            second = self.run_tenure(text, out="shared", expect=STOPPED)
            self.assertIn("locked", second.stderr)
            self.assertIn(str(process.pid), second.stderr)
            self.let_go(process)
            self.assertEqual(process.wait(), OK, "the first must go on")

    def test_run_again_after_done_does_nothing(self):
        text, requests = self.long_run(n=3, max_new_tokens=4)
        first = self.run_tenure(text, requests, out="once")
        before = (first.directory / "results.jsonl").read_bytes()
        self.assertIn("done already", self.run_tenure(text, out="once").stderr)
        self.assertEqual((first.directory / "results.jsonl").read_bytes(), before)

    def test_resuming_with_another_plan_names_what_differs(self):
        plugin_folder = self.folder / "plugins"
        shutil.copytree(TEST_PLUGINS.parent / "plugins", plugin_folder)
        model = self.folder / "model.gguf"
        shutil.copy(TINY, model)
        requests = [{"id": "a", "tokens": tokens(1, 20)}]

        def text(**stage):
            return pipeline([reader(), generate("h2o", max_new_tokens=4, **stage)], POLICIES, model=model)

        options = ("--plugin-dir", str(plugin_folder))
        self.run_tenure(text(), requests, out="kept", options=options)
        (self.folder / "kept" / "DONE").unlink()
        self.run_tenure(text(), requests, out="kept", options=options)  # the same: fine
        (self.folder / "kept" / "DONE").unlink()

        def differs(expected, requests=requests, **stage):
            refused = self.run_tenure(text(**stage), requests, out="kept", options=options, expect=BAD_PLAN)
            self.assertIn(expected, refused.stderr)

        differs("seed", seed=7)
        differs("stop", stop=["x"])
        differs("requests.jsonl", requests=[{"id": "a", "tokens": tokens(2, 20)}])
        self.write("", requests)
        shutil.copy(DATA / "tiny-llama-f16.gguf", model)
        differs("model.gguf")
        shutil.copy(TINY, model)
        with open(plugin_folder / "libtenure_policy_h2o.so", "ab") as library:
            library.write(b"\0")
        differs("h2o")
        refused = self.tenure("resume", self.folder / "kept", "--quiet")
        self.assertEqual(refused[0], BAD_PLAN, refused[2])

    def test_retry_errors_does_the_failed_rows_again(self):
        policies = {"faulty": {"plugin": "faulty", "budget": 20, "chunk": 16, "fault": "fail_select", "after_tokens": 50}}
        requests = [{"id": "short", "tokens": tokens(1, 40)}, {"id": "long", "tokens": tokens(2, 90)}]
        text = pipeline([reader(), generate("faulty", max_new_tokens=4)], policies, run={"max_errors": 1})
        first = self.run_tenure(text, requests, out="errors")
        self.assertEqual([first.row("short")["status"], first.row("long")["status"]], ["ok", "error"])
        code, _, stderr = self.tenure("resume", first.directory, "--retry-errors", "--quiet")
        self.assertEqual(code, OK, stderr)
        lines = self.run_tenure(text, out="errors").lines
        self.assertEqual([(r["id"], r["attempt"]) for r in lines if r["id"] == "long"], [("long", 1), ("long", 2)])
        self.assertEqual(sum(r["id"] == "short" for r in lines), 1)

    def test_errors_are_not_written_again_by_a_resume(self):
        requests = [{"id": "good", "tokens": tokens(1, 9)}, {"id": "long", "tokens": tokens(2, 600)}, {"id": "bad", "prompt": 7}, b"{"]
        text = pipeline([reader(), generate("full", max_new_tokens=4, samples=3, temperature=1.0)], POLICIES, run={"max_errors": 9})
        first = self.run_tenure(text, requests, out="errors")
        self.assertEqual(len(first.lines), 3 + 1 + 1 + 1)
        (first.directory / "DONE").unlink()
        again = self.run_tenure(text, out="errors")
        self.assertEqual([key_of(row) for row in again.lines], [key_of(row) for row in first.lines])


class Disk(LongRun):
    """Full disks, closed streams, folders that cannot be written."""

    def test_a_full_disk_ends_the_run_and_a_resume_completes_it(self):
        text, requests = self.long_run(n=60, max_new_tokens=40)
        undisturbed = self.run_tenure(text, requests)
        size = (undisturbed.directory / "results.jsonl").stat().st_size

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 3, size // 3))

        full = self.run_tenure(text, requests, out="full", expect=IO_ERROR, preexec_fn=small_files)
        n = (full.directory / "results.jsonl").read_bytes().count(b"\n")
        self.assertTrue(0 < n < len(undisturbed.rows))
        self.assert_whole(self.run_tenure(text, out="full"), undisturbed)

    @unittest.skipUnless(os.geteuid() == 0, "mounting a tmpfs needs root")
    def test_a_full_tmpfs(self):
        mount = self.folder / "small"
        mount.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"no tmpfs here: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", str(mount)], check=False)
        text, requests = self.long_run(n=60, max_new_tokens=40)
        undisturbed = self.run_tenure(text, requests)
        full = self.run_tenure(text, out="small/run", expect=None)
        self.assertIn(full.code, (IO_ERROR, CANNOT_CREATE), full.stderr)
        subprocess.run(["mount", "-o", "remount,size=8m", str(mount)], check=True)
        self.assert_whole(self.run_tenure(text, out="small/run"), undisturbed)

    @unittest.skipIf(os.geteuid() == 0 and not shutil.which("setpriv"), "root writes everywhere, and there is no setpriv")
    def test_a_folder_that_cannot_be_written(self):
        locked = self.folder / "locked"
        locked.mkdir(mode=0o555)
        text, requests = self.long_run(n=1)
        path = self.write(text, requests)
        command = self.command(path, locked / "run")
        if os.geteuid() == 0:
            self.folder.chmod(0o755)
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        done = subprocess.run(command, capture_output=True, cwd="/", check=False)
        if b"Permission denied" in done.stderr and b"setpriv" in done.stderr:
            self.skipTest("the build folder is not readable to others")
        self.assertEqual(done.returncode, CANNOT_CREATE, done.stderr)
        self.assertIn(b"locked", done.stderr)

    def test_closed_streams_do_not_harm_the_run(self):
        text, requests = self.long_run(n=4, max_new_tokens=4)
        undisturbed = self.run_tenure(text, requests)
        path = self.write(text)
        for name, redirection in (("stdout", ">&-"), ("stderr", "2>&-"), ("both", ">&- 2>&-"), ("all", "<&- >&- 2>&-")):
            out = self.folder / name
            command = " ".join(self.command(path, out)).replace("--quiet", "")
            code = subprocess.run(["/bin/sh", "-c", f"exec {command} {redirection}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  check=False, timeout=60).returncode
            self.assertEqual(code, OK, name)
            self.assert_whole(self.run_tenure(text, out=name), undisturbed)
            self.assertEqual(len({key_of(json.loads(line)) for line in (out / "results.jsonl").read_bytes().splitlines()}), 8)

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        code = subprocess.run(["/bin/sh", "-c", f"{TENURE} --help | head -n 1 >/dev/null"], check=False).returncode
        self.assertEqual(code, 0)
        text, requests = self.long_run(n=3, max_new_tokens=4)
        path = self.write(text, requests)
        command = " ".join(self.command(path, self.folder / "piped"))
        done = subprocess.run(["/bin/sh", "-c", f"{command} | true"], capture_output=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertTrue((self.folder / "piped" / "DONE").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
