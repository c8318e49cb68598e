"""Perplexity of English text on the real model as fetched and as the peer's quantiser makes it, beside the peer's on the same
file (bench/peer.sh makes both). Slow."""

import re
import subprocess
import unittest

from harness import MODEL, ROOT, PipelineCase, needs, pipeline, reader, score

PEER = ROOT / "bench" / "peer" / "build" / "bin" / "llama-perplexity"
WINDOW, N_WINDOWS = 2048, 4
QUANTISATIONS = ["Q8_0", "Q4_0", "Q4_K_M", "Q6_K"]


def english():
    """The README, the guides and the licence of this repository, without what is no prose: code blocks and tables."""
    parts = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "LICENSE"]:
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
        parts.append("\n".join(line for line in text.splitlines() if not line.startswith("|")))
    return re.sub(r"<\|[^|>]*\|>", "", "\n".join(parts))


class Perplexity(PipelineCase):
    def setUp(self):
        super().setUp()
        self.text = english()
        (self.folder / "english.txt").write_text(self.text, encoding="utf-8")

    @needs(MODEL)
    @needs(PEER)
    def test_within_half_a_percent_of_the_peer(self):
        self.n_tokens = int(self.tenure("tokenize", "-m", MODEL, "--count", stdin=self.text.encode())[1])
        self.assertGreaterEqual(self.n_tokens, WINDOW * N_WINDOWS, "the text is too short")
        for model in [MODEL, *(MODEL.with_suffix(f".{name}.gguf") for name in QUANTISATIONS)]:
            with self.subTest(model=model.name):
                if not model.is_file():
                    self.skipTest(f"{model.name} is not there: bench/peer.sh makes it")
                self.compare(model)

    def compare(self, model):
        stages = [{"id": "requests", "kind": "read_text", "path": "english.txt"}, score("full", window=WINDOW)]
        run = self.run_tenure(pipeline(stages, {"full": {"plugin": "full"}}, model=model, engine={"memory": "1 GiB"}),
                              timeout=1500)
        ours = run.lines[0]["score"]["ppl"]
        command = [str(PEER), "-m", str(model), "-f", str(self.folder / "english.txt"), "-c", str(WINDOW), "-t", "2"]
        peer = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=True)
        said = re.search(r"Final estimate: PPL = ([0-9.]+)", peer.stdout + peer.stderr)
        self.assertIsNotNone(said, peer.stderr[-2000:])
        theirs = float(said[1])
        print(f"{model.name}, {self.n_tokens} tokens, windows of {WINDOW}: perplexity {ours:.4f}, the peer's {theirs:.4f} "
              f"({ours / theirs - 1:+.3%})")
        self.assertLess(abs(ours / theirs - 1), 0.005)


if __name__ == "__main__":
    unittest.main(verbosity=2)
