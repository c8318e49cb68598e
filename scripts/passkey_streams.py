#!/usr/bin/env python3
"""Streams of text with a pass key in them, and what was found of it.

  passkey_streams.py make TEXT N_TOKENS TENURE MODEL   request lines: streams of at least N_TOKENS tokens of TEXT, with 0, 1/8, …, 1
                                                       of their text before the key, which is asked for at the end
  passkey_streams.py show RUN                          a line for each row of the run: found or not, and the cache's peak beside the
                                                       most that its stage's gate allows
"""

import json
import random
import subprocess
import sys
from pathlib import Path

N_DEPTHS = 9
N_DIGITS = 5
# Said and asked as `tenure eval` does; no shipped heads were trained on these wordings.
SAID = "The pass key is {0}. Remember it. {0} is the pass key."
ASKED = "\n\nQuestion: What is the pass key?\nAnswer: The pass key is "


def count_tokens(tenure: str, model: str, text: str) -> int:
    done = subprocess.run([tenure, "tokenize", "-m", model, "--count"], input=text.encode(), stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


def lines_from(lines: list[str], first: int, n_bytes: float) -> list[str]:
    """At least n_bytes of whole lines from `first` on; after the last line comes the first."""
    taken, size = [], 0
    while size < n_bytes:
        taken.append(lines[(first + len(taken)) % len(lines)])
        size += len(taken[-1].encode()) + 1
    return taken


def stretch(lines: list[str], n_tokens: int, tenure: str, model: str, draws: random.Random) -> list[str]:
    """At least n_tokens, and few more, of whole lines from a drawn one on."""
    first, n_bytes = draws.randrange(len(lines)), 4.0 * n_tokens  # no more than English takes
    while True:
        taken = lines_from(lines, first, n_bytes)
        n = count_tokens(tenure, model, "\n".join(taken))
        if n >= n_tokens:
            return taken
        n_bytes *= 1.002 * n_tokens / n


def plant(lines: list[str], depth: float, said: str) -> str:
    """The lines with `said` as one of their own, where `depth` of their text is nearest to being before it."""
    wanted, n_before, at = depth * sum(map(len, lines)), 0, 0
    while at < len(lines) and n_before + len(lines[at]) / 2 < wanted:
        n_before += len(lines[at])
        at += 1
    return "\n".join([*lines[:at], said, *lines[at:]])


def make(text: str, n_tokens: str, tenure: str, model: str) -> None:
    lines = Path(text).read_text(encoding="utf-8").splitlines()
    for i in range(N_DEPTHS):
        draws = random.Random(f"passkey stream {i}")
        key = "".join(draws.choice("0123456789") for _ in range(N_DIGITS))
        depth = i / (N_DEPTHS - 1)
        stream = plant(stretch(lines, int(n_tokens), tenure, model, draws), depth, SAID.format(key))
        print(json.dumps({"id": f"{depth:.3f}", "segments": [{"text": stream}, {"text": ASKED, "score": key}]}))


def show(run: str) -> None:
    rows = [json.loads(line) for line in (Path(run) / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    gates = json.loads((Path(run) / "summary.json").read_text(encoding="utf-8"))["gates"]
    most = {gate["stage"]: gate["max"] for gate in gates if gate["metric"] == "kv.peak_bytes"}
    print("| policy | depth | tokens | found | digits right | log-probability of a digit | KV peak, bytes | at most | of a whole cache |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: (row["stage"], float(row["id"]))):
        if row["status"] != "ok":
            print(f"| {row['stage']} | {row['id']} | {row['error']['code']}: {row['error']['message']} |")
            continue
        kv, score = row["kv"], row["score"]
        n_right = round(score["token_accuracy"] * N_DIGITS)
        print(f"| {row['stage']} | {row['id']} | {row['usage']['prompt_tokens']:,} | {'yes' if n_right == N_DIGITS else 'no'} "
              f"| {n_right} of {N_DIGITS} | {score['logprob'] / N_DIGITS:.2f} | {kv['peak_bytes']:,} | {most[row['stage']]:,} "
              f"| {kv['peak_bytes'] / kv['full_bytes']:.3f} |")


if __name__ == "__main__":
    commands = {"make": make, "show": show}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
