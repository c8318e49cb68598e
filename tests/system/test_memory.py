"""kv.* figures are what the pool handed out, and budgets hold at any length."""

import unittest

from harness import MODEL, TINY, PipelineCase, generate, needs, pipeline, prose, reader, tokens

RUN_SLOTS = 4 * 16
LAYERS, KV_HEADS, HEAD_DIM = 3, 2, 16  # of the tiny models


def slot_bytes(layers=LAYERS, kv_heads=KV_HEADS, head_dim=HEAD_DIM):
    """K and V of one slot in f16, in every layer and KV head."""
    return layers * kv_heads * 2 * head_dim * 2


def n_released(n_prompt, n_generated, budget):
    """Slots that are gone at the end where every decision trims to the budget: neither the last generated token, which is
    not fed, nor the one before it, after which nothing is left to decide, counts."""
    return (n_prompt + n_generated - 2 - budget) * LAYERS * KV_HEADS


class Memory(PipelineCase):
    def test_peak_bytes_are_the_pools_count(self):
        policies = {name: {"plugin": name, **({"budget": 50, "chunk": 48} if name != "full" else {})}
                    for name in ("full", "streaming_llm", "h2o", "random")}
        requests = [{"id": "plain", "tokens": tokens(1, 333)}]
        forks = [{"id": "forks", "segments": [{"text": "the cache " * 40}, *({"text": f"{i}", "generate": 4, "fork": True} for i in range(7))]}]
        for request in (requests, forks):
            for name in policies:
                run = self.run_tenure(pipeline([reader(), generate(name)], policies), request)
                row = run.lines[0]
                self.assertEqual(run.summary["pool_peak_bytes"], row["kv"]["peak_bytes"], (name, row["id"]))
                self.assertGreater(row["kv"]["peak_bytes"], 0)
                self.assertEqual(row["kv"]["peak_bytes"] % (RUN_SLOTS * slot_bytes() // (LAYERS * KV_HEADS)), 0)

    def test_full_keeps_whole_runs_of_every_token(self):
        for n in (1, 47, 48, 49, 112, 113, 300):
            run = self.run_tenure(pipeline([reader(), generate("full")], {"full": {"plugin": "full"}}), [{"id": "a", "tokens": tokens(1, n)}])
            fed = n + 15  # the last generated token is not fed
            runs = -(-fed // RUN_SLOTS)
            self.assertEqual(run.row("a")["kv"]["end_bytes"], runs * RUN_SLOTS * slot_bytes())
            self.assertEqual(run.row("a")["kv"]["peak_bytes"], run.row("a")["kv"]["end_bytes"])

    def test_streaming_llm_stays_within_budget_and_chunk_at_any_length(self):
        policies = {"s": {"plugin": "streaming_llm", "budget": 100, "chunk": 60}}
        run_per_head = RUN_SLOTS * slot_bytes()
        limit = (100 + 60) * slot_bytes() + run_per_head
        requests = [{"id": f"{n}", "tokens": tokens(n, n)} for n in (50, 161, 500, 5000, 32768)]
        run = self.run_tenure(pipeline([reader(), generate("s")], policies), requests)
        for request in requests:
            row = run.row(request["id"])
            self.assertEqual(row["status"], "ok", row["error"])
            self.assertLessEqual(row["kv"]["peak_bytes"], limit, request["id"])
            self.assertLessEqual(row["kv"]["end_bytes"], 100 * slot_bytes() + run_per_head)
        self.assertEqual(run.row("32768")["kv"]["peak_bytes"], run.row("5000")["kv"]["peak_bytes"])

    def test_32k_tokens_stream_through_a_budget_of_2k(self):
        policies = {"s": {"plugin": "streaming_llm", "budget": 2048}}
        limit = (2048 + 256) * slot_bytes() + RUN_SLOTS * slot_bytes()
        run = self.run_tenure(pipeline([reader(), generate("s")], policies, engine={"memory": f"{limit} B"}),
                              [{"id": "long", "tokens": tokens(9, 32768)}])
        row = run.row("long")
        self.assertEqual((row["status"], row["usage"]["prompt_tokens"], len(row["tokens"])), ("ok", 32768, 16), row["error"])
        self.assertLessEqual(row["kv"]["peak_bytes"], limit)
        self.assertEqual(row["events"]["released"], n_released(32768, 16, 2048))

    def test_ragged_budgets_hold_over_their_scope(self):
        budget, requests = 70, [{"id": "a", "tokens": tokens(4, 440)}, {"id": "b", "tokens": tokens(5, 130)}]
        for plugin in ("h2o", "random"):
            for scope in ("head", "layer", "global"):
                policies = {"p": {"plugin": plugin, "budget": budget, "chunk": 64, "budget_scope": scope}}
                run = self.run_tenure(pipeline([reader(), generate("p", max_new_tokens=24)], policies), requests)
                for request in requests:
                    row = run.row(request["id"])
                    self.assertEqual(row["status"], "ok", row["error"])
                    expected = n_released(len(request["tokens"]), 24, budget)
                    self.assertEqual(row["events"]["released"], expected, (plugin, scope, row["id"]))
                    self.assertLessEqual(row["kv"]["end_bytes"], budget * slot_bytes() + RUN_SLOTS * slot_bytes())
                    self.assertEqual(row["kv"]["budget_slots"], budget)

    def test_bytes_and_fractions_are_budgets_too(self):
        request = [{"id": "a", "tokens": tokens(4, 401)}]
        for budget, slots in (("1/8", 51), (f"{77 * slot_bytes()} B", 77), (64, 64)):
            policies = {"p": {"plugin": "streaming_llm", "budget": budget, "chunk": 64}}
            row = self.run_tenure(pipeline([reader(), generate("p")], policies), request).row("a")
            self.assertEqual(row["kv"]["budget_slots"], slots)
            self.assertEqual(row["events"]["released"], n_released(401, 16, slots))

    def test_period_and_slack_let_decode_grow_and_no_further(self):
        policies = {"p": {"plugin": "h2o", "budget": 60, "chunk": 64, "period": 4, "slack": 8}}
        row = self.run_tenure(pipeline([reader(), generate("p", max_new_tokens=100)], policies), [{"id": "a", "tokens": tokens(4, 200)}]).row("a")
        kept = 298 - row["events"]["released"] / (LAYERS * KV_HEADS)
        self.assertGreaterEqual(kept, 60)
        self.assertLess(kept, 60 + 8 + 4)

    def test_a_session_that_cannot_fit_is_a_limit_row_with_its_bytes(self):
        requests = [{"id": "small", "tokens": tokens(1, 20)}, {"id": "big", "tokens": tokens(2, 480)}, {"id": "other", "tokens": tokens(3, 30)}]
        run = self.run_tenure(pipeline([reader(), generate("full")], {"full": {"plugin": "full"}},
                                       engine={"memory": f"{5 * RUN_SLOTS * slot_bytes()} B"}), requests)
        row = run.row("big")
        self.assertEqual((row["status"], row["finish"], row["error"]["code"]), ("limit", "limit", "memory"))
        self.assertIn(f"{8 * RUN_SLOTS * slot_bytes()} bytes", row["error"]["message"])
        self.assertIn(f"{5 * RUN_SLOTS * slot_bytes()}", row["error"]["message"])
        self.assertEqual([run.row(i)["status"] for i in ("small", "other")], ["ok", "ok"])

    def test_memory_for_not_even_a_chunk_refuses_the_start(self):
        run = self.run_tenure(pipeline([reader(), generate("full")], {"full": {"plugin": "full"}}, engine={"memory": "4 KiB"}),
                              [{"id": "a", "tokens": [20]}], expect=78)
        self.assertIn("chunk", run.stderr)
        self.assertEqual(run.lines, [])

    def test_many_sessions_in_little_memory_all_finish(self):
        policies = {"full": {"plugin": "full"}, "h2o": {"plugin": "h2o", "budget": 40, "chunk": 32}}
        requests = [{"id": f"{i}", "tokens": tokens(i, 20 + 17 * i % 300)} for i in range(40)]
        memory = 9 * RUN_SLOTS * slot_bytes()
        run = self.run_tenure(pipeline([reader(), *map(generate, policies)], policies, engine={"memory": f"{memory} B"}), requests)
        self.assertEqual({row["status"] for row in run.lines}, {"ok"})
        self.assertEqual(len(run.rows), 80)
        self.assertLessEqual(run.summary["pool_peak_bytes"], memory)


if __name__ == "__main__":
    unittest.main(verbosity=2)
