"""Many questions by fork on one context are each answered as if they were asked alone."""

import unittest

from harness import MODEL, POLICIES, PipelineCase, generate, needs, pipeline, prose, reader, tokens

COMPARED = ("tokens", "text", "finish", "logprob", "token_accuracy", "exact_match", "released")


def asked(segment):
    return {name: segment[name] for name in COMPARED}


class Forks(PipelineCase):
    def run_both(self, context, questions, policies, after=(), run_options=None, **pipeline_options):
        """The questions in one request, and one request each; (together, {index: alone})."""
        requests = [{"id": "all", "segments": [*context, *({**q, "fork": True} for q in questions), *after]}]
        requests += [{"id": "all", "segments": [*context, {**q, "fork": True}]} for q in questions]
        stages = [reader(), *(generate(name) for name in policies)]
        text = pipeline(stages, policies, **pipeline_options)
        together = self.run_tenure(text, requests[:1], **(run_options or {}))
        return together, [self.run_tenure(text, [request]) for request in requests[1:]]

    def assert_as_alone(self, context, questions, policies, **options):
        together, alone = self.run_both(context, questions, policies, **options)
        for stage in policies:
            row = together.row("all", stage)
            self.assertEqual(row["status"], "ok", row["error"])
            for i, run in enumerate(alone):
                only = run.row("all", stage)
                self.assertEqual(only["status"], "ok", only["error"])
                self.assertEqual(asked(row["segments"][len(context) + i]), asked(only["segments"][-1]), f"{stage} question {i}")
        return together

    def questions(self, n, length=9):
        words = "the policy keeps the tokens that answer".split()
        return [{"text": " ".join(words[(i + j) % len(words)] for j in range(1 + (i * 5) % length)) + "?", "generate": 3 + i % 7}
                for i in range(n)]

    def test_generated_answers(self):
        context = [{"text": "the one who decides is the policy, not the host; " * 5}]
        together = self.assert_as_alone(context, self.questions(11), POLICIES)
        self.assertGreater(together.row("all", "h2o")["segments"][5]["released"], 0, "a question must meet a full cache")

    def test_scored_answers_and_a_context_that_speaks(self):
        context = [{"text": "there is a time for the cache to be full " * 4}, {"text": "and a time", "generate": 20}]
        questions = [{"text": f" question {i}: ", "score": f"answer {i * i} of {i}"} for i in range(6)]
        self.assert_as_alone(context, questions + self.questions(4), POLICIES)

    def test_long_questions_cross_chunks_and_pages(self):
        context = [{"text": "x" * 150}]
        questions = [{"text": "y" * n, "generate": 12} for n in (1, 31, 32, 33, 63, 64, 65, 200)]
        self.assert_as_alone(context, questions, POLICIES)

    def test_chat_turns(self):
        context = [{"role": "system", "text": "Answer in one word."}, {"role": "user", "text": "The cache is full. " * 6},
                   {"role": "assistant", "text": "I have read it."}]
        questions = [{"role": "user", "text": f"Who decides {i}?", "generate": 6} for i in range(3)]
        questions += [{"role": "user", "text": "Is it?", "score": "policy"}]
        questions += [{"role": "assistant", "text": "The one who decides is", "score": " the policy"}]
        self.assert_as_alone(context, questions, POLICIES)

    def test_what_follows_the_forks_does_not_see_them(self):
        context = [{"text": "the cache is small. " * 8}]
        after = [{"text": "and then", "generate": 9}]
        text = pipeline([reader(), *(generate(name) for name in POLICIES)], POLICIES)
        forked = [{**q, "fork": True} for q in self.questions(5)]
        with_forks = self.run_tenure(text, [{"id": "all", "segments": context + forked + after}])
        without = self.run_tenure(text, [{"id": "all", "segments": context + after}])
        for stage in POLICIES:
            self.assertEqual(asked(with_forks.row("all", stage)["segments"][-1]), asked(without.row("all", stage)["segments"][-1]), stage)

    def test_memory_for_one_fork_at_a_time(self):
        context = [{"text": "z" * 128}]
        questions = self.questions(12, length=6)
        roomy = self.assert_as_alone(context, questions, POLICIES)
        # What admission needs at least, as a refused request says it.
        request = [{"id": "all", "segments": [*context, *({**q, "fork": True} for q in questions)]}]
        for stage in POLICIES:
            needed = self.least_memory(stage, request)
            tight = self.run_tenure(pipeline([reader(), generate(stage)], POLICIES, engine={"memory": f"{needed} B"}), request)
            row = tight.row("all")
            self.assertEqual(row["status"], "ok", row["error"])
            self.assertEqual([asked(s) for s in row["segments"]], [asked(s) for s in roomy.row("all", stage)["segments"]], stage)
            self.assertLessEqual(row["kv"]["peak_bytes"], needed)
            self.assertLess(row["kv"]["peak_bytes"], roomy.row("all", stage)["kv"]["peak_bytes"])
            self.assertLessEqual(tight.summary["pool_peak_bytes"], needed)

    def least_memory(self, stage, request):
        run_of_all_heads = 3 * 2 * 4 * 16 * 2 * 16 * 2
        n = {"full": 4}.get(stage, 1) * run_of_all_heads  # one chunk: below it the start is refused
        run = self.run_tenure(pipeline([reader(), generate(stage)], POLICIES, engine={"memory": f"{n} B"}), request, expect=None)
        row = run.row("all")
        self.assertEqual((row["status"], row["error"]["code"]), ("limit", "memory"))
        return int(row["error"]["message"].split("needs ")[1].split()[0])

    @needs(MODEL)
    def test_the_real_model(self):
        policies = {"full": {"plugin": "full"}, "h2o": {"plugin": "h2o", "budget": 96, "chunk": 64},
                    "streaming_llm": {"plugin": "streaming_llm", "budget": 96, "chunk": 64}}
        context = [{"role": "user", "text": prose(3, 150)}, {"role": "assistant", "text": "I have read it."}]
        questions = [{"role": "user", "text": "How many bridges?", "generate": 5},
                     {"role": "user", "text": "Who wrote it?", "score": "The captain."},
                     {"role": "assistant", "text": "The lamps are", "score": " silver"}]
        self.assert_as_alone(context, questions, policies, model=MODEL)


if __name__ == "__main__":
    unittest.main(verbosity=2)
