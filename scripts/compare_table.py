#!/usr/bin/env python3
"""Prints pipelines/compare_policies.toml's outcome as a Markdown table.

    compare_table.py RUN    the folder that `tenure run` wrote

One line per policy and budget: how many of an answer's first tokens are the full cache's, how often its most
likely token is theirs, how far its distributions are from its own, what the cache takes at most and at the
end; means over the prompts, one column per context.
"""

import collections
import json
import pathlib
import sys

METRICS = [
    ("agreeing tokens", "agree_tokens", "{:.1f}"),
    ("top-1", "top1", "{:.2f}"),
    ("KL", "kl", "{:.3f}"),
    ("peak bytes", "kv.peak_bytes", "{:.3f}"),
    ("end bytes", "kv.end_bytes", "{:.3f}"),
]


def main():
    values = collections.defaultdict(list)
    contexts, lines = {}, {}
    with open(pathlib.Path(sys.argv[1]) / "results.jsonl", encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            if row["compare"] is None:
                continue
            axes = row["axes"]
            line = (axes["policy.evicted.plugin"], axes["policy.evicted.budget"])
            context = axes["stage.prompts.split"]
            contexts[context] = lines[line] = True  # dicts keep the matrix's order
            for _, metric, _ in METRICS:
                values[line, context, metric].append(row["compare"][metric])
    columns = [(f"{title}, {context}", metric, shape, context) for title, metric, shape in METRICS for context in contexts]
    print("| policy | budget | " + " | ".join(title for title, *_ in columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    for line in lines:
        cells = []
        for _, metric, shape, context in columns:
            seen = values[line, context, metric]
            cells.append(shape.format(sum(seen) / len(seen)) if seen else "-")
        print(f"| {line[0]} | {line[1]} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
