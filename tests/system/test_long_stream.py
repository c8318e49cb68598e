"""A prompt of 32k tokens streams through a budget of 2k on the real model, whose own context is 8k. Slow."""

import unittest

from harness import MODEL, PipelineCase, generate, needs, pipeline, reader

LAYERS, KV_HEADS, HEAD_DIM, RUN_SLOTS = 30, 3, 64, 64


class LongStream(PipelineCase):
    @needs(MODEL)
    def test_32k_tokens_through_a_budget_of_2k(self):
        slot = LAYERS * KV_HEADS * HEAD_DIM * 2 * 2  # K and V in f16
        limit = (2048 + 256) * slot + RUN_SLOTS * slot
        ids = [1000 + i * 7919 % 40000 for i in range(32768)]
        text = pipeline([reader(), generate("s", max_new_tokens=16)], {"s": {"plugin": "streaming_llm", "budget": 2048, "chunk": 256}},
                        model=MODEL, engine={"memory": f"{limit} B"})
        row = self.run_tenure(text, [{"id": "long", "tokens": ids}], timeout=1500).row("long")
        self.assertEqual((row["status"], row["usage"]["prompt_tokens"], len(row["tokens"])), ("ok", 32768, 16), row["error"])
        self.assertLessEqual(row["kv"]["peak_bytes"], limit)
        self.assertEqual(row["events"]["released"], (32768 + 14 - 2048) * LAYERS * KV_HEADS)
        self.assertGreater(row["kv"]["full_bytes"], 13 * row["kv"]["peak_bytes"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
