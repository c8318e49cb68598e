#!/usr/bin/env python3
"""Makes tests/data/pre_tokenizer_goldens.json: {"name", "text", "words"}.

Where a family publishes a tokenizer.json, the tokenizers library cuts the words with the pre-tokenizer of that file.
"default" is the GGUF format's own: Python's module `regex` cuts with the patterns that its reference implementation
applies; text between matches is a word too, and each pattern cuts the words of the one before it.
"""

import json
import pathlib

import regex
from tokenizers import Regex, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "pre_tokenizer_goldens.json"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
DEFAULT = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def llama_3(digits):
    return CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + REST


def cased(contractions, digits):
    return (
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{contractions}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{contractions}|"
        + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + REST
    )


DEEPSEEK_V3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^""" + "\r\n" + r"\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+["
    "\r\n" + r"]*|\s*[" + "\r\n" + r"]+|\s+(?!\S)|\s+"
)


def split(*patterns):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns])


BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
PUBLISHED = {
    "gpt-2": BYTE_LEVEL,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTE_LEVEL]),
    "llama-bpe": split(llama_3(r"\p{N}{1,3}")),
    "qwen2": split(llama_3(r"\p{N}")),
    "tekken": split(cased("", r"\p{N}")),
    "gpt-4o": split(cased(CONTRACTIONS + "?", r"\p{N}{1,3}")),
    "deepseek-v3": split(r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK_V3),
}
TEXTS = [
    "", "Hello, world! It's 2026-11-23.", "a  b\n\n c \t\n", "I'll we've THEY'VE don't 'tis", "12345 ١٢٣٤ ½ Ⅷ x86_64 $1,000,000",
    "  x  ", "\u00a0a\u3000b\u2003\u2003c", "a\u0085b\u1680c\u2028d", "e\u0301\u0302 \u0301x", "你好，世界！ 2026年", "👨\u200d👩\u200d👧 ok🎉🎉",
    "<|im_start|>user\n", "a<=b && c>d ^ e~f|g $5 + 6", "---...!!! ?! «x»", "\0a\0\0b", "\ufeffBOM", "tab\tnl\ncr\rff\fvt\v.",
    "a1b22c333d4444", "   \n   x\n   ", "'s 's'S 're", "snake_case camelCase UPPER", "1 2  3   4", "\u180ea b\u180e",
    # line ends of Windows, after words, blanks and punctuation
    "a\r\nb\r\n\r\nc", " \r\n \r\n", "x.\r\n\r\ny", "!\n\n\n?\r", "\n\n", "\r", " \n", "\n x", "//\n///\r\n/", "\t\tif x:\n\t\t\tpass\n",
    # contractions in each case, with other letters that fold to s, and where none begins
    "I'M HE'S she'D WE'LL you'Re tHEY'vE DON'T", "'\u017f x'\u017f", "''s ''", "it\u2019s don\u2019t", "'lL'Ve", "X's XYZ'll aB'd", "'s't're've'm'll'd", "1's 2'T",
    # case changes, title case and modifier letters
    "HelloWORLDfooBar \u01c5a\u01c5A \u02b0x ABCdefGHI iPhone", "\u00c9COLE \u00c9cole \u00e9COLE", "\u01f0\u0130\u0131 \u00df\u1e9e", "aBC1dE2F",
    # runs of digits, of every script
    "1", "12", "123", "1234", "1234567890123", "007 3.14159 1e-5 0xDEADBEEF", "\uff11\uff12\uff13\u00b2\u00b3\u2167", "a\u0661\u0662\u0663\u0664b",
    # scripts side by side, marks and joiners
    "你好abc世界1カタカナひらがな한국어", "\u0301\u0301a\u0301 \u0301", "नमस्ते दुनिया", "สวัสดี", "\U0001f44d\U0001f3fd\U0001f3f3\ufe0f\u200d\U0001f308 x", "a\u200db\u200cc", "\u2160\u2161 x\u20ac\u00a3", "\U00020000\U0002a6d6a",
    # control characters, separators, private and unassigned code points
    "\x1c\x1d\x1e\x1fa", "\x7f\x80\x9f", "\u2029a\u2028 b", "\u200b\u2060\u00ada", "\ue000a\ufffe\U0010ffff", "\u202f\u205f1",
    # code and markup
    "def f(x):\n    return x + 1\n", "#include <vector>\n", "https://example.org/a/b?c=d&e=f#g", "{\"k\": [1, 2.5]}", "a_b__c -- d", "=== !== <!-- -->", "C:\\Users\\x", "$x @y #z %w",
    # long runs
    " " * 70, "a" * 70, "A" * 70 + "b", "1" * 70, "\n" * 70, "!" * 70, " \n" * 35, "\u4e2d" * 70, " " * 40 + "x", "\u0301" * 70, "Ab" * 35, "'s" * 35,
]


def words(name, text):
    if name in PUBLISHED:
        return [text[begin:end] for _, (begin, end) in PUBLISHED[name].pre_tokenize_str(text) if end > begin]
    pieces = [text] if text else []
    for pattern in DEFAULT:
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
    assert len(set(TEXTS)) == len(TEXTS)
    goldens = []
    for name in [*PUBLISHED, "default"]:
        for text in TEXTS:
            cut = words(name, text)
            assert "".join(cut) == text, (name, text, cut)
            goldens.append({"name": name, "text": text, "words": cut})
    OUT.write_text(json.dumps(goldens, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
