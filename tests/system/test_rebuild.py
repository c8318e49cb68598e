"""Rebuild, through the rebuild_test policy (keeps the newest slots, asks for a span of released positions back)."""

import unittest

from harness import POLICIES, TINY, TOO_MANY_ERRORS, PipelineCase, generate, lasting, pipeline, reader, tokens

TABLES = 3 * 2  # layers x KV heads
CONTEXT = "the policy keeps the tokens that the answer will need and releases the others before the next chunk is read; " * 3
ALL = 100000


def rebuilding(**more):
    """A budget of 40 slots after each chunk; the whole context is one chunk, so that what was released saw everything."""
    return {"plugin": "rebuild_test", "budget": 40, "chunk": 512, "first": 0, "n": ALL, **more}


def scored(question=" who decides? ", answer="the policy, not the host"):
    return {"id": "a", "segments": [{"text": CONTEXT}, {"text": question, "score": answer}]}


class Rebuild(PipelineCase):
    def run_stages(self, requests, policies, max_rebuild_rows=400, options=(), expect=0, engine=None, **stage):
        text = pipeline([reader(), *(generate(name, **stage) for name in policies)], policies,
                        engine={"max_rebuild_rows": max_rebuild_rows, **(engine or {})})
        return self.run_tenure(text, requests, options=options, expect=expect)

    def test_rebuilding_everything_answers_like_the_full_cache(self):
        policies = {"full": {"plugin": "full"}, "back": rebuilding(), "gone": rebuilding(first=ALL, n=1)}
        run = self.run_stages([scored()], policies)
        full, back, gone = (run.row("a", stage) for stage in policies)
        self.assertAlmostEqual(back["segments"][1]["logprob"], full["segments"][1]["logprob"], delta=2e-3)
        self.assertEqual(back["segments"][1]["token_accuracy"], full["segments"][1]["token_accuracy"])
        self.assertGreater(abs(gone["segments"][1]["logprob"] - full["segments"][1]["logprob"]), 0.05)
        self.assertEqual(gone["events"]["rebuilt"], 0)

    def test_decoding_over_a_rebuilt_cache_says_what_the_full_cache_says(self):
        policies = {"full": {"plugin": "full"}, "back": rebuilding(), "gone": rebuilding(first=ALL, n=1)}
        request = {"id": "a", "segments": [{"text": CONTEXT}, {"text": " who decides? ", "generate": 40}]}
        run = self.run_stages([request], policies)
        full, back, gone = (run.row("a", stage)["segments"][1] for stage in policies)
        self.assertEqual(back["tokens"], full["tokens"])
        self.assertAlmostEqual(back["logprob"], full["logprob"], delta=5e-3)
        self.assertNotEqual(gone["tokens"], full["tokens"])

    def test_each_released_row_is_recomputed_once_a_turn(self):
        row = self.run_stages([scored()], {"back": rebuilding()}).row("a")
        n_context, n_question = self.n_tokens(CONTEXT), self.n_tokens(" who decides? ")
        n_answer = self.n_tokens("the policy, not the host")
        # The question's chunk finds n_context - 40 released; its own decision releases n_question more, which the answer's
        # chunk asks for. Spans named again cost nothing.
        self.assertEqual(row["events"]["rebuild_rows"], n_context - 40 + n_question)
        self.assertEqual(row["events"]["rebuilt"], row["events"]["rebuild_rows"] * TABLES)
        self.assertEqual(row["events"]["released"], (n_context + n_question + n_answer - 1 - 40) * TABLES)
        self.assertGreater(row["kv"]["rebuild_bytes"], 0)
        self.assertGreaterEqual(row["kv"]["peak_bytes"], (n_context + n_question) * TABLES * 64)

    def n_tokens(self, text):
        return int(self.tenure("tokenize", "-m", TINY, "--count", "-p", text)[1])

    def test_rebuilt_slots_go_with_the_turn(self):
        question = {"text": " who decides? ", "score": "the policy"}
        once = {"id": "a", "segments": [{"text": CONTEXT}, question]}
        twice = {"id": "a", "segments": [{"text": CONTEXT}, question, question]}
        policies = {"back": rebuilding()}
        first, both = self.run_stages([once], policies).row("a"), self.run_stages([twice], policies).row("a")
        n_context, n_turn = self.n_tokens(CONTEXT), self.n_tokens(" who decides? ") + self.n_tokens("the policy")
        again = both["events"]["rebuild_rows"] - first["events"]["rebuild_rows"]
        self.assertGreaterEqual(again, n_context - 40, "the second turn had to rebuild the context anew")
        self.assertLessEqual(first["segments"][1]["kv_bytes"], 64 * TABLES * 64, "after the turn only the budget is left")
        self.assertLessEqual(again, n_context + 2 * n_turn - 40)

    def test_a_span_that_is_not_named_again_goes_with_the_next_chunk(self):
        policies = {"full": {"plugin": "full"}, "kept": rebuilding(), "dropped": rebuilding(trigger=self.question_mark())}
        run = self.run_stages([scored()], policies)
        full, kept, dropped = (run.row("a", stage) for stage in policies)
        self.assertGreater(dropped["events"]["rebuild_rows"], 0)
        self.assertLess(dropped["events"]["rebuild_rows"], kept["events"]["rebuild_rows"])
        self.assertAlmostEqual(kept["segments"][1]["logprob"], full["segments"][1]["logprob"], delta=2e-3)
        self.assertGreater(abs(dropped["segments"][1]["logprob"] - full["segments"][1]["logprob"]), 0.05)

    def question_mark(self):
        code, out, stderr = self.tenure("tokenize", "-m", TINY, "--ids", "-p", "?")
        self.assertEqual(code, 0, stderr)
        return int(out)

    def test_more_rows_than_allowed_is_a_bad_plan(self):
        run = self.run_stages([scored(), {"id": "b", "tokens": tokens(1, 30)}], {"back": rebuilding()}, max_rebuild_rows=20,
                              expect=TOO_MANY_ERRORS)
        row = run.row("a")
        self.assertEqual((row["status"], row["error"]["code"], row["error"]["plugin"]), ("error", "bad_plan", "rebuild_test"))
        self.assertIn("max_rebuild_rows is 20", row["error"]["message"])
        self.assertEqual(run.row("b")["status"], "ok")

    def test_forks_that_rebuild_are_as_alone(self):
        questions = [{"text": f" who decides {i}? ", "generate": 6, "fork": True} for i in range(5)]
        policies = {"back": rebuilding(chunk=64)}
        together = self.run_stages([{"id": "a", "segments": [{"text": CONTEXT}, *questions]}], policies)
        for i, question in enumerate(questions):
            alone = self.run_stages([{"id": "a", "segments": [{"text": CONTEXT}, question]}], policies).row("a")["segments"][1]
            segment = together.row("a")["segments"][1 + i]
            self.assertEqual([segment[k] for k in ("tokens", "logprob", "rebuilt")], [alone[k] for k in ("tokens", "logprob", "rebuilt")])

    def test_strict_with_neighbours_that_rebuild(self):
        policies = {"back": rebuilding(chunk=64, n=60), "h2o": POLICIES["h2o"]}
        requests = [{"id": f"{i}", "segments": [{"text": CONTEXT[i * 7:]}, {"text": " who? ", "generate": 12}]} for i in range(8)]
        reference = self.run_stages(requests, policies, engine={"in_flight": 1})
        self.assertGreater(reference.row("0", "back")["events"]["rebuilt"], 0)
        for batch_rows in (16, 48, 512):
            run = self.run_stages(list(reversed(requests)), policies, engine={"batch_rows": batch_rows})
            for key, row in run.rows.items():
                self.assertEqual(lasting(row), lasting(reference.rows[key]), (batch_rows, key))


if __name__ == "__main__":
    unittest.main(verbosity=2)
