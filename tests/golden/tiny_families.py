"""Makes tests/data/tiny-{llama3,qwen2,qwen3,gemma3,phi3}-f32.gguf, one seeded model a family, and their goldens from transformers.

Each is transformers' own class of the family, its weights drawn here and written under GGUF's names:
  llama3   RoPE stretched by factors (rope_freqs), own output matrix
  qwen2    biases of q, k, v
  qwen3    norms over query and key heads, heads wider than n_embd / n_heads
  gemma3   six layers, five with a window; norms of what a block adds, GELU, scaled embedding, linear RoPE scaling
  phi3     fused projections, half of a head turns, every layer with a window

tests/data/tiny_families_logits.json: as tiny_logits.json. The longest prompts are longer than the windows and than what a
backend may drop of them at once (512 slots).
"""

import json

import numpy as np
import torch
import transformers

import gguf_format as gguf
from tiny_models import DATA, N_VOCAB, golden, to_gguf_order, tokenizer_metadata

N_CTX = 1024
COMMON = dict(vocab_size=N_VOCAB, max_position_embeddings=N_CTX, attn_implementation="eager", pad_token_id=0)
LLAMA3_SCALING = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                      original_max_position_embeddings=128)


def llama3():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        rms_norm_eps=1e-5, rope_parameters=LLAMA3_SCALING, tie_word_embeddings=False, **COMMON))


def qwen2():
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        rms_norm_eps=1e-6, rope_parameters=dict(rope_type="default", rope_theta=1e6), tie_word_embeddings=True, **COMMON))


def qwen3():
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
        rms_norm_eps=1e-6, rope_parameters=dict(rope_type="default", rope_theta=1e6), tie_word_embeddings=False, **COMMON))


def gemma3():
    return transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=1, head_dim=16,
        query_pre_attn_scalar=16, sliding_window=24, layer_types=["sliding_attention"] * 5 + ["full_attention"],
        rms_norm_eps=1e-6, tie_word_embeddings=True, hidden_activation="gelu_pytorch_tanh",
        rope_parameters=dict(full_attention=dict(rope_type="linear", rope_theta=1e6, factor=8.0),
                             sliding_attention=dict(rope_type="default", rope_theta=1e4)), **COMMON))


def phi3():
    return transformers.Phi3ForCausalLM(transformers.Phi3Config(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        sliding_window=40, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5), **COMMON))


FAMILIES = {"llama3": (llama3, "llama"), "qwen2": (qwen2, "qwen2"), "qwen3": (qwen3, "qwen3"), "gemma3": (gemma3, "gemma3"),
            "phi3": (phi3, "phi3")}

NAMES = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
         "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "qkv_proj": "attn_qkv", "o_proj": "attn_output",
         "q_norm": "attn_q_norm", "k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "gate_proj": "ffn_gate",
         "up_proj": "ffn_up", "gate_up_proj": "ffn_up", "down_proj": "ffn_down"}
# Gemma 3 has four norms a layer, so transformers' names mean other places there.
GEMMA_NAMES = NAMES | {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
                       "post_feedforward_layernorm": "post_ffw_norm"}
# What a layer adds speaks louder than the embedding, so that the next token depends on the whole prompt.
GAINS = {"embed_tokens": 2.0, "lm_head": 2.0, "o_proj": 1.5, "gate_proj": 1.5, "up_proj": 1.5, "gate_up_proj": 1.5,
         "down_proj": 2.0}


def draw(model, family, seed):
    """Seeded values for every parameter; a norm's gain is near 1, of which Gemma stores the difference."""
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            part = name.split(".")[-2]
            values = random.standard_normal(tuple(parameter.shape))
            if parameter.ndim == 2:
                gain = GAINS.get(part, 1.0) * (0.5 if family == "gemma3" and part == "embed_tokens" else 1.0)
                values *= gain / np.sqrt(parameter.shape[1])
            elif name.endswith(".bias"):
                values *= 0.3
            else:
                values = 0.2 * values + (0.0 if family == "gemma3" else 1.0)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def tensors_of(model, family):
    """[(GGUF name, f32 array)] as a converter writes them."""
    names = GEMMA_NAMES if family == "gemma3" else NAMES
    tensors = []
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        values = parameter.detach().numpy().copy()
        block = f"blk.{parts[parts.index('layers') + 1]}." if "layers" in parts else ""
        if family == "gemma3" and "norm" in parts[-2]:
            values += 1
        if family == "llama3" and parts[-2] in ("q_proj", "k_proj"):
            values = to_gguf_order(values, 16)
        tensors.append((f"{block}{names[parts[-2]]}.{parts[-1]}", values))
    if family == "llama3":
        # transformers turns a pair by inv_freq; the file holds what the plain frequency is divided by.
        plain = LLAMA3_SCALING["rope_theta"] ** (-np.arange(0, 16, 2) / 16)
        tensors.append(("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32)))
    return tensors


def metadata(name, family, architecture, config):
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = config.rope_parameters
    numbers = [
        ("block_count", gguf.U32, config.num_hidden_layers),
        ("context_length", gguf.U32, N_CTX),
        ("embedding_length", gguf.U32, config.hidden_size),
        ("feed_forward_length", gguf.U32, config.intermediate_size),
        ("attention.head_count", gguf.U32, heads),
        ("attention.head_count_kv", gguf.U32, config.num_key_value_heads),
        ("attention.layer_norm_rms_epsilon", gguf.F32, config.rms_norm_eps),
        ("attention.key_length", gguf.U32, head_dim),
        ("attention.value_length", gguf.U32, head_dim),
        ("rope.freq_base", gguf.F32, rope.get("full_attention", rope)["rope_theta"]),
    ]
    if family == "phi3":
        numbers.append(("rope.dimension_count", gguf.U32, head_dim // 2))
    if family == "gemma3":
        numbers += [("rope.scaling.type", gguf.STRING, "linear"), ("rope.scaling.factor", gguf.F32, 8.0)]
    if family in ("gemma3", "phi3"):
        numbers.append(("attention.sliding_window", gguf.U32, config.sliding_window))
    return ([("general.architecture", gguf.STRING, architecture), ("general.name", gguf.STRING, name)]
            + [(f"{architecture}.{key}", kind, value) for key, kind, value in numbers] + tokenizer_metadata())


def decided_golden(model, length, random):
    """Of a prompt drawn so that another order of summation changes none of its greedy tokens."""
    while True:
        try:
            return golden(model, random.integers(17, N_VOCAB, length).tolist(), True)
        except AssertionError:
            continue


def main():
    torch.use_deterministic_algorithms(True)
    goldens = {}
    for seed, (family, (make, architecture)) in enumerate(FAMILIES.items()):
        model = make().eval().float()
        draw(model, family, 100 + seed)
        name = f"tiny-{family}-f32"
        tensors = [(tensor, values.shape, "f32", values.astype("<f4").tobytes()) for tensor, values in tensors_of(model, family)]
        gguf.write(DATA / f"{name}.gguf", metadata(name, family, architecture, model.config), tensors)
        random = np.random.default_rng(200 + seed)
        lengths = [60, 700] if family in ("gemma3", "phi3") else [60]
        goldens[f"{name}.gguf"] = [decided_golden(model, length, random) for length in lengths]
        print(name, (DATA / f"{name}.gguf").stat().st_size, "bytes")
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in goldens.items())
    (DATA / "tiny_families_logits.json").write_text("{" + lines + "}\n")


if __name__ == "__main__":
    main()
