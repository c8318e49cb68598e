#!/usr/bin/env python3
"""Makes tests/data/sentencepiece_goldens.jsonl: tiny SentencePiece vocabularies and what reference tokenizers make of texts.

A line is a model {"model", "tokens", "types", "scores" or "merges", "unknown", "space_prefix", "space_after_special",
"skips_present_blank"} or a case of the model before it: {"text", "parse_special", "ids"} and, where the reference keeps all
of the text, "decoded".
Models with scores are trained and asked with the sentencepiece library; those with merges are the same vocabulary written
as a tokenizer.json and asked with the tokenizers library, once with a blank before every first word of a section (what
transformers calls legacy, as Llama 2 publishes it) and once before the first word of the text only.
"""

import io
import json
import pathlib

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from tokenizers import decoders, models, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "sentencepiece_goldens.jsonl"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

CORPUS = [
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "She sells sea shells on the sea shore; the shells she sells are sea shells.",
    "A cache keeps what was computed, so that the next token costs less than the one before.",
    "the there then them these this that than thing think thank",
    "Der Zug hält in Köln, Düsseldorf und München; die Straße ist groß.",
    "def f(x):    return x + 1  # 12 34 56 789",
    "aaaa aaa aa a bbbb bbb bb b abab abba baab",
    "你好 世界 你好 世界 こんにちは 世界",
    "one  two   three    four     five",
    "It's I'll don't can't won't they're we've",
] * 4

PLAIN = [
    "", " ", "  ", "a", " a", "a ", "  a  b  ", "Hello", "Hello world", " Hello world", "The capital of France is", " Paris", "Paris",
    "the there then", "aaaa", "aaaaa", "aaaaaa", "a" * 100, "ab" * 50, "abababa", "b a b", "shells sea", "12 34 567890", "x=1;y=22",
    "\n", "\n\n", "a\nb\r\nc\td", " \n ", "\0", "a\0b", "\u2581", "a\u2581b", "\u2581\u2581x", "\u00a0", "\u3000x", "e\u0301 \u00e9", "Köln Düsseldorf", "Straße ẞ",
    "你好世界", "你 好,世 界!", "世界人類", "Привет, мир", "مرحبا", "👍🏽 ok 👨\u200d👩\u200d👧", "\U0010ffff\ue000", "\ufffd", "\ufeffx", "q w Q W", "qqq ййй q", "~|^`",
    "<0x41>", "<unk>", "<s>a</s>", "</s>", "one  two   three    four     five      six", " " * 17, "x" + " " * 9 + "y", "It's don't WON'T",
    "The The the  the\nthe\n\nthe\n\n\nthe", "<table>", "a<table>b", " <table> x", "<<table>>", "table", "\n\n\n", "a\n\n\n\nb",
]
SPECIAL = [
    "<s>", "<s>Hello", "<s> Hello", "a<s>b", "a <s> b", "<s></s>", "<s>[INST] Hi [/INST] A </s><s>[INST] B", "</s>\nthe", "  <s>  ", "<s><s>the",
]


def train(**options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=out, model_type="bpe", normalization_rule_name="identity",
        remove_extra_whitespaces=False, hard_vocab_limit=False, num_threads=1, minloglevel=2, **options)
    proto = model_pb2.ModelProto()
    proto.ParseFromString(out.getvalue())
    return proto


def with_unused(proto):
    """The same model, but every fourth piece of several characters may only be merged on."""
    for piece in [p for p in proto.pieces if p.type == NORMAL and len(p.piece) > 1][::4]:
        piece.type = UNUSED
    return proto


def model_line(name, proto, **rest):
    return {"model": name, "tokens": [p.piece for p in proto.pieces], "types": [p.type for p in proto.pieces],
            "unknown": proto.trainer_spec.unk_id, **rest}


def scored(name, proto):
    prefix = proto.normalizer_spec.add_dummy_prefix
    yield model_line(name, proto, scores=[p.score for p in proto.pieces], space_prefix=prefix, space_after_special=False,
                     skips_present_blank=False)
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    for text in PLAIN:
        ids = processor.encode(text)
        line = {"text": text, "parse_special": False, "ids": ids}
        if proto.trainer_spec.byte_fallback and "\u2581" not in text:
            line["decoded"] = processor.decode(ids)
        yield line


def merges_of(proto):
    """Each way to cut a token in two tokens, the best token first."""
    scores = {p.piece: p.score for p in proto.pieces if p.type in (NORMAL, USER_DEFINED)}
    merges = []
    for piece in sorted(scores, key=lambda p: -scores[p]):
        merges += [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in scores and piece[i:] in scores]
    return merges


def merged(name, proto, after_special):
    merges = merges_of(proto)
    yield model_line(name, proto, merges=[" ".join(m) for m in merges], space_prefix=True, space_after_special=after_special,
                     skips_present_blank=not after_special)
    tokenizer = tokenizers.Tokenizer(models.BPE(
        vocab={p.piece: i for i, p in enumerate(proto.pieces)}, merges=merges, unk_token="<unk>", fuse_unk=True,
        byte_fallback=proto.trainer_spec.byte_fallback))
    if after_special:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<s>", "</s>"])
    plain = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    plain.encode_special_tokens = True
    for text, parse in [(t, False) for t in PLAIN] + [(t, True) for t in SPECIAL]:
        ids = (tokenizer if parse else plain).encode(text, add_special_tokens=False).ids
        line = {"text": text, "parse_special": parse, "ids": ids}
        if not parse and "\u2581" not in text:
            line["decoded"] = tokenizer.decode(ids, skip_special_tokens=False)
        yield line


def main():
    llama = dict(vocab_size=420, byte_fallback=True, split_digits=True)
    gemma = dict(vocab_size=430, byte_fallback=True, add_dummy_prefix=False, allow_whitespace_only_pieces=True,
                 user_defined_symbols=["<table>", "\n\n", "\u2581\u2581", "\u2581\u2581\u2581\u2581"])
    lines = [
        *scored("prefix", train(**llama)),
        *scored("no prefix", train(**gemma)),
        *scored("no bytes", train(vocab_size=200, character_coverage=0.98)),
        *scored("unused", with_unused(train(**llama))),
        *merged("merges, each section", train(**llama), True),
        *merged("merges, text start", train(**llama), False),
    ]
    OUT.write_text("".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
