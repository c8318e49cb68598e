#!/usr/bin/env python3
"""Kept sets of the policies by their papers' formulas, in NumPy at double precision -> tests/data/kept_sets.json.

    tests/golden/kept_sets.py tests/data/kept_sets.json

Nothing of this project is used. Queries, keys and values come from a hash that tests/golden/seeded_floats.h repeats, so
only the sets are stored. One decision at the end of a prompt whose slots are all cached; ties go to the lower position.
"""
import json
import sys

import numpy as np

from seeded_floats import floats

N_LAYERS = 4
SHAPES = [  # query heads, KV heads, head_dim, tokens, budget: groups of 1, 3 and 4
    (2, 2, 16, 300, 128),
    (9, 3, 64, 331, 130),
    (8, 2, 32, 296, 140),
]
N_SINK, ROPE_BASE = 4, 10000.0


class Layer:
    def __init__(self, shape_index, layer):
        self.n_heads, self.n_kv, self.dim, self.n, self.budget = SHAPES[shape_index]
        base = 1000 * shape_index + 10 * layer
        self.q = floats(base + 1, (self.n, self.n_heads, self.dim))
        # Keys of a few kinds, so that cosines and norms differ as those of text do.
        kinds = floats(base + 2, (5, self.n_kv, self.dim))
        self.k = kinds[np.arange(self.n) % 5] + floats(base + 3, (self.n, self.n_kv, self.dim))
        self.v = floats(base + 4, (self.n, self.n_kv, self.dim))
        self.group = self.n_heads // self.n_kv

    def logits(self, head, rows):
        return self.q[rows, head] @ self.k[:, head // self.group].T / np.sqrt(self.dim)

    def weights(self, head, rows):
        logits = self.logits(head, rows)
        logits = np.where(np.arange(self.n)[None] <= np.asarray(rows)[:, None], logits, -np.inf)
        e = np.exp(logits - logits.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def mass(self, kv, rows):
        """(n) the rows' weights added up, the mean over the KV head's query heads."""
        heads = range(kv * self.group, (kv + 1) * self.group)
        return np.mean([self.weights(h, rows).sum(0) for h in heads], 0)


def top(score, k, protected):
    """Sorted slots: the protected ones, then the best; ties to the lower position."""
    free = [i for i in np.lexsort((np.arange(len(score)), -score)) if not protected[i]]
    kept = list(np.flatnonzero(protected)) + free[: max(0, k - int(protected.sum()))]
    return sorted(int(i) for i in kept)


def protect(n, n_sink, n_recent):
    i = np.arange(n)
    return (i < n_sink) | (i >= n - n_recent)


def average_pool(x, kernel):
    return np.convolve(x, np.ones(kernel), "same") / kernel


def max_pool(x, kernel):
    padded = np.pad(x, kernel // 2, constant_values=-np.inf)
    return np.max([padded[i : i + len(x)] for i in range(kernel)], 0)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def snapkv_score(layer, kv, window=32, kernel=5):
    return average_pool(layer.mass(kv, np.arange(layer.n - window, layer.n)), kernel)


def knorm(layer, kv):
    return -np.linalg.norm(layer.k[:, kv], axis=1)


def keydiff(layer, kv):
    unit = layer.k[:, kv] / np.linalg.norm(layer.k[:, kv], axis=1, keepdims=True)
    anchor = unit.mean(0)
    return -(unit @ anchor) / np.linalg.norm(anchor)


def lagkv(layer, kv):
    lag = min(128, layer.budget // 4)
    score = np.full(layer.n, 2.0)
    block = 0
    while N_SINK + (block + 2) * lag <= layer.n:
        here = slice(N_SINK + block * lag, N_SINK + (block + 1) * lag)
        following = slice(here.stop, here.stop + lag)
        both = np.zeros(lag)
        for x in (layer.k[:, kv], layer.v[:, kv]):
            low, high = x[following].min(0), x[following].max(0)
            both += softmax(((x[here] - low) / (high - low)).std(1, ddof=1))
        score[here] = both.argsort().argsort() / lag
        block += 1
    return score


def mean_rotation(layer, n_future=512):
    """(dim, dim) of the positions after the prompt; pairs (i, i + dim / 2)."""
    half = layer.dim // 2
    positions = layer.n + np.arange(n_future)
    angle = positions[:, None] * ROPE_BASE ** (-2 * np.arange(half) / layer.dim)[None]
    c, s = np.cos(angle).mean(0), np.sin(angle).mean(0)
    r = np.zeros((layer.dim, layer.dim))
    i = np.arange(half)
    r[i, i], r[i + half, i + half], r[i, i + half], r[i + half, i] = c, c, -s, s
    return r


def expected_attention(layer, kv, epsilon=0.01):
    turned = mean_rotation(layer)
    weights = np.zeros(layer.n)
    for head in range(kv * layer.group, (kv + 1) * layer.group):
        q = layer.q[N_SINK:, head]
        mean = turned @ q.mean(0)
        covariance = turned @ np.cov(q.T, bias=True) @ turned.T
        k = layer.k[N_SINK:, kv]
        logits = k @ mean / np.sqrt(layer.dim) + np.einsum("ni,ij,nj->n", k, covariance, k) / (2 * layer.dim)
        weights[N_SINK:] += softmax(logits) / layer.group
    return (weights + epsilon) * np.linalg.norm(layer.v[:, kv], axis=1)


def rkv(layer, kv, lam=0.07, window=8, kernel=7, threshold=0.5):
    rows = np.arange(layer.n - window, layer.n)
    heads = range(kv * layer.group, (kv + 1) * layer.group)
    logits = np.max([layer.logits(h, rows)[:, : layer.n - window] for h in heads], 0)
    importance = max_pool(np.mean([softmax(row) for row in logits], 0), kernel)
    unit = layer.k[:, kv] / np.linalg.norm(layer.k[:, kv], axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, 0)
    for i in range(layer.n):
        alike = [j for j in np.flatnonzero(cosine[i] > threshold) if j != i]
        if alike:
            cosine[i, alike[-1]] = 0
    redundancy = softmax(cosine.mean(0))
    return lam * np.append(importance, np.ones(window)) - (1 - lam) * redundancy


def by_head(score, n_recent=0, n_sink=N_SINK):
    return lambda layers: [
        [top(score(l, kv), l.budget, protect(l.n, n_sink, n_recent)) for kv in range(l.n_kv)] for l in layers
    ]


def h2o(layers):
    return by_head(lambda l, kv: l.mass(kv, np.arange(l.n)), n_recent=layers[0].budget // 2, n_sink=0)(layers)


def tova(layers):
    score = lambda l: np.mean([l.weights(h, [l.n - 1])[0] for h in range(l.n_heads)], 0)
    return [[top(score(l), l.budget, protect(l.n, 0, 0))] for l in layers]


def pyramidkv(layers, beta=20, window=32):
    mean = layers[0].budget - window
    least = mean / beta
    most = 2 * mean - least
    if most > layers[0].n - window:
        most = layers[0].n - window
        least = 2 * mean - most
    result = []
    for i, l in enumerate(layers):
        k = int(window + most - i * (most - least) / (len(layers) - 1))
        result.append([top(snapkv_score(l, kv), k, protect(l.n, N_SINK, 32)) for kv in range(l.n_kv)])
    return result


def adakv(layers, alpha=0.2):
    """Around SnapKV."""
    result = []
    for l in layers:
        scores = [snapkv_score(l, kv) for kv in range(l.n_kv)]
        safe = protect(l.n, N_SINK, 0)
        secured = [top(s, max(int(alpha * l.budget), int(safe.sum())), safe) for s in scores]
        rest = [(-s[i], i, kv) for kv, s in enumerate(scores) for i in range(l.n) if i not in set(secured[kv])]
        n_rest = l.budget * l.n_kv - sum(len(s) for s in secured)
        for _, i, kv in sorted(rest)[:n_rest]:
            secured[kv].append(i)
        result.append([sorted(s) for s in secured])
    return result


POLICIES = {
    "knorm": by_head(knorm),
    "keydiff": by_head(keydiff),
    "h2o": h2o,
    "tova": tova,
    "snapkv": by_head(snapkv_score, n_recent=32),
    "pyramidkv": pyramidkv,
    "adakv": adakv,
    "lagkv": by_head(lagkv),
    "expected_attention": by_head(expected_attention),
    "rkv": by_head(rkv, n_recent=8, n_sink=0),
}


def main():
    cases = []
    for index, (n_heads, n_kv, dim, n, budget) in enumerate(SHAPES):
        layers = [Layer(index, layer) for layer in range(N_LAYERS)]
        kept = {name: policy(layers) for name, policy in POLICIES.items()}
        cases.append(dict(n_heads=n_heads, n_kv_heads=n_kv, head_dim=dim, n_tokens=n, budget=budget,
                          first_float=float(layers[0].q.flat[0]), kept=kept))
    with open(sys.argv[1], "w") as out:
        json.dump(dict(n_layers=N_LAYERS, n_sink=N_SINK, rope_base=ROPE_BASE, cases=cases), out, separators=(",", ":"))
        out.write("\n")


main()
