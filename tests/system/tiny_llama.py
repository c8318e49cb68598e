"""The forward of tests/data/tiny-llama-f32.gguf in plain Python doubles, straight from the published formulas and file format: an
oracle that shares nothing with the program. 64 tokens take about a second."""

import math
import struct

WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY, F32 = 8, 9, 0
N_HEADS, N_KV_HEADS, HEAD_DIM, ROPE_BASE, EPSILON = 4, 2, 16, 10000.0, 1e-5


class GgufTensors:
    """Where each tensor of a GGUF file lies: {name: (offset, shape, type)}, the shape with its fastest dimension first."""

    def __init__(self, data):
        self.data = data
        n_tensors, n_values, at = self._u64(8), self._u64(16), 24
        for _ in range(n_values):
            at = self._past_value(self._past_value(at, STRING) + 4, self._u32(self._past_value(at, STRING)))
        found = {}
        for _ in range(n_tensors):
            name = bytes(data[at + 8:at + 8 + self._u64(at)]).decode()
            at = self._past_value(at, STRING)
            shape = [self._u64(at + 4 + 8 * i) for i in range(self._u32(at))]
            at += 4 + 8 * len(shape)
            found[name] = (self._u64(at + 4), shape, self._u32(at))
            at += 12
        begin = -(-at // 32) * 32
        self.tensors = {name: (begin + offset, shape, kind) for name, (offset, shape, kind) in found.items()}

    def _u32(self, at):
        return struct.unpack_from("<I", self.data, at)[0]

    def _u64(self, at):
        return struct.unpack_from("<Q", self.data, at)[0]

    def _past_value(self, at, kind):
        if kind == STRING:
            return at + 8 + self._u64(at)
        if kind != ARRAY:
            return at + WIDTHS[kind]
        of, n, at = self._u32(at), self._u64(at + 4), at + 12
        for _ in range(n):
            at = self._past_value(at, of)
        return at

    def rows(self, name):
        """An f32 tensor as a list of rows."""
        offset, shape, kind = self.tensors[name]
        assert kind == F32, name
        width = shape[0]
        n = math.prod(shape) // width
        return [struct.unpack_from(f"<{width}f", self.data, offset + 4 * width * i) for i in range(n)]


def _times(matrix, x):
    return [sum(map(float.__mul__, row, x)) for row in matrix]


def _norm(x, weight):
    scale = 1 / math.sqrt(sum(v * v for v in x) / len(x) + EPSILON)
    return [v * scale * w for v, w in zip(x, weight)]


def _turned(x, position):
    """Pairs (2i, 2i + 1) of every head turn by position x base^(-2i / head_dim)."""
    out = list(x)
    for i in range(0, len(x), 2):
        angle = position * ROPE_BASE ** (-(i % HEAD_DIM) / HEAD_DIM)
        cos, sin = math.cos(angle), math.sin(angle)
        out[i], out[i + 1] = x[i] * cos - x[i + 1] * sin, x[i] * sin + x[i + 1] * cos
    return out


class TinyLlama:
    def __init__(self, path):
        tensors = GgufTensors(path.read_bytes())
        self.weights = {name: tensors.rows(name) for name in tensors.tensors}
        self.n_layers = sum(name.endswith("attn_q.weight") for name in self.weights)

    def logits(self, ids, released=(0, ())):
        """(n_tokens, n_vocab). released: (n, positions) that are gone from the cache once n tokens are fed."""
        cache = [([], []) for _ in range(self.n_layers)]
        out = []
        for position, token in enumerate(ids):
            if position == released[0]:
                cache = [tuple([v for i, v in enumerate(part) if i not in released[1]] for part in layer) for layer in cache]
            out.append(self._step(token, position, cache))
        return out

    def logprobs(self, ids):
        """Of ids[1:], each given those before it; natural."""
        out = []
        for logits, token in zip(self.logits(ids[:-1]), ids[1:]):
            most = max(logits)
            out.append(logits[token] - most - math.log(sum(math.exp(v - most) for v in logits)))
        return out

    def _step(self, token, position, cache):
        x = list(self.weights["token_embd.weight"][token])
        for layer, (keys, values) in enumerate(cache):
            w = lambda part: self.weights[f"blk.{layer}.{part}.weight"]
            h = _norm(x, w("attn_norm")[0])
            q = _turned(_times(w("attn_q"), h), position)
            keys.append(_turned(_times(w("attn_k"), h), position))
            values.append(_times(w("attn_v"), h))
            x = [a + b for a, b in zip(x, _times(w("attn_output"), self._attend(q, keys, values)))]
            h = _norm(x, w("ffn_norm")[0])
            gated = [g / (1 + math.exp(-g)) * u for g, u in zip(_times(w("ffn_gate"), h), _times(w("ffn_up"), h))]
            x = [a + b for a, b in zip(x, _times(w("ffn_down"), gated))]
        return _times(self.weights["token_embd.weight"], _norm(x, self.weights["output_norm.weight"][0]))

    def _attend(self, q, keys, values):
        out = []
        for head in range(N_HEADS):
            kv = head // (N_HEADS // N_KV_HEADS) * HEAD_DIM
            query = q[head * HEAD_DIM:(head + 1) * HEAD_DIM]
            scores = [sum(map(float.__mul__, query, key[kv:kv + HEAD_DIM])) / math.sqrt(HEAD_DIM) for key in keys]
            most = max(scores)
            mass = [math.exp(s - most) for s in scores]
            total = sum(mass)
            out += [sum(m * value[kv + i] for m, value in zip(mass, values)) / total for i in range(HEAD_DIM)]
        return out
