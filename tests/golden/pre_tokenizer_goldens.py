#!/usr/bin/env python3
"""Makes tests/data/pre_tokenizer_goldens.json: {"name", "text", "words"}, words cut by the Python module `regex`.

The patterns are those that the GGUF format's reference implementation applies for each name; text between matches is a
word too, and each pattern cuts the words of the one before it.
"""

import json
import pathlib

import regex

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "pre_tokenizer_goldens.json"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
STAGES = {
    "smollm": [r"\p{N}", GPT2],
    "gpt-2": [GPT2],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
}
TEXTS = [
    "", "Hello, world! It's 2026-11-23.", "a  b\n\n c \t\n", "I'll we've THEY'VE don't 'tis", "12345 ١٢٣٤ ½ Ⅷ x86_64 $1,000,000",
    "  x  ", "\u00a0a\u3000b\u2003\u2003c", "a\u0085b\u1680c\u2028d", "e\u0301\u0302 \u0301x", "你好，世界！ 2026年", "👨\u200d👩\u200d👧 ok🎉🎉",
    "<|im_start|>user\n", "a<=b && c>d ^ e~f|g $5 + 6", "---...!!! ?! «x»", "\0a\0\0b", "\ufeffBOM", "tab\tnl\ncr\rff\fvt\v.",
    "a1b22c333d4444", "   \n   x\n   ", "'s 's'S 're", "snake_case camelCase UPPER", "1 2  3   4", "\u180ea b\u180e",
]


def words(name, text):
    pieces = [text] if text else []
    for pattern in STAGES[name]:
        finer = []
        for piece in pieces:
            done = 0
            for match in regex.finditer(pattern, piece):
                finer += [piece[done : match.start()], match.group()]
                done = match.end()
            finer.append(piece[done:])
        pieces = [piece for piece in finer if piece]
    return pieces


if __name__ == "__main__":
    goldens = [{"name": name, "text": text, "words": words(name, text)} for name in STAGES for text in TEXTS]
    OUT.write_text(json.dumps(goldens, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
