"""Chat templates of model families as their authors publish them. The texts are the fuzzer's seeds too."""

import pathlib

SEEDS = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus" / "chat_template"
FAMILIES = (
    "smollm", "chatml", "llama_2", "llama_3", "llama_3_1", "llama_3_2", "qwen_2", "qwen_2_5", "qwen_3", "zephyr", "gemma", "gemma_3",
    "phi_3", "mistral", "mistral_nemo",
)


def read(family):
    return (SEEDS / f"{family}.jinja").read_bytes().decode("utf-8")
