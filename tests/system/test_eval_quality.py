"""On the real model and real text the instruments tell a full cache from what a policy left. Slow."""

import json
import unittest

from harness import MODEL, OK, ROOT, PipelineCase, needs

TEXT = ROOT / "data" / "eval" / "debian-handbook.txt"


class EvalQuality(PipelineCase):
    @needs(MODEL)
    @unittest.skipUnless(TEXT.exists(), "the text is not there (scripts/fetch_text.sh)")
    def test_the_full_cache_answers_and_a_quarter_of_it_does_not(self):
        code, stdout, stderr = self.tenure(
            "eval", "-m", MODEL, "--text", TEXT, "--policy", "full,streaming_llm,h2o", "--budget", "1/4", "-n", 6, "--json",
            "--set", 'policy.when=["chunk"]', "--set", "policy.positions=original", "--set", "policy.n_sink=4", timeout=2500)
        self.assertEqual(code, OK, stderr)
        full, *policies = json.loads(stdout)["lines"]
        for name, floor in {"keyed": 0.9, "passkey": 0.9, "r_number": 0.9, "copy": 0.8, "sentence": 0.8}.items():
            found = full["instruments"][name]
            print(f"full, {name}: accuracy {found['accuracy']['mean']:.3f}, exact {found['exact']['mean']:.3f}")
            self.assertGreaterEqual(found["accuracy"]["mean"], floor, name)
            self.assertTrue(found["informative"], name)
        self.assertEqual([line["policy"] for line in policies], ["streaming_llm", "h2o"])
        for line in policies:
            # Measured on 4 documents in 2026-11: at most .31 of the digits, a KL of at least .05.
            self.assertLess(line["instruments"]["keyed"]["accuracy"]["mean"], 0.6, line["policy"])
            kl = line["instruments"]["continuation"]["kl"]["mean"]
            self.assertTrue(0.02 < kl < 0.3, (line["policy"], kl))


if __name__ == "__main__":
    unittest.main(verbosity=2)
