"""Makes tests/data/tiny-*.gguf, seeded llamas small enough to commit, and their golden logits from transformers.

tiny-llama-{f32,f16,bf16,q8_0,q5_1,q5_0,q4_1,q4_0}.gguf   3 layers, 4 heads over 2 KV heads of 16, tied head
tiny-group3-f32.gguf                                      2 layers, 3 heads over 1 KV head of 32, own output matrix
tiny-llama256-k_mix.gguf                                  1 layer, rows of 256 in Q4_K, Q5_K and Q6_K, tied head

tests/data/tiny_logits.json: {file: [prompt...]}, a prompt being
  ids          its tokens
  last_logits  (n_vocab) f32 after the last token
  top          per position [[id, logit] x 4], descending       (f32 files)
  logsumexp    per position, natural logarithm                  (f32 files)
  greedy       the next 24 tokens at temperature 0              (f32 files)
tests/data/tiny_tensors.json: {file: [{name, shape, type, sha256 of the bytes}...]}.
The quantised files are judged with their own weights, dequantised in numpy; activations stay f32.
"""

import hashlib
import json
import math
import pathlib

import numpy as np
import torch
import transformers

import gguf_format as gguf
import chat_templates

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
SPECIAL = """<|endoftext|> <|im_start|> <|im_end|> <repo_name> <reponame> <file_sep> <filename> <gh_stars> <issue_start>
<issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <jupyter_code> <jupyter_output> <jupyter_script>
<empty_output>""".split()
TEXT = """the policy keeps the tokens that the answer will need and releases the others before the next chunk is read;
there is a time for the cache to be full and a time for it to be small, and the one who decides is the policy, not the host.
system user assistant hello world in one or two words on that other thing"""
N_VOCAB = 320
N_CTX = 512

TINY = dict(n_layers=3, n_embd=64, n_heads=4, n_kv_heads=2, head_dim=16, n_ff=96, rope_base=10000.0, tied=True, seed=3)
GROUP3 = dict(n_layers=2, n_embd=96, n_heads=3, n_kv_heads=1, head_dim=32, n_ff=32, rope_base=100000.0, tied=False, seed=4)
WIDE = dict(n_layers=1, n_embd=256, n_heads=4, n_kv_heads=1, head_dim=64, n_ff=256, rope_base=10000.0, tied=True, seed=5)
# Which K-quant a matrix has in a k_mix: as quantisers mix them, finest where errors hurt most.
K_MIX = dict(token_embd="q6_k", attn_q="q4_k", attn_k="q4_k", attn_v="q6_k", attn_output="q5_k", ffn_gate="q4_k",
             ffn_up="q5_k", ffn_down="q6_k")


def byte_alphabet():
    """GPT-2's printable character for every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, n = {}, 0
    for byte in range(256):
        table[byte] = chr(byte) if byte in plain else chr(256 + n)
        n += byte not in plain
    return table


def train_merges(text, n_merges):
    """Byte-pair encoding over words with their leading space; ties go to the smaller pair."""
    alphabet = byte_alphabet()
    words = [[alphabet[b] for b in w.encode()] for w in text.replace("\n", " ").replace(" ", "\n ").split("\n")]
    merges = []
    while len(merges) < n_merges:
        counts = {}
        for word in words:
            for pair in zip(word, word[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for word in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def tokenizer_metadata():
    alphabet = byte_alphabet()
    merges = train_merges(TEXT, N_VOCAB - 256 - len(SPECIAL))
    tokens = SPECIAL + [alphabet[b] for b in range(256)] + ["".join(pair) for pair in merges]
    assert len(tokens) == len(set(tokens)) == N_VOCAB
    types = [3] * len(SPECIAL) + [1] * (N_VOCAB - len(SPECIAL))
    return [
        ("tokenizer.ggml.model", gguf.STRING, "gpt2"),
        ("tokenizer.ggml.pre", gguf.STRING, "smollm"),
        ("tokenizer.ggml.tokens", gguf.ARRAY, (gguf.STRING, tokens)),
        ("tokenizer.ggml.token_type", gguf.ARRAY, (gguf.I32, types)),
        ("tokenizer.ggml.merges", gguf.ARRAY, (gguf.STRING, [" ".join(pair) for pair in merges])),
        ("tokenizer.ggml.bos_token_id", gguf.U32, 1),
        ("tokenizer.ggml.eos_token_id", gguf.U32, 2),
        ("tokenizer.ggml.unknown_token_id", gguf.U32, 0),
        ("tokenizer.ggml.add_bos_token", gguf.BOOL, False),
        ("tokenizer.ggml.add_space_prefix", gguf.BOOL, False),
        ("tokenizer.chat_template", gguf.STRING, chat_templates.read("smollm")),
    ]


def metadata(name, shape):
    numbers = [
        ("general.architecture", gguf.STRING, "llama"),
        ("general.name", gguf.STRING, name),
        ("llama.block_count", gguf.U32, shape["n_layers"]),
        ("llama.context_length", gguf.U32, N_CTX),
        ("llama.embedding_length", gguf.U32, shape["n_embd"]),
        ("llama.feed_forward_length", gguf.U32, shape["n_ff"]),
        ("llama.attention.head_count", gguf.U32, shape["n_heads"]),
        ("llama.attention.head_count_kv", gguf.U32, shape["n_kv_heads"]),
        ("llama.attention.layer_norm_rms_epsilon", gguf.F32, 1e-5),
        ("llama.rope.freq_base", gguf.F32, shape["rope_base"]),
        ("llama.rope.dimension_count", gguf.U32, shape["head_dim"]),
        ("llama.vocab_size", gguf.U32, N_VOCAB),
    ]
    return numbers + tokenizer_metadata()


def make_weights(shape):
    """{GGUF name: f32 array}, q and k rows in transformers' order. Blocks speak louder than the embedding, so that the next
    token depends on the whole prompt and greedy text does not stand still."""
    random = np.random.default_rng(shape["seed"])
    d, f, hd = shape["n_embd"], shape["n_ff"], shape["head_dim"]
    n_q, n_kv = shape["n_heads"] * hd, shape["n_kv_heads"] * hd

    def matrix(n_out, n_in, gain):
        return (random.standard_normal((n_out, n_in)) * gain / math.sqrt(n_in)).astype(np.float32)

    def norm():
        return (1 + 0.2 * random.standard_normal(d)).astype(np.float32)

    weights = {"token_embd.weight": matrix(N_VOCAB, d, 2.0)}
    for layer in range(shape["n_layers"]):
        parts = {
            "attn_norm": norm(), "attn_q": matrix(n_q, d, 1.0), "attn_k": matrix(n_kv, d, 1.0),
            "attn_v": matrix(n_kv, d, 1.0), "attn_output": matrix(d, n_q, 1.5), "ffn_norm": norm(),
            "ffn_gate": matrix(f, d, 1.5), "ffn_up": matrix(f, d, 1.5), "ffn_down": matrix(d, f, 2.0),
        }
        weights |= {f"blk.{layer}.{part}.weight": value for part, value in parts.items()}
    weights["output_norm.weight"] = norm()
    if not shape["tied"]:
        weights["output.weight"] = matrix(N_VOCAB, d, 2.0)
    return weights


def to_gguf_order(rows, head_dim):
    """transformers turns element i with i + d/2, llama's GGUF 2i with 2i + 1: the rows of each head are interleaved."""
    return rows.reshape(-1, 2, head_dim // 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def from_gguf_order(rows, head_dim):
    return rows.reshape(-1, head_dim // 2, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def is_rotated(name):
    return ".attn_q." in name or ".attn_k." in name


def write_model(path, name, shape, weights, form):
    """Writes the file; gives back the weights as its readers see them, in transformers' order, and a list of its tensors."""
    tensors, seen = [], {}
    for tensor, value in weights.items():
        used = "f32" if value.ndim == 1 else K_MIX[tensor.split(".")[-2]] if form == "k_mix" else form
        _, quantise, dequantise = gguf.FORMATS[used]
        data = quantise(to_gguf_order(value, shape["head_dim"]) if is_rotated(tensor) else value)
        tensors.append((tensor, value.shape, used, data))
        back = dequantise(data).reshape(value.shape)
        seen[tensor] = from_gguf_order(back, shape["head_dim"]) if is_rotated(tensor) else back
    gguf.write(path, metadata(name, shape), tensors)
    listing = [{"name": n, "shape": list(s), "type": f.upper(), "sha256": hashlib.sha256(data).hexdigest()}
               for n, s, f, data in tensors]
    return seen, listing


def transformers_model(shape, weights):
    config = transformers.LlamaConfig(
        vocab_size=N_VOCAB, hidden_size=shape["n_embd"], intermediate_size=shape["n_ff"],
        num_hidden_layers=shape["n_layers"], num_attention_heads=shape["n_heads"],
        num_key_value_heads=shape["n_kv_heads"], head_dim=shape["head_dim"], max_position_embeddings=N_CTX,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": shape["rope_base"]},
        tie_word_embeddings=shape["tied"], attn_implementation="eager")
    model = transformers.LlamaForCausalLM(config).eval().float()
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
             "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    state = {}
    for name, value in weights.items():
        parts = name.split(".")
        prefix = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
        state[f"{prefix}{names[parts[-2]]}.weight"] = torch.from_numpy(value.copy())
    if shape["tied"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def plain_logits(shape, weights, ids):
    """The same forward in float64 straight from the GGUF's row order, pairs (2i, 2i + 1) turning: guards the goldens against a
    slip in the order of rows, the rope base or the grouping of heads that file and transformers would share."""
    hd, n_heads, n_kv = shape["head_dim"], shape["n_heads"], shape["n_kv_heads"]
    w = {k: (to_gguf_order(v, hd) if is_rotated(k) else v).astype(np.float64) for k, v in weights.items()}
    angle = np.arange(len(ids))[:, None] * shape["rope_base"] ** (-np.arange(0, hd, 2) / hd)
    turn = np.exp(1j * angle)[:, None, :]

    def norm(x, name):
        return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5) * w[name]

    def rotated(x, heads):
        pairs = x.reshape(len(ids), heads, hd // 2, 2)
        z = (pairs[..., 0] + 1j * pairs[..., 1]) * turn
        return np.stack([z.real, z.imag], axis=-1).reshape(len(ids), heads, hd)

    x = w["token_embd.weight"][ids]
    for layer in range(shape["n_layers"]):
        part = lambda name: w[f"blk.{layer}.{name}.weight"]
        h = norm(x, f"blk.{layer}.attn_norm.weight")
        q, k = rotated(h @ part("attn_q").T, n_heads), rotated(h @ part("attn_k").T, n_kv)
        v = (h @ part("attn_v").T).reshape(len(ids), n_kv, hd)
        k, v = (np.repeat(a, n_heads // n_kv, axis=1) for a in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(hd)
        scores = np.where(np.tri(len(ids), dtype=bool), scores, -np.inf)
        mass = np.exp(scores - scores.max(axis=2, keepdims=True))
        mass /= mass.sum(axis=2, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", mass, v).reshape(len(ids), -1) @ part("attn_output").T
        h = norm(x, f"blk.{layer}.ffn_norm.weight")
        gate = h @ part("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ part("ffn_up").T)) @ part("ffn_down").T
    return norm(x, "output_norm.weight") @ w.get("output.weight", w["token_embd.weight"]).T


def greedy(model, ids, n):
    ids, margin = list(ids), math.inf
    for _ in range(n):
        last = logits_of(model, ids)[-1]
        second, first = np.sort(last)[-2:]
        margin = min(margin, float(first - second))
        ids.append(int(last.argmax()))
    return ids[-n:], margin


def rounded(values):
    return [float(f"{v:.7g}") for v in values]


def golden(model, ids, whole):
    logits = logits_of(model, ids)
    entry = {"ids": ids, "last_logits": rounded(logits[-1])}
    if whole:
        order = np.argsort(-logits, axis=1, kind="stable")[:, :4]
        entry["top"] = [[[int(t), rounded([row[t]])[0]] for t in best] for row, best in zip(logits, order)]
        entry["logsumexp"] = rounded(np.log(np.exp(logits.astype(np.float64)).sum(axis=1)))
        entry["greedy"], margin = greedy(model, ids, 24)
        # Another summation order must not change the text; text that stands still or ends early shows nothing.
        assert margin > 1e-2 and len(set(entry["greedy"])) >= 8 and not {0, 2} & set(entry["greedy"]), (margin, entry)
    return entry


def main():
    torch.use_deterministic_algorithms(True)
    random = np.random.default_rng(3)
    prompts = [[17 + b for b in b"hello"], [1, 17 + 65, 2, 300], random.integers(17, N_VOCAB, 300).tolist()]
    goldens, listings = {}, {}
    short = [form for form in gguf.FORMATS if gguf.block_length(form) <= 32]
    for name, shape, forms in (("tiny-llama", TINY, short), ("tiny-group3", GROUP3, ["f32"]), ("tiny-llama256", WIDE, ["k_mix"])):
        weights = make_weights(shape)
        for form in forms:
            file = f"{name}-{form}.gguf"
            seen, listing = write_model(DATA / file, name, shape, weights, form)
            if form in ("q4_1", "f32", "k_mix"):
                listings[file] = listing
            model = transformers_model(shape, seen)
            used = prompts if form == "f32" else prompts[1:2]
            for ids in used:
                worst = float(np.abs(logits_of(model, ids) - plain_logits(shape, seen, ids)).max())
                assert worst < 5e-5, (file, worst)
            goldens[file] = [golden(model, ids, form == "f32") for ids in used]
            print(file, (DATA / file).stat().st_size, "bytes")
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in goldens.items())
    (DATA / "tiny_logits.json").write_text("{" + lines + "}\n")
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in listings.items())
    (DATA / "tiny_tensors.json").write_text("{" + lines + "}\n")


if __name__ == "__main__":
    main()
