"""Makes tests/fuzz/corpus/gguf/: small files, well formed and not, from which a fuzzer starts. Needs nothing but numpy."""

import pathlib
import struct

import numpy as np

import gguf_format as gguf

OUT = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus" / "gguf"

VOCABULARY = [
    ("tokenizer.ggml.model", gguf.STRING, "gpt2"), ("tokenizer.ggml.pre", gguf.STRING, "smollm"),
    ("tokenizer.ggml.tokens", gguf.ARRAY, (gguf.STRING, ["a", "b", "<e>"])),
    ("tokenizer.ggml.token_type", gguf.ARRAY, (gguf.I32, [1, 1, 3])),
    ("tokenizer.ggml.merges", gguf.ARRAY, (gguf.STRING, ["a b"])), ("tokenizer.ggml.eos_token_id", gguf.U32, 2),
    ("tokenizer.ggml.add_bos_token", gguf.BOOL, True), ("tokenizer.chat_template", gguf.STRING, "{{ messages }}"),
]
LLAMA = [
    ("general.architecture", gguf.STRING, "llama"), ("llama.block_count", gguf.U32, 1),
    ("llama.embedding_length", gguf.U32, 32), ("llama.feed_forward_length", gguf.U32, 32),
    ("llama.context_length", gguf.U32, 64), ("llama.attention.head_count", gguf.U32, 2),
    ("llama.attention.head_count_kv", gguf.ARRAY, (gguf.U32, [1])),
    ("llama.attention.layer_norm_rms_epsilon", gguf.F32, 1e-5), ("llama.rope.freq_base", gguf.F32, 1e4),
    ("llama.rope.dimension_count", gguf.U32, 16), ("llama.rope.scaling.type", gguf.STRING, "none"),
    ("llama.vocab_size", gguf.U32, 3),
]
EVERY_TYPE = [(f"type.{kind}", kind, 1) for kind in gguf.SCALARS] + [
    ("text", gguf.STRING, "x"), ("list", gguf.ARRAY, (gguf.U16, [1, 2, 3])), ("flags", gguf.ARRAY, (gguf.BOOL, [True, False])),
    ("nested", gguf.ARRAY, (gguf.ARRAY, [(gguf.STRING, ["a"]), (gguf.ARRAY, [(gguf.U8, [1])])])),
]


def llama_tensors(form):
    def tensor(name, *shape):
        used = "f32" if len(shape) == 1 else form
        return name, shape, used, gguf.FORMATS[used][1](np.ones(shape, np.float32))

    d, kv = 32, 16
    return [
        tensor("token_embd.weight", 3, d), tensor("output_norm.weight", d), tensor("blk.0.attn_norm.weight", d),
        tensor("blk.0.attn_q.weight", d, d), tensor("blk.0.attn_k.weight", kv, d), tensor("blk.0.attn_v.weight", kv, d),
        tensor("blk.0.attn_output.weight", d, d), tensor("blk.0.ffn_norm.weight", d), tensor("blk.0.ffn_gate.weight", d, d),
        tensor("blk.0.ffn_up.weight", d, d), tensor("blk.0.ffn_down.weight", d, d),
    ]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    gguf.write(OUT / "vocabulary.gguf", VOCABULARY, [])
    row = np.linspace(-1, 1, 256, dtype=np.float32)
    tensors = [(f"row.{form}", row.shape, form, quantise(row)) for form, (_, quantise, _) in gguf.FORMATS.items()]
    gguf.write(OUT / "every_type.gguf", EVERY_TYPE, tensors)
    gguf.write(OUT / "llama_q4_0.gguf", LLAMA + VOCABULARY, llama_tensors("q4_0"))
    gguf.write(OUT / "llama_q8_0.gguf", LLAMA + VOCABULARY, llama_tensors("q8_0"))
    whole = (OUT / "vocabulary.gguf").read_bytes()
    (OUT / "version_2.gguf").write_bytes(whole[:4] + struct.pack("<I", 2) + whole[8:])
    (OUT / "big_endian.gguf").write_bytes(whole[:4] + struct.pack(">I", 3) + whole[8:])
    (OUT / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    (OUT / "counts.gguf").write_bytes(whole[:8] + b"\xff" * 16 + whole[24:])


if __name__ == "__main__":
    main()
