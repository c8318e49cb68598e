#!/usr/bin/env python3
"""LOCRET's kept sets after every chunk of a prompt, in NumPy at double precision -> tests/data/locret_kept_sets.json.

    tests/golden/locret_kept_sets.py tests/data/locret_kept_sets.json

Nothing of this project is used. Rows and heads come from a hash that tests/golden/seeded_floats.h repeats, so only
the sets are stored. budget_scope "head" is the paper's algorithm 1; "global" ranks all KV heads of the model together, and each
keeps at least a fifth of the budget. Both are stored without and with the closing of scores, the plugin's own.
"""
import json
import sys

import numpy as np

from seeded_floats import floats

N_LAYERS, D_R, N_SINK, N_LOCAL, FLOOR, CLOSING = 3, 24, 4, 16, 0.2, 6
STREAM = 5000
SHAPES = [  # query heads, KV heads, head_dim, tokens, chunk, budget: groups of 1, 3 and 4
    (2, 2, 16, 300, 64, 96),
    (9, 3, 64, 331, 100, 120),
    (8, 2, 32, 296, 48, 80),
]
CLOSEST = 1e-5  # scores at a cut must differ by more: f32 would not be sure of the order


def scores_of(index, layer):
    """(n_tokens, n_kv_heads): W2 silu(W1 [q; k; v])"""
    n_heads, n_kv, dim, n, _, _ = SHAPES[index]
    base = STREAM + 1000 * index + 10 * layer
    rows = np.concatenate([floats(base + i, (n, heads * dim)) for i, heads in enumerate([n_heads, n_kv, n_kv])], 1)
    hidden = rows @ (floats(base + 3, (D_R, rows.shape[1])) / 4).T
    return (hidden / (1 + np.exp(-hidden))) @ floats(base + 4, (n_kv, D_R)).T


def protected(positions, fed, is_end, budget):
    last = N_LOCAL if is_end else budget // 4
    return [p for p in positions if p < N_SINK or p >= fed - last]


def closed(score, positions, length):
    """Dilation, then erosion, by windows of `length` positions; what is not held counts as lowest."""
    line = np.full(max(positions) + 2 * length, -np.inf)
    line[np.array(positions) + length - 1] = score[positions]
    dilated = np.lib.stride_tricks.sliding_window_view(line, length).max(1)
    eroded = np.lib.stride_tricks.sliding_window_view(dilated, length).min(1)
    return eroded[positions]


def best(candidates, n):
    """The n highest of (score, position, head) entries; ties, which closing makes, to the lower position."""
    ranked = sorted(candidates, key=lambda c: (-c[0], c[1]))
    if 0 < n < len(ranked):
        gap = ranked[n - 1][0] - ranked[n][0]
        assert gap == 0 or gap > CLOSEST, "too close to call in f32: choose other numbers"
    return ranked[:n]


def decide_head(held, score, fed, is_end, budget):
    for head, positions in held.items():
        if len(positions) <= budget:
            continue
        safe = protected(positions, fed, is_end, budget)
        free = [(score[head][p], p, head) for p in positions if p not in set(safe)]
        held[head] = sorted(safe + [p for _, p, _ in best(free, budget - len(safe))])


def decide_global(held, score, fed, is_end, budget):
    if sum(map(len, held.values())) <= budget * len(held):
        return
    kept, pool = {}, []
    for head, positions in held.items():
        kept[head] = protected(positions, fed, is_end, budget)
        free = [(score[head][p], p, head) for p in positions if p not in set(kept[head])]
        own = best(free, max(0, int(FLOOR * budget) - len(kept[head])))
        kept[head] += [p for _, p, _ in own]
        pool += [c for c in free if c not in own]
    for _, p, head in best(pool, budget * len(held) - sum(map(len, kept.values()))):
        kept[head].append(p)
    held.update({head: sorted(positions) for head, positions in kept.items()})


def run(index, decide, closing):
    """[chunk][layer][KV head] positions"""
    _, n_kv, _, n, chunk, budget = SHAPES[index]
    layers = [scores_of(index, layer) for layer in range(N_LAYERS)]
    score = {(l, h): layers[l][:, h] for l in range(N_LAYERS) for h in range(n_kv)}
    held = {head: [] for head in score}
    chunks = []
    for first in range(0, n, chunk):
        fed = min(first + chunk, n)
        for positions in held.values():
            positions += range(first, fed)
        if closing:
            for head, positions in held.items():
                score[head][positions] = closed(score[head], positions, closing)
        decide(held, score, fed, fed == n, budget)
        chunks.append([[list(held[l, h]) for h in range(n_kv)] for l in range(N_LAYERS)])
    return chunks


def main():
    cases = []
    for index, (n_heads, n_kv, dim, n, chunk, budget) in enumerate(SHAPES):
        cases.append(dict(n_heads=n_heads, n_kv_heads=n_kv, head_dim=dim, n_tokens=n, chunk=chunk, budget=budget,
                          first_score=float(scores_of(index, 0)[0, 0]),
                          sets=[{"closing": closing, "head": run(index, decide_head, closing), "global": run(index, decide_global, closing)}
                                for closing in (0, CLOSING)]))
    with open(sys.argv[1], "w") as out:
        json.dump(dict(n_layers=N_LAYERS, d_R=D_R, n_sink=N_SINK, n_local=N_LOCAL, floor=FLOOR, cases=cases), out,
                  separators=(",", ":"))
        out.write("\n")


main()
