"""Layers with a window in whole runs: outside every budget, trimmed under every policy. Where every layer has one, a budget
had nothing to act on and each policy passed for "full" without a word."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import BAD_PLAN, DATA, PipelineCase, generate, pipeline, reader, tokens  # noqa: E402

GEMMA3 = DATA / "tiny-gemma3-f32.gguf"  # five of six layers have a window of 24
PHI3 = DATA / "tiny-phi3-f32.gguf"  # both layers have a window of 40
RUN_BYTES = 64 * 2 * 16 * 4  # 64 slots of f32 keys and values of 16


class Windows(PipelineCase):
    def run_policies(self, model, policies, requests, **more):
        stages = [reader(), *(generate(name, max_new_tokens=8) for name in policies)]
        return self.run_tenure(pipeline(stages, policies, model=model), requests, **more)

    def test_a_budget_binds_the_layers_without_a_window_and_the_others_are_trimmed(self):
        policies = {"full": {"plugin": "full", "kv_type": "f32"},
                    "streaming": {"plugin": "streaming_llm", "budget": 64, "chunk": 64, "kv_type": "f32"}}
        run = self.run_policies(GEMMA3, policies, [{"id": "long", "tokens": tokens(3, 960)}])
        full, bounded = run.row("long", "full")["kv"], run.row("long", "streaming")["kv"]
        for kv in (full, bounded):
            # 968 tokens in all; a layer with a window drops 512 slots once no row sees them.
            self.assertLessEqual(kv["end_bytes"], (5 * 9 + 16) * RUN_BYTES)
        self.assertEqual(full["end_bytes"] - bounded["end_bytes"], (16 - 2) * RUN_BYTES)
        self.assertEqual(bounded["budget_slots"], 64)

    def test_a_budget_where_every_layer_has_a_window_is_refused(self):
        policies = {"h2o": {"plugin": "h2o", "budget": 16}}
        run = self.run_policies(PHI3, policies, [{"id": "r", "tokens": tokens(4, 60)}], expect=BAD_PLAN)
        self.assertIn("every layer of", run.stderr)
        self.run_policies(PHI3, {"full": {"plugin": "full"}}, [{"id": "r", "tokens": tokens(4, 60)}])


if __name__ == "__main__":
    unittest.main(verbosity=2)
