"""Makes tests/data/tokenizer_json_goldens.json: [{name, tokenizer, cases: [[text, ids]...]}...], small tokenizer.json files built as
those of published families are, and the ids that the tokenizers library gives. Special tokens in the text are parsed; none are
added."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tiny_models import DATA, TEXT, byte_alphabet

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEXTS = ["hello world", "the policy  keeps\n\n the tokens", "naïve café 東京 🚀", "12345 it's IT'S", "a<|end|> \n b", "<|end|>the one",
         "\ttabs\t and   blanks   ", "", "other thing<tool>  the cache", "1 22 333 4444"]
CORPUS = [line.strip() + more for line in TEXT.replace(";", "\n").split("\n") for more in ("", "\n\n", "   12", " it's")]


def trained(made, n_vocab, alphabet=()):
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=n_vocab, initial_alphabet=list(alphabet), show_progress=False,
                                                         max_token_length=12))
    model = json.loads(made.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(m) for m in model["merges"]]


def byte_level(pre_tokenizer, **options):
    """With a token that no merge makes, as ignore_merges needs it."""
    draft = Tokenizer(models.BPE())
    draft.pre_tokenizer = pre_tokenizer
    tokens, merges = trained(draft, 340, byte_alphabet().values())
    tokens += ["Ġcafé".replace("é", "Ã©")]
    made = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, **options))
    made.pre_tokenizer = pre_tokenizer
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("<|end|>", normalized=False)])
    made.add_tokens([AddedToken("<tool>", normalized=False)])
    return made


def sentence_pieces(normalizer, pre_tokenizer, rstrip=False):
    draft = Tokenizer(models.BPE())
    draft.normalizer = normalizers.Replace(" ", "▁")
    tokens, merges = trained(draft, 200)
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + tokens
    made = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, unk_token="<unk>", fuse_unk=True,
                                byte_fallback=True))
    made.normalizer = normalizer
    if pre_tokenizer:
        made.pre_tokenizer = pre_tokenizer
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens([AddedToken(t, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    made.add_special_tokens([AddedToken("<|end|>", normalized=False, rstrip=rstrip)])
    made.add_tokens([AddedToken("<tool>", normalized=False)])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return made


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def main():
    mark = normalizers.Replace(" ", "▁")
    prepend = normalizers.Sequence([normalizers.Prepend("▁"), mark])
    qwen2 = byte_level(split(QWEN2))
    qwen2.normalizer = normalizers.NFC()
    made = {
        "gpt-2": byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "llama 3": byte_level(split(LLAMA3), ignore_merges=True),
        "qwen2": qwen2,
        "gemma": sentence_pieces(mark, pre_tokenizers.Split(" ", "merged_with_previous")),
        "llama 2": sentence_pieces(prepend, None),
        "mistral": sentence_pieces(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
        "phi3": sentence_pieces(prepend, None, rstrip=True),
    }
    lines = [json.dumps({"name": name, "tokenizer": json.loads(t.to_str()),
                         "cases": [[text, t.encode(text, add_special_tokens=False).ids] for text in TEXTS]}, separators=(",", ":"))
             for name, t in made.items()]
    (DATA / "tokenizer_json_goldens.json").write_text("[" + ",\n".join(lines) + "]\n")


if __name__ == "__main__":
    main()
