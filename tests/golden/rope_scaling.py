"""Makes tests/data/rope_scaling.json: [{type, base, dim, n_ctx and the method's numbers, inv_freq (dim / 2), attention_factor}...],
by transformers' ROPE_INIT_FUNCTIONS. Longrope's frequencies are its own lists, so only its attention factor is of interest."""

import json
import pathlib

import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
LONG = {"rope_type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48}
CASES = [
    (500000.0, 128, 131072, LLAMA3),
    (500000.0, 64, 131072, {**LLAMA3, "factor": 32.0}),
    (10000.0, 16, 512, {**LLAMA3, "factor": 4.0, "original_max_position_embeddings": 64}),
    (1000000.0, 256, 131072, {"rope_type": "linear", "factor": 8.0}),
    (1000000.0, 128, 131072, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}),
    (10000.0, 128, 163840, {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096, "mscale": 1.0,
                            "mscale_all_dim": 0.707, "beta_fast": 32.0, "beta_slow": 1.0}),
    (150000.0, 64, 131072, {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}),
    (10000.0, 16, 512, {"rope_type": "yarn", "factor": 0.5, "original_max_position_embeddings": 64, "beta_fast": 4.0, "beta_slow": 2.0}),
    (10000.0, 96, 131072, {**LONG, "original_max_position_embeddings": 4096, "factor": 32.0}),
    (10000.0, 96, 4096, {**LONG, "original_max_position_embeddings": 4096, "factor": 1.0}),
]


def main():
    lines = []
    for base, dim, n_ctx, scaling in CASES:
        config = transformers.LlamaConfig(hidden_size=2 * dim, num_attention_heads=2, head_dim=dim, max_position_embeddings=n_ctx,
                                          rope_parameters={"rope_theta": base, **scaling})
        inv_freq, attention_factor = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
        case = {"base": base, "dim": dim, **scaling, "inv_freq": inv_freq.tolist(), "attention_factor": attention_factor}
        lines.append(json.dumps(case))
    (DATA / "rope_scaling.json").write_text("[" + ",\n".join(lines) + "]\n")


if __name__ == "__main__":
    main()
