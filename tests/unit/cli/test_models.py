"""tokenize and inspect: what is in a model file or folder; runs on a folder."""

import hashlib
import json
import re
import struct
import unittest

from program import BAD_DATA, NO_INPUT, TINY, USAGE, ProgramCase

FOLDER = TINY.parent / "tiny-llama-safetensors"


class Tokenize(ProgramCase):
    def test_ids_pieces_and_count_agree(self):
        text = "the story of the sea"
        ids = self.tenure("tokenize", "-m", TINY, "-p", text)[0].split()
        self.assertEqual(self.tenure("tokenize", "-m", TINY, "-p", text, "--count")[0], f"{len(ids)}\n")
        pieces = [line.split() for line in self.tenure("tokenize", "-m", TINY, "-p", text, "--pieces")[0].splitlines()]
        self.assertEqual([p[0] for p in pieces], ids)
        self.assertEqual("".join(p[1] for p in pieces).replace("\u0120", " "), text)

    def test_standard_input_is_the_text_byte_for_byte(self):
        text = "a \u00e9\n\tz "
        out = self.tenure("tokenize", "-m", TINY, stdin=text.encode())[0]
        self.assertEqual(out, self.tenure("tokenize", "-m", TINY, "-p", text)[0])
        self.assertEqual(self.tenure("tokenize", "-m", TINY, "--count", stdin=b"")[0], "0\n")

    def test_control_tokens_are_text_unless_asked_for(self):
        plain = self.tenure("tokenize", "-m", TINY, "-p", "<|im_end|>")[0].split()
        special = self.tenure("tokenize", "-m", TINY, "-p", "<|im_end|>", "--special")[0].split()
        self.assertEqual(special, ["2"])
        self.assertGreater(len(plain), 1)

    def test_a_hostile_piece_does_not_reach_the_terminal(self):
        hostile = "\x1b[31mredly"  # as long as what it takes the place of
        data = TINY.read_bytes().replace(b"<|im_end|>", hostile.encode())
        model = self.write(data, "red.gguf")
        out, _ = self.tenure("tokenize", "-m", model, "-p", hostile, "--special", "--pieces")
        self.assertEqual(out.split(), ["2", "\\x1b[31mredly"])

    def test_usage(self):
        self.tenure("tokenize", "-p", "x", expect=USAGE)
        self.tenure("tokenize", "-m", TINY, "-p", "x", "--ids", "--count", expect=USAGE)
        self.tenure("tokenize", "-m", "none.gguf", "-p", "x", expect=NO_INPUT)


def directory(data):
    """Metadata keys and tensor names of a GGUF v3 file, read without our code."""
    at = 8
    n_tensors, n_values = struct.unpack_from("<QQ", data, at)
    at += 16

    def text():
        nonlocal at
        (n,) = struct.unpack_from("<Q", data, at)
        at += 8 + n
        return data[at - n:at].decode()

    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            inner, n = struct.unpack_from("<IQ", data, at)
            at += 12
            for _ in range(n):
                skip(inner)
        else:
            at += sizes[kind]

    keys, tensors = [], []
    for _ in range(n_values):
        keys.append(text())
        (kind,) = struct.unpack_from("<I", data, at)
        at += 4
        skip(kind)
    for _ in range(n_tensors):
        name = text()
        (n_dims,) = struct.unpack_from("<I", data, at)
        tensors.append((name, list(struct.unpack_from(f"<{n_dims}Q", data, at + 4))))
        at += 4 + 8 * n_dims + 4 + 8
    return keys, tensors


class Inspect(ProgramCase):
    def test_every_key_and_tensor_in_the_files_order(self):
        keys, tensors = directory(TINY.read_bytes())
        found = json.loads(self.tenure("inspect", TINY, "--json")[0])
        self.assertEqual([m["key"] for m in found["metadata"]], keys)
        self.assertEqual([(t["name"], t["shape"]) for t in found["tensors"]], tensors)
        self.assertEqual(found["bytes"], TINY.stat().st_size)
        text = self.tenure("inspect", TINY)[0]
        for name in keys + [t[0] for t in tensors]:
            self.assertRegex(text, rf"(?m)^  {re.escape(name)} ")

    def test_what_is_no_model(self):
        self.tenure("inspect", "none.gguf", expect=NO_INPUT)
        self.tenure("inspect", "x" * 300 + ".safetensors", expect=NO_INPUT)  # longer than a name may be
        self.tenure("inspect", self.write(b"GGUF" + b"\xff" * 60, "bad.gguf"), expect=BAD_DATA)
        self.tenure("inspect", self.write("text", "text.gguf"), expect=BAD_DATA)

    def test_a_hostile_name_does_not_reach_the_terminal(self):
        data = TINY.read_bytes().replace(b"general.name", b"\x1b[31mred.nam")
        out, _ = self.tenure("inspect", self.write(data, "red.gguf"))
        self.assertNotIn("\x1b", out)


def header(path):
    """The JSON header of a safetensors file, read without our code."""
    data = path.read_bytes()
    (n,) = struct.unpack_from("<Q", data)
    return json.loads(data[8:8 + n])


class Folders(ProgramCase):
    def test_inspect_lists_the_tensors_of_all_files_and_the_configuration(self):
        tensors = {name: entry for file in FOLDER.glob("*.safetensors") for name, entry in header(file).items() if name != "__metadata__"}
        found = json.loads(self.tenure("inspect", FOLDER, "--json")[0])
        self.assertEqual({t["name"]: (t["type"], t["shape"]) for t in found["tensors"]},
                         {name: (entry["dtype"], entry["shape"]) for name, entry in tensors.items()})
        self.assertIn({"key": "model_type", "type": "string", "preview": "llama"}, found["metadata"])
        text = self.tenure("inspect", FOLDER)[0]
        for name in tensors:
            self.assertRegex(text, rf"(?m)^  {re.escape(name)} ")

    def test_inspect_reads_one_file_of_it(self):
        file = FOLDER / "model-00002-of-00002.safetensors"
        found = json.loads(self.tenure("inspect", file, "--json")[0])
        self.assertEqual({t["name"] for t in found["tensors"]}, set(header(file)) - {"__metadata__"})

    def test_the_same_vocabulary_gives_the_same_ids(self):
        text = "the policy keeps 12 tokens <|im_end|>"
        for more in ([], ["--special"]):
            self.assertEqual(self.tenure("tokenize", "-m", FOLDER, "-p", text, *more), self.tenure("tokenize", "-m", TINY, "-p", text, *more))

    def test_a_run_records_the_hash_of_what_sha256sum_prints(self):
        self.prompts(2)
        self.tenure("run", self.pipeline(model=FOLDER), "--out", "out")
        lines = "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in sorted(FOLDER.iterdir()))
        manifest = json.loads((self.folder / "out/manifest.json").read_text())
        self.assertEqual(manifest["model_sha256"], {str(FOLDER): hashlib.sha256(lines.encode()).hexdigest()})
        rows = [json.loads(line) for line in (self.folder / "out/results.jsonl").read_text().splitlines()]
        self.assertEqual(len(rows), 4)

    def test_generate_and_what_is_no_model(self):
        self.tenure("generate", "-m", FOLDER, "-p", "hello", "-n", "4")
        _, stderr = self.tenure("tokenize", "-m", FOLDER / "model-00002-of-00002.safetensors", "-p", "x", expect=BAD_DATA)
        self.assertIn("name the folder that holds them", stderr)
        self.tenure("tokenize", "-m", self.folder, "-p", "x", expect=NO_INPUT)


if __name__ == "__main__":
    unittest.main()
