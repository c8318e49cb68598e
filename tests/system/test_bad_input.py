"""Bad input costs the request that brought it, and nothing else."""

import json
import math
import os
import struct
import subprocess
import unittest

from harness import (BAD_DATA, BAD_PLAN, MODEL, N_VOCAB, NO_INPUT, OK, POLICIES, TEST_PLUGINS, TINY, TINY_CONTEXT, TOO_MANY_ERRORS, PipelineCase,
                     generate, lasting, needs, pipeline, reader, tokens)
from tiny_llama import GgufTensors

FULL = {"full": {"plugin": "full"}}
GOOD = {"id": "good", "tokens": tokens(1, 30)}
LAST = {"id": "last", "tokens": tokens(2, 40)}


class BadInput(PipelineCase):
    def text(self, max_errors=0, run=None, **stage):
        return pipeline([reader(), generate("full", **{"max_new_tokens": 6, **stage})], FULL, run={"max_errors": max_errors, **(run or {})})

    def assert_error(self, row, code, *said):
        self.assertEqual((row["status"], row["error"]["code"], row["segments"], row["finish"]), ("error", code, [], None), row["error"])
        for words in said:
            self.assertIn(words, row["error"]["message"])

    def test_input_that_cannot_be_read(self):
        cases = {"missing.jsonl": "missing.jsonl", "folder": "folder", "*.nothing": "*.nothing"}
        (self.folder / "folder").mkdir()
        for path, said in cases.items():
            run = self.run_tenure(pipeline([reader(path), generate("full")], FULL), expect=NO_INPUT)
            self.assertIn(said, run.stderr)
            self.assertFalse((run.directory / "results.jsonl").exists())
        missing_model = pipeline([reader(), generate("full")], FULL, model=self.folder / "no.gguf")
        self.assertIn("no.gguf", self.run_tenure(missing_model, [GOOD], expect=NO_INPUT).stderr)

    def test_empty_input_is_no_error(self):
        for lines in ([], [b""], [b"", b"  ", b"\r"]):
            run = self.run_tenure(self.text(), lines)
            self.assertEqual(run.lines, [])
            self.assertTrue((run.directory / "DONE").exists())

    def test_one_bad_line_among_many(self):
        requests = [GOOD, b'{"id": "torn", "prompt": "x', {"id": "7", "prompt": 7}, {"prompt": "no id"}, {"id": 5, "prompt": "x"},
                    {"id": "typo", "promt": "x"}, {"id": "two", "prompt": "x", "tokens": [20]}, {"id": "empty", "prompt": ""},
                    {"id": "outside", "tokens": [N_VOCAB]}, {"id": "negative", "tokens": [-1]}, [1, 2], LAST]
        run = self.run_tenure(self.text(), requests, expect=TOO_MANY_ERRORS)
        self.assertEqual(len(run.rows), len(requests))
        for id, line, said in [("line-2", 2, ""), ("7", 3, "prompt"), ("line-4", 4, "id"), ("line-5", 5, "id"), ("typo", 6, "promt"),
                               ("two", 7, "tokens"), ("empty", 8, "prompt"), ("negative", 10, "tokens"), ("line-11", 11, "object")]:
            self.assert_error(run.row(id), "bad_request", f"line {line}", said)
        self.assert_error(run.row("outside"), "bad_request", str(N_VOCAB))
        alone = self.run_tenure(self.text(), [GOOD, LAST])
        for id in ("good", "last"):
            self.assertEqual(lasting(run.row(id)), lasting(alone.row(id)))

    def test_the_exit_code_counts_errors_against_what_is_allowed(self):
        requests = [GOOD, b"{", LAST, {"id": "x", "prompt": 1}]
        for allowed, code in ((0, TOO_MANY_ERRORS), (1, TOO_MANY_ERRORS), (2, OK), (0.4, TOO_MANY_ERRORS), (0.5, OK)):
            run = self.run_tenure(self.text(max_errors=allowed), requests, expect=code)
            self.assertEqual(run.summary["exit_code"], code)
            self.assertTrue((run.directory / "DONE").exists())

    def test_line_ends_blank_lines_and_a_byte_order_mark(self):
        lines = [json.dumps(GOOD).encode(), json.dumps(LAST).encode()]
        plain = self.run_tenure(self.text(), [GOOD, LAST])
        for content in (b"\n\n" + lines[0] + b"\n\n   \n" + lines[1], lines[0] + b"\r\n\r\n" + lines[1] + b"\r\n", b"\xef\xbb\xbf" + lines[0] + b"\n" + lines[1]):
            path = self.write(self.text())
            (self.folder / "requests.jsonl").write_bytes(content)
            run = self.run_tenure(path.read_text())
            self.assertEqual({k: lasting(r) for k, r in run.rows.items()}, {k: lasting(r) for k, r in plain.rows.items()})

    def test_duplicate_ids(self):
        run = self.run_tenure(self.text(), [GOOD, LAST, {**GOOD, "tokens": tokens(9, 5)}, GOOD], expect=TOO_MANY_ERRORS)
        self.assertEqual(len(run.lines), 4)
        self.assertEqual(run.row("good")["status"], "ok")
        for line in (3, 4):
            self.assert_error(run.row(f"good#line-{line}"), "bad_request", "line 1", f"line {line}", "good")

    def test_hostile_json(self):
        deep = b"[" * 100_000 + b"]" * 100_000
        requests = [GOOD, b'{"id": "twice", "prompt": "a", "prompt": "b"}', b'{"id": "deep", "prompt": ' + deep + b"}",
                    b'{"id": "big", "prompt": "x", "max_new_tokens": 1e400}', b'{"id": "digits", "prompt": "x", "seed": ' + b"9" * 40 + b"}",
                    b'{"id": "surrogate", "prompt": "\\ud800"}', b'{"id": "utf8", "prompt": "\xff\xfe"}', b'{"id": "nul", "prompt": "\0"}',
                    b'{"id": "nan", "prompt": "x", "seed": NaN}', b"\x00\x01\x02", b'{"id": "x", "tokens": [1e9999]}', LAST]
        run = self.run_tenure(self.text(), requests, expect=TOO_MANY_ERRORS)
        self.assertEqual(len(run.lines), len(requests))
        bad = [row for row in run.lines if row["id"] not in ("good", "last")]
        for row in bad:
            self.assert_error(row, "bad_request")
        self.assertEqual([run.row(i)["status"] for i in ("good", "last")], ["ok", "ok"])

    def test_a_line_of_a_gigabyte_takes_bounded_memory(self):
        path = self.write(self.text())
        with open(self.folder / "requests.jsonl", "wb") as file:
            file.write(json.dumps(GOOD).encode() + b'\n{"id": "huge", "prompt": "')
            file.seek(1 << 30, os.SEEK_CUR)  # a hole: NUL bytes
            file.write(b'"}\n' + json.dumps(LAST).encode() + b"\n")
        run = self.run_tenure(path.read_text(), expect=TOO_MANY_ERRORS)
        self.assertEqual([run.row(i)["status"] for i in ("good", "last")], ["ok", "ok"])
        self.assert_error(run.row("line-2"), "bad_request", "line 2", "longer than")
        self.assertLess(run.summary["rss_peak_bytes"], 600 << 20)

    def test_too_long_for_the_context(self):
        requests = [GOOD, {"id": "long", "tokens": tokens(3, TINY_CONTEXT - 5)}, {"id": "fits", "tokens": tokens(3, TINY_CONTEXT - 6)}, LAST]
        run = self.run_tenure(self.text(), requests, expect=TOO_MANY_ERRORS)
        self.assert_error(run.row("long"), "too_long", str(TINY_CONTEXT + 1), str(TINY_CONTEXT))
        self.assertEqual([run.row(i)["status"] for i in ("good", "fits", "last")], ["ok"] * 3)
        cut = self.run_tenure(self.text(overflow="truncate_middle"), requests)
        self.assertEqual(cut.row("long")["usage"]["prompt_tokens"], TINY_CONTEXT - 6)
        self.assertEqual(len(cut.row("long")["tokens"]), 6)

    def assert_megabytes_are_refused(self, model):
        texts = {"letters": "a" * 1_000_000, "spaces": " " * 1_000_000, "combining": "e" + "\u0301" * 500_000, "emoji": "\U0001f600" * 250_000,
                 "lines": "\n" * 1_000_000, "digits": "7" * 1_000_000}
        requests = [{"id": name, "prompt": text} for name, text in texts.items()]
        run = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=4)], FULL, model=model), requests, expect=TOO_MANY_ERRORS)
        for name in texts:
            self.assert_error(run.row(name), "too_long")

    def test_a_megabyte_of_one_character(self):
        self.assert_megabytes_are_refused(TINY)

    @needs(MODEL)
    def test_a_megabyte_of_one_character_for_the_real_tokenizer(self):
        self.assert_megabytes_are_refused(MODEL)

    def test_text_that_ends_inside_a_character_is_valid_json_with_exact_tokens(self):
        requests = [{"id": f"{i}", "tokens": tokens(i, 12)} for i in range(30)]
        run = self.run_tenure(self.text(max_new_tokens=20, temperature=1.5), requests)
        raw = (run.directory / "results.jsonl").read_bytes()
        raw.decode("utf-8")  # strict
        self.assertIn("\ufffd", "".join(row["text"] for row in run.lines))
        for row in run.lines:
            self.assertEqual(len(row["tokens"]), 20)

    def model_with(self, tensor, row, row_floats, value):
        """The tiny model with `value` in a row of an f32 tensor."""
        data = bytearray(TINY.read_bytes())
        offset = GgufTensors(data).tensors[tensor][0] + row * row_floats * 4
        data[offset:offset + 4] = struct.pack("<f", value)
        path = self.folder / "poisoned.gguf"
        path.write_bytes(data)
        return path

    def test_nan_in_one_tokens_embedding_fails_only_its_requests(self):
        for value in (math.nan, math.inf):
            model = self.model_with("token_embd.weight", 200, 64, value)
            clean = [{"id": f"{i}", "tokens": [t for t in tokens(i, 40) if t != 200]} for i in range(6)]
            bad = {"id": "bad", "tokens": tokens(7, 9) + [200] + tokens(8, 9)}
            text = pipeline([reader(), generate("full", max_new_tokens=6)], FULL, model=model, run={"max_errors": 99})
            run = self.run_tenure(text, clean[:3] + [bad] + clean[3:])
            self.assert_error(run.row("bad"), "numeric", "layer 0", "token 9", "step 0")
            self.assertIsNone(run.row("bad")["error"]["plugin"])
            # The embedding is the head too: its row 200 spoils every logit of token 200, which nobody can ask about.
            reference = self.run_tenure(text, clean)
            for request in clean:
                self.assertEqual(lasting(run.row(request["id"])), lasting(reference.row(request["id"])))

    def test_nan_in_a_layer_names_the_layer_after_it(self):
        model = self.model_with("blk.1.ffn_down.weight", 3, 96, math.nan)
        text = pipeline([reader(), generate("full", max_new_tokens=6)], FULL, model=model)
        run = self.run_tenure(text, [GOOD], expect=TOO_MANY_ERRORS)
        self.assert_error(run.row("good"), "numeric", "layer 2")

    def test_time_limit(self):
        text = pipeline([reader(), generate("streaming_llm", max_new_tokens=1_000_000)], POLICIES, run={"time_limit": "200ms"}, engine={"in_flight": 2})
        run = self.run_tenure(text, [GOOD, {"id": "quick", "tokens": tokens(3, 3), "max_new_tokens": 1}])
        row = run.row("good")
        self.assertEqual((row["status"], row["finish"], row["error"]["code"]), ("limit", "limit", "time_limit"))
        self.assertEqual(run.row("quick")["status"], "ok")
        self.assertEqual(run.summary["cells"][0]["n"]["limit"], 1)


class FaultyPolicies(PipelineCase):
    def run_fault(self, fault, after_tokens=60, expect=TOO_MANY_ERRORS, run=None, n=6, **policy):
        policies = {"faulty": {"plugin": "faulty", "budget": 30, "chunk": 24, "fault": fault, "after_tokens": after_tokens, **policy}}
        requests = [{"id": f"{i}", "tokens": tokens(i, 50)} for i in range(n)] + [{"id": "victim", "tokens": tokens(9, 100)}]
        return self.run_tenure(pipeline([reader(), generate("faulty", max_new_tokens=6)], policies, run=run), requests, expect=expect)

    def assert_only_the_victim(self, run, code, said):
        healthy = self.run_fault("none", expect=OK)
        row = run.row("victim")
        self.assertEqual((row["status"], row["error"]["code"], row["error"]["plugin"]), ("error", code, "faulty"), row["error"])
        self.assertIn(said, row["error"]["message"])
        for key, other in run.rows.items():
            if key[0] != "victim":
                self.assertEqual(lasting(other), lasting(healthy.rows[key]), key)

    def test_broken_kept_sets(self):
        for fault, said in {"keep_out_of_range": "out of range", "keep_duplicate": "named twice", "keep_unsorted": "not ascending",
                            "keep_too_many": "budget", "keep_bad_offsets": "offsets", "score_nan": "nan", "score_one": "inf",
                            "rebuild_in_select": "rebuild is for prepare", "rebuild_held": "not released"}.items():
            with self.subTest(fault):
                self.assert_only_the_victim(self.run_fault(fault), "bad_plan", said)

    def test_returned_errors(self):
        for hook in ("prepare", "observe", "select"):
            with self.subTest(hook):
                self.assert_only_the_victim(self.run_fault(f"fail_{hook}"), "plugin_error", hook)

    def test_thrown_errors(self):
        for hook in ("prepare", "observe", "select"):
            with self.subTest(hook):
                self.assert_only_the_victim(self.run_fault(f"throw_{hook}"), "plugin_error", "thrown on purpose")

    def test_an_error_at_begin_fails_every_request_and_not_the_host(self):
        for fault in ("fail_begin", "throw_begin"):
            run = self.run_fault(fault, after_tokens=0)
            self.assertEqual({(row["status"], row["error"]["code"]) for row in run.lines}, {("error", "plugin_error")})
            self.assertEqual(len(run.lines), 7)

    def test_an_error_at_create_refuses_the_start(self):
        for fault in ("fail_create", "throw_create"):
            run = self.run_fault(fault, expect=69)
            self.assertIn("faulty", run.stderr)
            self.assertEqual(run.lines, [])

    def test_on_plugin_error_full_goes_on_with_the_full_cache(self):
        run = self.run_fault("fail_select", expect=OK, on_plugin_error="full")
        row = run.row("victim")
        self.assertEqual((row["status"], row["error"]["code"], row["error"]["plugin"]), ("ok", "plugin_error", "faulty"))
        self.assertEqual(len(row["tokens"]), 6)
        self.assertGreater(run.row("0")["events"]["released"], 0)
        self.assertGreater(row["kv"]["end_bytes"], run.row("0")["kv"]["end_bytes"])

    def test_retries_are_counted_as_attempts(self):
        run = self.run_fault("fail_select", run={"retries": 2})
        self.assertEqual(run.row("victim")["attempt"], 3)
        self.assertEqual(sum(row["id"] == "victim" for row in run.lines), 1)
        self.assertEqual({row["attempt"] for row in run.lines if row["id"] != "victim"}, {1})

    def test_what_a_plugin_prints_is_not_data(self):
        run = self.run_fault("print", expect=OK)
        self.assertEqual(run.stdout.decode().strip(), str(run.directory))
        self.assertIn("printed by a plugin", run.stderr)
        self.assertNotIn("printed by", (run.directory / "results.jsonl").read_text())
        code, out, stderr = self.tenure("generate", "-m", TINY, "-p", "hello world " * 20, "--raw", "--policy", "faulty", "-n", "4",
                                        "--budget", "16", "--plugin-dir", TEST_PLUGINS)
        self.assertEqual(code, 0, stderr)
        self.assertNotIn(b"printed by", out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
