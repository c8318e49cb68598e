"""bench: what it reports of a run, and the bytes a decode step reads, counted a second time from the model file."""

import json
import math
import pathlib
import struct
import unittest

from program import BAD_PLAN, CANNOT_CREATE, NO_INPUT, TEST_PLUGINS, TINY, USAGE, ProgramCase

TINY_Q8_0 = TINY.with_name("tiny-llama-q8_0.gguf")
UNTIED = TINY.with_name("tiny-group3-f32.gguf")  # its head is not its embedding

# tests/golden/tiny_models.py
N_VOCAB = 320
SHAPES = {TINY: {"n_embd": 64, "slot": 3 * 2 * 16}, UNTIED: {"n_embd": 96, "slot": 2 * 1 * 32}}  # slot: layers, KV heads, head_dim
# GGUF's numbers: value types, and tensor types as elements and bytes of a block
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
BLOCKS = {0: (1, 4), 8: (32, 34)}


def tensors(path: pathlib.Path) -> dict[str, int]:
    """Bytes of every tensor of a GGUF file that is trusted, from its shape and type."""
    with path.open("rb") as file:

        def number(code):
            return struct.unpack("<" + code, file.read(struct.calcsize(code)))[0]

        def string():
            return file.read(number("Q")).decode()

        def skip_value(kind):
            if kind == STRING:
                string()
            elif kind == ARRAY:
                element, n = number("I"), number("Q")
                for _ in range(n):
                    skip_value(element)
            else:
                number(SCALARS[kind])

        file.read(8)
        n_tensors, n_values = number("Q"), number("Q")
        for _ in range(n_values):
            string()
            skip_value(number("I"))
        sizes = {}
        for _ in range(n_tensors):
            name = string()
            n_elements = math.prod(number("Q") for _ in range(number("I")))
            block_elements, block_bytes = BLOCKS[number("I")]
            number("Q")
            sizes[name] = n_elements // block_elements * block_bytes
        return sizes


def numbers_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


class Bench(ProgramCase):
    def bench(self, model, *options):
        return json.loads(self.tenure("bench", "-m", model, "--json", "--repeat", 2, "--threads", 2, *options)[0])

    def test_fields_and_figures(self):
        report = self.bench(TINY, "--prompt", "40,80", "--generate", 12, "--sequences", "1,3", "--policy", "full",
                            "--policy", "streaming_llm", "--budget", 32, "--chunk", 32)
        self.assertTrue(report["machine"]["processor"])
        self.assertTrue(report["backend"]["code_path"])
        self.assertEqual((report["backend"]["id"], report["backend"]["threads"], report["kv_type"]), ("cpu", 2, "f16"))
        self.assertEqual(report["model"]["types"], {"f32": sum(tensors(TINY).values())})
        for when in ("before", "after"):
            for gbps in report["probe"][when].values():
                self.assertTrue(0 < gbps < 1e5, report["probe"])
        shapes = [(run["policy"], run["prompt"], run["sequences"]) for run in report["runs"]]
        self.assertEqual(shapes, [(policy, prompt, n) for policy in ("full", "streaming_llm") for prompt in (40, 80) for n in (1, 3)])
        for run in report["runs"]:
            for spread in (run["prefill"]["tps"], run["decode"]["tps"]):
                self.assertTrue(0 < spread["p10"] <= spread["median"] <= spread["p90"] < math.inf, run)
            self.assertGreater(run["prefill"]["gops"], 0)
            self.assertGreater(run["decode"]["probe_share"], 0)
            decides = run["policy"] == "streaming_llm"
            self.assertEqual(run["decode"]["policy_ms"]["p10"] > 0, decides, run)
            self.assertEqual(0 < run["decode"]["policy_share"] < 1, decides, run)
            self.assertGreater(run["decode"]["step_ms"], run["decode"]["policy_ms"]["median"])
            if run["peak_resident_bytes"] is not None:  # not every kernel lets a process forget its peak
                self.assertTrue(report["model"]["weights_bytes"] < run["peak_resident_bytes"] < 200 << 20, run)
            self.assertEqual(run["released"] > 0, run["policy"] == "streaming_llm")
            self.assertEqual(run["budget"], "32" if run["policy"] == "streaming_llm" else "")
        self.assertGreater(report["load_seconds"], 0)

    def check_counted_bytes(self, model, shape, weight_bytes, kv_element_bytes, *options):
        prompt, generated = 50, 9
        report = self.bench(model, "--prompt", prompt, "--generate", generated, *options)
        decode = report["runs"][0]["decode"]
        # The first token comes out of the prefill; each later one is fed at the slot behind those before it.
        n_passes = generated - 1
        n_slots = sum(prompt + step for step in range(1, n_passes + 1))
        self.assertEqual(decode["passes"], n_passes)
        self.assertEqual(decode["weight_bytes_per_token"], weight_bytes)
        self.assertEqual(decode["kv_bytes_per_token"], n_slots * shape["slot"] * 2 * kv_element_bytes / n_passes)
        read = decode["weight_bytes_per_token"] + decode["kv_bytes_per_token"]
        self.assertAlmostEqual(decode["gbps"], read * decode["tps"]["median"] / 1e9, places=6)

    def test_a_tied_head_is_read_whole(self):
        self.check_counted_bytes(TINY, SHAPES[TINY], sum(tensors(TINY).values()), 2)
        self.check_counted_bytes(TINY, SHAPES[TINY], sum(tensors(TINY).values()), 4, "--kv", "f32")
        self.check_counted_bytes(TINY_Q8_0, SHAPES[TINY], sum(tensors(TINY_Q8_0).values()), 2)

    def test_of_an_embedding_only_the_row_is_read(self):
        sizes = tensors(UNTIED)
        row = sizes["token_embd.weight"] // N_VOCAB
        self.assertEqual(row, 4 * SHAPES[UNTIED]["n_embd"])
        read = sum(sizes.values()) - sizes["token_embd.weight"] + row
        self.check_counted_bytes(UNTIED, SHAPES[UNTIED], read, 2)
        self.check_counted_bytes(UNTIED, SHAPES[UNTIED], read, 4, "--kv", "f32", "--backend", "toy", "--plugin-dir", TEST_PLUGINS)

    def test_sequences_share_the_weights(self):
        one, four = (run["decode"] for run in self.bench(TINY, "--prompt", 30, "--generate", 16, "--sequences", "1,4")["runs"])
        self.assertEqual(four["weight_bytes_per_token"] * 4, one["weight_bytes_per_token"])

    def test_a_bounded_cache_bounds_what_is_read(self):
        run = self.bench(TINY, "--prompt", 200, "--generate", 20, "--policy", "streaming_llm", "--budget", 32, "--chunk", 32)["runs"][0]
        self.assertLessEqual(run["decode"]["kv_bytes_per_token"], 33 * SHAPES[TINY]["slot"] * 2 * 2)

    def test_more_sequences_run_at_once_where_a_budget_bounds_them(self):
        slot_bytes = SHAPES[TINY]["slot"] * 2 * 2  # keys and values, f16
        n_full, memory = 5, 6 * 320 * slot_bytes - 1  # 5 sequences of 256 + 64 tokens, and nearly a sixth
        runs = self.bench(TINY, "--prompt", 256, "--generate", 64, "--sequences", 12, "--memory", f"{memory} B", "--policy", "full",
                          "--policy", "h2o", "--budget", "1/8", "--chunk", 32)["runs"]
        self.assertEqual([run["at_once"] for run in runs], [n_full, 12])
        self.assertEqual(["decode" in run for run in runs], [False, True])  # all of them at once
        # The last token is not kept, but pages are whole.
        self.assertTrue(n_full * 320 * slot_bytes <= runs[0]["kv_peak_bytes"] <= memory, runs[0])
        self.assertTrue(12 * 32 * slot_bytes <= runs[1]["kv_peak_bytes"] <= memory, runs[1])

    def test_the_period_is_the_number_of_steps_between_decisions(self):
        options = ("--prompt", 200, "--generate", 65, "--policy", "streaming_llm", "--budget", 32, "--chunk", 32)
        often, seldom = (self.bench(TINY, *options, "--period", n)["runs"][0] for n in (1, 64))
        # 64 steps: 64 decisions that release one slot, and one that releases 64; until then a cache of 32 to 95 slots is read.
        slot_bytes = SHAPES[TINY]["slot"] * 2 * 2
        self.assertEqual(often["decode"]["kv_bytes_per_token"], 33 * slot_bytes)
        self.assertEqual(seldom["decode"]["kv_bytes_per_token"], sum(range(33, 97)) / 64 * slot_bytes)

    def test_no_prefill_of_one_token_and_no_decode_of_none(self):
        run = self.bench(TINY, "--prompt", 1, "--generate", 8)["runs"][0]
        self.assertNotIn("prefill", run)
        self.assertEqual(run["decode"]["passes"], 7)
        run = self.bench(TINY, "--prompt", 20, "--generate", 0)["runs"][0]
        self.assertNotIn("decode", run)
        self.assertGreater(run["prefill"]["tps"]["median"], 0)

    def test_ops_of_any_backend(self):
        for backend in ([], ["--backend", "toy", "--plugin-dir", TEST_PLUGINS]):
            passes = self.bench(TINY, "--kernels", *backend)["passes"]
            self.assertEqual([(p["kind"], p["slots"]) for p in passes[:2]], [("decode", 1024), ("decode", 8192)])
            self.assertEqual((passes[2]["kind"], passes[2]["slots"]), ("prefill", passes[2]["rows"]))
            for timed in passes:
                ops = {op["op"]: op for op in timed["ops"]}
                self.assertLessEqual({"qkv", "attend", "attn_out", "mlp", "head"}, ops.keys())
                self.assertTrue(all(math.isfinite(number) and number >= 0 for number in numbers_in(timed)), timed)
            decode = {op["op"]: op for op in passes[1]["ops"]}
            weights = sum(decode[op]["bytes"] for op in ("qkv", "attn_out", "mlp", "head"))
            self.assertAlmostEqual(weights, sum(tensors(TINY).values()), delta=4)
            self.assertEqual(decode["attend"]["bytes"], 8192 * SHAPES[TINY]["slot"] * 2 * 2)

    def test_the_table_and_the_file(self):
        text, talk = self.tenure("bench", "-m", TINY, "--prompt", 20, "--generate", 4, "--repeat", 1)
        self.assertRegex(text, r"(?m)^backend +cpu .*code path \S+")
        self.assertRegex(text, r"(?m)^full +- +20 +4 +1 ")
        self.assertRegex(text, r"(?m)^policy .* at once +KV MiB +RSS MiB +others$")
        self.assertIn("loading", talk)
        out = self.folder / "bench.json"
        self.assertEqual(self.tenure("bench", "-m", TINY, "--prompt", 20, "--generate", 4, "--repeat", 1, "--json", out)[0], "")
        self.assertEqual(json.loads(out.read_text())["runs"][0]["prompt"], 20)

    def test_bad_usage(self):
        cases = [(), ("-m", TINY, "--prompt", "0"), ("-m", TINY, "--prompt", "1,"), ("-m", TINY, "--prompt", "1,x"),
                 ("-m", TINY, "--repeat", "0"), ("-m", TINY, "--period", "0"), ("-m", TINY, "--sequences", "-1"), ("-m", TINY, "--generate", "99999999999"),
                 ("-m", TINY, "--budget", "32"), ("-m", TINY, "out.json"), ("-m", TINY, "--json", "a", "b"), ("-m", TINY, "--threads", "two")]
        for case in cases:
            self.assertIn("error[E0501]", self.tenure("bench", *case, expect=USAGE)[1])
        _, stderr = self.tenure("bench", "-m", TINY, "--prompt", 1000, expect=USAGE)
        self.assertIn("the model's context is 512", stderr)
        self.tenure("bench", "-m", "nowhere.gguf", expect=NO_INPUT)
        talk = self.tenure("bench", "-m", TINY, "--json", "nowhere/bench.json", expect=CANNOT_CREATE)[1]
        self.assertNotIn("probing", talk)  # before anything is measured
        self.assertIn("needs a budget", self.tenure("bench", "-m", TINY, "--policy", "streaming_llm", expect=BAD_PLAN)[1])
        self.assertIn("f8", self.tenure("bench", "-m", TINY, "--kv", "f8", expect=BAD_PLAN)[1])


if __name__ == "__main__":
    unittest.main()
