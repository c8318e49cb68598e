"""A policy that says nothing where its slots are over the budget let the cache grow past what admission had reserved, at the
cost of the sessions beside it."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import TOO_MANY_ERRORS, PipelineCase, generate, pipeline, reader, tokens  # noqa: E402


class NoVerdict(PipelineCase):
    def test_no_verdict_over_the_budget_is_a_bad_plan(self):
        policies = {"silent": {"plugin": "abi_future", "budget": 40, "chunk": 32}}
        requests = [{"id": "within", "tokens": tokens(1, 30), "max_new_tokens": 8}, {"id": "over", "tokens": tokens(2, 400)}]
        run = self.run_tenure(pipeline([reader(), generate("silent")], policies), requests, expect=TOO_MANY_ERRORS)
        self.assertEqual(run.row("within")["status"], "ok")
        row = run.row("over")
        self.assertEqual((row["error"]["code"], row["error"]["plugin"]), ("bad_plan", "abi_future"), row)
        self.assertIn("neither score nor keep", row["error"]["message"])
        self.assertLessEqual(row["kv"]["peak_bytes"], 2 * 6 * 64 * 64)


if __name__ == "__main__":
    unittest.main(verbosity=2)
