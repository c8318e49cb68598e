"""Makes tests/data/tiny-*-safetensors/, seeded model folders as transformers saves them, and their golden logits.

tiny-llama-safetensors    bf16, two files and an index, tied head, SmolLM2's tokenizer
tiny-llama3-safetensors   f32, own output matrix, Llama 3.1's RoPE scaling with an original context of 64
tiny-qwen2-safetensors    f16, q, k, v with biases
tiny-qwen3-safetensors    bf16, q and k normed
tiny-gemma3-safetensors   f32, layers with a window of 8, two RoPE bases, the wide one linearly scaled; post norms; GELU
tiny-phi3-safetensors     f32, fused projections, a part of each head turns, a window of 24
tiny-yarn-safetensors     f32, a Qwen 3 of one layer stretched by YaRN, whose attention factor is not 1

tests/data/tiny_safetensors_logits.json has the form of tiny_logits.json (tiny_models.py) without greedy text, from transformers in f32 with the weights as they are stored.
"""

import json
import math
import pathlib
import shutil

import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from chat_templates import SMOLLM
from tiny_models import DATA, N_VOCAB, SPECIAL, TEXT, byte_alphabet, logits_of, rounded, train_merges

SIZES = dict(vocab_size=N_VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=None)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 64}
GEMMA3 = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
          "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}

# name -> (dtype, configuration, class)
MODELS = {
    "tiny-llama": ("bfloat16", transformers.LlamaConfig(**SIZES, rope_parameters=PLAIN, tie_word_embeddings=True)),
    "tiny-llama3": ("float32", transformers.LlamaConfig(**SIZES, rope_parameters=LLAMA3)),
    "tiny-qwen2": ("float16", transformers.Qwen2Config(**SIZES, rope_parameters={**PLAIN, "rope_theta": 1e6})),
    "tiny-qwen3": ("bfloat16", transformers.Qwen3Config(**SIZES, head_dim=16, rope_parameters=PLAIN, tie_word_embeddings=True)),
    "tiny-gemma3": ("float32", transformers.Gemma3TextConfig(
        **{**SIZES, "num_hidden_layers": 4}, head_dim=16, query_pre_attn_scalar=24, sliding_window=8,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"], rope_parameters=GEMMA3)),
    "tiny-phi3": ("float32", transformers.Phi3Config(
        **{**SIZES, "num_key_value_heads": 2}, sliding_window=24, original_max_position_embeddings=512,
        rope_parameters={**PLAIN, "partial_rotary_factor": 0.5})),
    "tiny-yarn": ("float32", transformers.Qwen3Config(**{**SIZES, "num_hidden_layers": 1}, head_dim=16, rope_parameters=YARN)),
}


def tokenizer():
    """SmolLM2's kind of tokenizer over the tiny models' vocabulary."""
    merges = train_merges(TEXT, N_VOCAB - 256 - len(SPECIAL))
    tokens = SPECIAL + [byte_alphabet()[b] for b in range(256)] + ["".join(pair) for pair in merges]
    made = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                  pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<|im_start|>", eos_token="<|im_end|>",
                                                unk_token="<|endoftext|>")
    fast.chat_template = SMOLLM
    return fast


def fill(model, seed):
    """As in tiny_models.py: blocks speak louder than the embedding, so that logits depend on the whole prompt."""
    random = np.random.default_rng(seed)
    adds_one = model.config.model_type == "gemma3_text"
    gains = {"embed_tokens": 2.0, "lm_head": 2.0, "o_proj": 1.5, "gate": 1.5, "up_proj": 1.5, "down_proj": 2.0}
    for name, value in model.named_parameters():
        noise = random.standard_normal(tuple(value.shape))
        if value.ndim == 1:
            is_bias = name.endswith(".bias")
            value.data = torch.from_numpy(0.2 * noise + (0 if is_bias or adds_one else 1)).float()
            continue
        gain = next((g for key, g in gains.items() if key in name), 1.0)
        value.data = torch.from_numpy(noise * gain / math.sqrt(value.shape[1])).float()


def make(config, dtype, seed):
    """As it will be stored."""
    model = transformers.AutoModelForCausalLM.from_config(config).eval().float()
    fill(model, seed)
    model.tie_weights()
    return model.to(getattr(torch, dtype))


def golden(model, ids):
    logits = logits_of(model, ids)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :4]
    return {"ids": ids, "last_logits": rounded(logits[-1]),
            "top": [[[int(t), rounded([row[t]])[0]] for t in best] for row, best in zip(logits, order)],
            "logsumexp": rounded(np.log(np.exp(logits.astype(np.float64)).sum(axis=1)))}


def main():
    torch.use_deterministic_algorithms(True)
    random = np.random.default_rng(5)
    prompts = [[17 + b for b in b"hello"], random.integers(17, N_VOCAB, 96).tolist()]
    goldens = {}
    for seed, (name, (dtype, config)) in enumerate(MODELS.items()):
        folder = DATA / f"{name}-safetensors"
        shutil.rmtree(folder, ignore_errors=True)
        model = make(config, dtype, 20 + seed)
        model.save_pretrained(folder, max_shard_size="40KB" if name == "tiny-llama" else "1GB")
        tokenizer().save_pretrained(folder)
        # Read back, because a model that was in 16 bits keeps RoPE's frequencies rounded when it is made f32 again.
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        goldens[folder.name] = [golden(model, ids) for ids in prompts]
        print(folder.name, sum(f.stat().st_size for f in folder.iterdir()), "bytes")
        for file in folder.iterdir():
            file.chmod(0o644)
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in goldens.items())
    (DATA / "tiny_safetensors_logits.json").write_text("{" + lines + "}\n")


if __name__ == "__main__":
    main()
