"""scripts/passkey_streams.py and pipelines/locret_stream.toml on a tiny model, whose streams are longer than its context too."""

import subprocess
import sys
import unittest

from harness import OK, ROOT, TENURE, TINY, TINY_CONTEXT, PipelineCase
from test_memory import RUN_SLOTS, slot_bytes

SCRIPT = ROOT / "scripts" / "passkey_streams.py"
N_TOKENS, BUDGET, CHUNK = 4 * TINY_CONTEXT, 100, 60


class PasskeyStreams(PipelineCase):
    def script(self, *arguments):
        done = subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=True)
        return done.stdout

    def test_streams_past_the_context_stay_within_budget_and_chunk(self):
        requests = self.folder / "streams.jsonl"
        requests.write_text(self.script("make", ROOT / "docs" / "pipelines.md", N_TOKENS, TENURE, TINY), encoding="utf-8")
        settings = {"model.path": TINY, "stage.streams.path": requests}
        for policy in ("locret", "streaming_llm"):
            settings |= {f"policy.{policy}.budget": BUDGET, f"policy.{policy}.chunk": CHUNK}
        options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        code, _, stderr = self.tenure("run", ROOT / "pipelines" / "locret_stream.toml", "--out", "run", "--quiet", *options)
        self.assertEqual(code, OK, stderr)
        table = self.script("show", self.folder / "run").splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
        self.assertEqual([(row[0], row[1]) for row in rows],
                         [(policy, f"{i / 8:.3f}") for policy in ("locret", "streaming_llm") for i in range(9)])
        most = (BUDGET + CHUNK + RUN_SLOTS) * slot_bytes()
        for row in rows:
            n_tokens, peak = (int(row[i].replace(",", "")) for i in (2, 6))
            self.assertGreaterEqual(n_tokens, N_TOKENS)
            self.assertGreaterEqual(peak, BUDGET * slot_bytes())
            self.assertLessEqual(peak, most, row)


if __name__ == "__main__":
    unittest.main(verbosity=2)
