"""strict: a request's tokens and log-probabilities do not depend on who runs beside it, nor on threads or batch_rows."""

import random
import unittest

from harness import MODEL, POLICIES, TINY_CONTEXT, PipelineCase, generate, lasting, needs, pipeline, prose, reader, tokens

SAMPLED = {"id": "sampled", "policy": "h2o", "temperature": 0.8, "top_p": 0.9}


def tiny_requests():
    lengths = [1, 15, 16, 17, 31, 32, 33, 47, 64, 100, 129, 200, 255, 300, 383, 401, 470]
    assert max(lengths) + 16 <= TINY_CONTEXT
    return [{"id": f"r{i}", "tokens": tokens(i, n)} for i, n in enumerate(lengths)]


class Strict(PipelineCase):
    def text(self, threads=1, batch_rows=0, in_flight=0, **more):
        stages = [reader(), *(generate(name) for name in POLICIES), generate(**SAMPLED)]
        return pipeline(stages, POLICIES, backend={"threads": threads}, engine={"batch_rows": batch_rows, "in_flight": in_flight}, **more)

    def assert_same(self, run, reference, what):
        self.assertEqual(run.rows.keys(), reference.rows.keys(), what)
        for key, row in run.rows.items():
            self.assertEqual(lasting(row), lasting(reference.rows[key]), f"{key} {what}")

    def test_neighbours_order_threads_and_batch_rows_change_nothing(self):
        requests = tiny_requests()
        reference = self.run_tenure(self.text(in_flight=1), requests)
        self.assertTrue(all(row["status"] == "ok" for row in reference.lines))
        released = sum(row["events"]["released"] for row in reference.lines if row["stage"] == "h2o")
        self.assertGreater(released, 1000, "the budgets must bite")
        for threads, batch_rows, in_flight in [(1, 0, 0), (2, 0, 0), (2, 16, 0), (1, 48, 4), (2, 48, 0), (2, 512, 4), (1, 16, 1), (2, 512, 1)]:
            shuffled = random.Random(batch_rows + threads).sample(requests, len(requests))
            run = self.run_tenure(self.text(threads, batch_rows, in_flight), shuffled)
            self.assert_same(run, reference, f"threads {threads}, batch_rows {batch_rows}, in_flight {in_flight}")

    def test_alone_is_as_among_others(self):
        requests = tiny_requests()
        together = self.run_tenure(self.text(threads=2), requests)
        for request in (requests[0], requests[11], requests[-1]):
            alone = self.run_tenure(self.text(), [request])
            for key, row in alone.rows.items():
                self.assertEqual(lasting(row), lasting(together.rows[key]), f"{key} alone")

    @needs(MODEL)
    def test_the_real_model_alone_and_among_others(self):
        policies = {name: {**values, **({"budget": 128, "chunk": 64} if name != "full" else {})} for name, values in POLICIES.items()}
        requests = [{"id": f"r{i}", "prompt": prose(i, n)} for i, n in enumerate([90, 480, 40, 200, 20])]

        def text(threads, batch_rows):
            stages = [reader(), *(generate(name, max_new_tokens=8) for name in policies if name != "random")]
            return pipeline(stages, policies, model=MODEL, backend={"threads": threads}, engine={"batch_rows": batch_rows})

        together = self.run_tenure(text(2, 0), requests)
        longest = max(row["usage"]["prompt_tokens"] for row in together.lines)
        self.assertGreater(longest, 450)
        narrow = self.run_tenure(text(2, 48), list(reversed(requests[:3])))
        alone = self.run_tenure(text(1, 0), [requests[1]])
        for run in (narrow, alone):
            for key, row in run.rows.items():
                self.assertEqual(lasting(row), lasting(together.rows[key]), key)


class WideBudget(PipelineCase):
    def test_a_budget_that_holds_everything_makes_all_policies_one(self):
        policies = {name: {**values, "chunk": 32, **({"budget": 512} if name != "full" else {})} for name, values in POLICIES.items()}
        stages = [reader(), *(generate(name) for name in policies)]
        requests = tiny_requests()
        run = self.run_tenure(pipeline(stages, policies), requests)
        for request in requests:
            rows = [run.row(request["id"], stage) for stage in policies]
            self.assertEqual(len(rows[0]["tokens"]), 16)
            for row in rows[1:]:
                self.assertEqual((row["tokens"], row["segments"][0]["logprob"], row["kv"]["end_bytes"]),
                                 (rows[0]["tokens"], rows[0]["segments"][0]["logprob"], rows[0]["kv"]["end_bytes"]), row["stage"])
                self.assertEqual(row["events"]["released"], 0)

    @needs(MODEL)
    def test_on_the_real_model(self):
        policies = {name: {**values, "chunk": 64, **({"budget": 1024} if name != "full" else {})} for name, values in POLICIES.items()}
        stages = [reader(), *(generate(name, max_new_tokens=8) for name in policies)]
        run = self.run_tenure(pipeline(stages, policies, model=MODEL), [{"id": "a", "prompt": prose(1, 250)}])
        said = {stage: (run.row("a", stage)["tokens"], run.row("a", stage)["segments"][0]["logprob"]) for stage in policies}
        self.assertEqual(len(set(map(str, said.values()))), 1, said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
