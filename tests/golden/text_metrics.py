#!/usr/bin/env python3
"""Writes tests/data/text_metrics.json: pairs of texts with their token F1 and ROUGE-L, by the textbook definitions
(precision and recall, then their harmonic mean; the subsequence by recursion), which the C++ does not share.

    python3 tests/golden/text_metrics.py
"""

import collections
import functools
import json
import pathlib
import random
import re

OUTPUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "text_metrics.json"


def words(text):
    return re.findall(rb"[a-z0-9\x80-\xff]+", text.encode().lower())  # bytes.lower() knows ASCII only


def f_measure(shared, a, b):
    if not a and not b:
        return 1.0
    if not shared:
        return 0.0
    precision, recall = shared / len(a), shared / len(b)
    return 2 * precision * recall / (precision + recall)


def token_f1(a, b):
    a, b = words(a), words(b)
    return f_measure(sum((collections.Counter(a) & collections.Counter(b)).values()), a, b)


def rouge_l(a, b):
    a, b = words(a), words(b)

    @functools.cache
    def longest(i, j):
        if i == len(a) or j == len(b):
            return 0
        if a[i] == b[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    return f_measure(longest(0, 0), a, b)


def pairs():
    yield from [("", ""), ("", "one word"), ("?!", "..."), ("The cat sat.", "the CAT sat"), ("a b c d", "d c b a"),
                ("police killed the gunman", "police kill the gunman"), ("the the the", "the"), ("naïve café", "NAÏVE cafe"),
                ("Don't stop", "don t stop"), ("x1 y2\tz3\nx1", "x1-z3"), ("日本 語", "語")]
    chosen = random.Random(7)
    vocabulary = "the cache keeps tokens that later questions need, Words 12 über über-lang".split(" ")
    for _ in range(60):
        yield tuple(" ".join(chosen.choice(vocabulary) for _ in range(chosen.randrange(0, 25))) for _ in range(2))


def main():
    cases = [{"a": a, "b": b, "token_f1": token_f1(a, b), "rouge_l": rouge_l(a, b)} for a, b in pairs()]
    lines = ",\n".join(" " + json.dumps(case, ensure_ascii=False) for case in cases)
    OUTPUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
