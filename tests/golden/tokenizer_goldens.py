"""Makes tests/data/tokenizer_goldens.jsonl: {"text", "parse_special", "ids"} per line, ids by Hugging Face tokenizers.

Usage: tokenizer_goldens.py [models/smollm2-135m-instruct.gguf]
The tokenizer is rebuilt from the file's own vocabulary and merges as its authors configured it: every digit apart, then
GPT-2's byte-level pattern, then BPE. Control tokens are matched in the text only where parse_special is set.
"""

import json
import pathlib
import sys

import tokenizers
from tokenizers import models, pre_tokenizers

import gguf_format as gguf

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONTROL = 3

PLAIN = [
    # empty, whitespace only, runs of it
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", " \n ", "\t\t\t", "\n\n\n\n\n", "        ",
    " " * 63, " " * 64, " " * 65, "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028", "\u2029", "\u0085", "\v", "\f", " \t \n \r\n ",
    "a b", "a  b", "a   b", " a", "  a", "a ", "a  ", "a\n", "a\n\nb", "a \n b", "a\r\nb\r\n", "a\tb", "a\u00a0b", "a \u00a0 b",
    "  leading and trailing  ", "line one\nline two\n\n  indented\n\ttabbed\n",
    # English, contractions in each case and with each apostrophe
    "Hello", "hello", " Hello", "HELLO", "Hello, world!", "Hello World", "The quick brown fox jumps over the lazy dog.",
    "I'm you're he's she'd we'll they've don't isn't", "I'M YOU'RE HE'S SHE'D WE'LL THEY'VE DON'T", "it\u2019s don\u2019t",
    "'s 't 're 've 'm 'll 'd", "'s't're've'm'll'd", "''''", "'", "''s", "rock 'n' roll", "'tis", "dogs' tails", "o'clock", "'S'T",
    "pneumonoultramicroscopicsilicovolcanoconiosis", "antidisestablishmentarianism", "Mr. Smith paid $3.50 (or so?) -- twice...",
    "e.g. i.e. etc.", "state-of-the-art", "re-enter", "co\u00f6perate", "na\u00efve caf\u00e9 r\u00e9sum\u00e9",
    # digits and numbers of every script
    "0", "12", "123", "1234567890", "3.14159", "1,000,000", "1 2 3", " 1", "a1b2c3", "x86_64", "2^10=1024", "-42", "+1", "1e-5",
    "0xDEADBEEF", "007", "1/2", "50%", "$100", "10\u20ac", "2026-11-23T00:05:00Z", "192.168.0.1", "+49 (30) 1234-5678",
    "\u0661\u0662\u0663\u0664", "\u06f1\u06f2\u06f3", "\u0967\u0968\u0969", "\uff11\uff12\uff13", "\u00b2\u00b3\u00b9", "\u00bd \u00be \u2153", "\u2160\u2161\u2162 \u216f", "\u4e00\u4e8c\u4e09",
    "\u2460\u2461\u2462", "\U0001d7d8\U0001d7d9\U0001d7da", "Room\u0661\u0662", " \u0661 \u0662",
    # punctuation and symbols
    "!", "!!!", "?!", "...", "\u2026", "---", "\u2013\u2014", "\u201cquoted\u201d", "\u00abguillemets\u00bb", "()[]{}<>", "@#$%^&*", "~`|\\/", "a_b_c", "__init__",
    "#hashtag @user", "\u2192\u2190\u2194", "\u2211\u222b\u221a\u221e\u2248\u2260", "\u00a9\u00ae\u2122", "\u20bf\u20b9\u20a9", "\u2713\u2717", "\u2588\u2593\u2592\u2591", "!a", " !a", "! a", "a!b",
    # combining marks: composed, decomposed, stacked, alone
    "\u00e9", "e\u0301", "caf\u00e9", "cafe\u0301", "\u00c5\u212bA\u030a", "\u1e9b\u0323", "n\u0303", "o\u0302\u0301", "\u0301", " \u0301", "a\u0301\u0302\u0303\u0304b",
    "Z\u0351\u036b\u0343\u036a\u0302a\u0310\u0300l\u0321\u0361g\u0352o\u0321", "\ufb01\ufb02", "\u0130\u0131", "\u00df\u1e9e",
    # scripts
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c", "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4", "\u1112\u1161\u11ab\u1100\u1173\u11af", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0634\u064e\u0643\u0652\u0644", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd", "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0",
    "\u1230\u120b\u121d", "\u13a0\u13a1\u13a2", "\U00020000\U0002a6d6", "\U0001f130\U0001d54f\U0001d400", "mixed \u6df7\u5408 \u0441\u043c\u0435\u0441\u044c \u0645\u062e\u062a\u0644\u0637 text", "\u200fRTL\u200e marks", "\u202eevil\u202c",
    # emoji: plain, skin, ZWJ, flags, keycaps, variation selectors
    "\U0001f600", "\U0001f600\U0001f601\U0001f602", "\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", "1\ufe0f\u20e3", "\u2764\ufe0f", "\u2764",
    "\U0001f9d1\U0001f3ff\u200d\U0001f680 to the \U0001f319!", "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "ok\U0001f44c\U0001f44c", "\u200d", "a\u200db", "\U0010ffff", "\ue000",
    # bytes that programs trip over
    "\0", "a\0b", "\0\0\0", "\ufeff", "\ufeffHello", "a\ufeffb", "\ufffd", "\x01\x02\x03", "\x1b[31mred\x1b[0m", "\x7f", "\u0080\u009f", "\ufffe", "\ufdd0",
    "\u00ad soft\u00adhyphen", "\u2060",
    # bytes that this vocabulary has no token for: they vanish
    "\x04", "a\x06b", " \x13\x14", "\U00050000", "x\U00090000y",
    # code and markup
    "def f(x):\n    return x + 1\n", "for (int i = 0; i < n; ++i) {\n\ta[i] += b[i];\n}\n", "#include <vector>\n", "SELECT * FROM t WHERE a='b';",
    "{\"key\": [1, 2.5, null, true]}", "<div class=\"a\">text</div>", "if __name__ == \"__main__\":\n    main()", "$ ls -la | grep '.txt' > out",
    "https://example.org/a/b?c=d&e=f#g", "user.name+tag@example.co.uk", "C:\\Users\\x\\file.txt", "/usr/lib/x86_64-linux-gnu", "\\n \\t \\\\",
    "camelCaseName snake_case_name kebab-case-name SCREAMING_CASE", "fn main() { println!(\"{}\", 1u64 << 63); }", "x = y ** 2 // 3 != z", "/* c */ // d # e",
    "```python\nprint('hi')\n```\n", "| a | b |\n|---|---|\n| 1 | 2 |\n", "\\frac{a}{b} \\sum_{i=0}^{n}", "\t\tif x:\n\t\t\tpass\n", "a;b;;c", "====", "-----BEGIN-----",
    # long runs of one class
    "a" * 1000, "ab" * 500, " " * 1000, "\n" * 300, "1" * 200, "!" * 500, "=" * 300, "\u0301" * 100, "\u4e2d" * 200, "\U0001f600" * 50, "A" * 77 + "b" * 77, "a " * 200,
    "x\n" * 100, " \n" * 100, "'s" * 50, "don't " * 40, "\0" * 100,
    # text that looks like control tokens, but is not
    "<|im_start", "|im_end|>", "<|", "|>", "<||>", "<|im_start |>", "< |im_start|>", "<|IM_START|>", "<repo_name", "repo_name>", "[INST] <<SYS>> <s> </s>",
]
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n", " <|im_start|> ", "a<|im_end|>b",
    "<|im_start|><|im_start|>", "<|im_start|><|im_end|><|endoftext|>", "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, "
    "trained by Hugging Face<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
    "<|<|im_start|>|>", "<|im_start<|im_end|>", "x<repo_name>y<reponame>z", "<file_sep><filename>a.py<gh_stars>100", "<issue_start>\n<issue_comment>",
    "<jupyter_code>1+1<jupyter_output>2", "<empty_output>", "12<|im_end|>34", "\n<|im_end|>\n", "e\u0301<|im_end|>\u0301", "<|im_end|>'s", "\0<|im_end|>\0",
]


def rebuild(path):
    """(whole tokenizer, control tokens): the second is also what the first may be told to match."""
    metadata = gguf.read_metadata(path)
    tokens, merges = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"]
    tokenizer = tokenizers.Tokenizer(models.BPE(
        vocab={token: i for i, token in enumerate(tokens)}, merges=[tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    control = [t for t, kind in zip(tokens, metadata["tokenizer.ggml.token_type"]) if kind == CONTROL]
    return tokenizer, control


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else ROOT / "models" / "smollm2-135m-instruct.gguf"
    plain, _ = rebuild(path)
    special, control = rebuild(path)
    special.add_special_tokens([tokenizers.AddedToken(t, normalized=False, special=True) for t in control])
    assert len(set(PLAIN)) == len(PLAIN), [t for t in PLAIN if PLAIN.count(t) > 1]
    with open(ROOT / "tests" / "data" / "tokenizer_goldens.jsonl", "w", encoding="utf-8") as out:
        for text, parse_special in [(t, s) for t in PLAIN + SPECIAL for s in (False, True)]:
            ids = (special if parse_special else plain).encode(text, add_special_tokens=False).ids
            if parse_special and text in PLAIN:
                assert ids == plain.encode(text, add_special_tokens=False).ids
                continue  # no control token inside: the first line says it all
            out.write(json.dumps({"text": text, "parse_special": parse_special, "ids": ids}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
