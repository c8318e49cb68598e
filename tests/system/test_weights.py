"""Policies with trained weights: the file is found, checked against the model and policy, and named in the manifest; what is
wrong with it is said before anything runs. The heads are made by `tenure train` on a tiny model and then harmed here."""

import hashlib
import json
import pathlib
import shutil
import struct
import tempfile
import unittest

from harness import (BAD_DATA, BAD_PLAN, DATA, OK, TINY, UNAVAILABLE, PipelineCase, generate, lasting, pipeline, reader, tokens)

QWEN = DATA / "tiny-qwen2-f32.gguf"
QUICK = ("--set", "documents=2", "--set", "held_out=0", "--set", "epochs=1", "--set", "context=160", "--set", "continuation=16")
POLICIES = {"locret": ("--set", "d_r=16"), "kvzap": (), "kvzap_linear": ("--recipe", "linear")}


def parts(content):
    """(header, data) of a safetensors file."""
    (n,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + n]), content[8 + n :]


def joined(header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


class Weights(PipelineCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="tenure-weights-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        lines = [f"The keeper of bridge {i} wrote that {i * 7} ships had passed before the lamps were lit." for i in range(160)]
        (cls.shared / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        case = cls("train")
        case.folder = cls.shared
        for name, options in POLICIES.items():
            case.train(name, options)

    def train(self, name="", options=()):
        policy = name.split("_", maxsplit=1)[0]
        code, _, stderr = self.tenure("train", policy, "-m", TINY, "--data", "text.txt", "-o", f"{name}.safetensors", "-t", "2", *QUICK, *options)
        self.assertEqual(code, OK, stderr)

    def file(self, name="locret"):
        return (self.shared / f"{name}.safetensors").read_bytes()

    def text(self, weights, policy="locret", model=TINY, **more):
        policies = {"full": {"plugin": "full", "chunk": 32}, policy: {"plugin": policy, "budget": 40, "chunk": 32, "weights": weights, **more}}
        return pipeline([reader(), generate("full"), generate(policy)], policies, model=model)

    def refused(self, weights, code, *said, command="run", **more):
        path = self.write(self.text(weights, **more), [{"id": "a", "tokens": tokens(1, 100)}])
        if command == "run":
            found, _, stderr = self.tenure(*self.command(path, self.folder / "run")[1:])
            self.assertFalse((self.folder / "run").exists(), "what cannot start leaves nothing behind")
        else:
            found, _, stderr = self.tenure(command, path)
        self.assertEqual(found, code, stderr)
        for words in said:
            self.assertIn(words, stderr)

    def test_the_manifest_names_the_file(self):
        for name in POLICIES:
            policy = name.split("_", maxsplit=1)[0]
            path = self.shared / f"{name}.safetensors"
            requests = [{"id": f"r{i}", "tokens": tokens(i, n)} for i, n in enumerate([90, 33, 200])]
            run = self.run_tenure(self.text(path, policy=policy), requests)
            self.assertEqual(run.manifest["weights_sha256"], {str(path): hashlib.sha256(path.read_bytes()).hexdigest()})
            for request in requests:
                row = run.row(request["id"], policy)
                self.assertEqual(row["status"], "ok")
                self.assertGreater(row["events"]["released"], 0)

    def test_any_quantisation_of_the_model_takes_them(self):
        for quantisation in ("q4_0", "q8_0", "bf16"):
            self.run_tenure(self.text(self.shared / "locret.safetensors", model=DATA / f"tiny-llama-{quantisation}.gguf"),
                            [{"id": "a", "tokens": tokens(1, 100)}])

    def test_a_budget_that_holds_everything_is_full_at_any_chunk(self):
        requests = [{"id": f"r{i}", "tokens": tokens(i, n)} for i, n in enumerate([1, 31, 64, 200, 383])]
        for chunk in (16, 48, 256):
            for scope in ("head", "global"):
                run = self.run_tenure(self.text(self.shared / "locret.safetensors", budget=512, chunk=chunk, budget_scope=scope), requests)
                for request in requests:
                    full, locret = (run.row(request["id"], stage) for stage in ("full", "locret"))
                    self.assertEqual((locret["tokens"], locret["segments"][0]["logprob"]), (full["tokens"], full["segments"][0]["logprob"]))
                    self.assertEqual(locret["events"]["released"], 0)

    def test_neighbours_and_threads_change_nothing(self):
        requests = [{"id": f"r{i}", "tokens": tokens(i, n)} for i, n in enumerate([100, 17, 200, 64])]
        text = self.text(self.shared / "locret.safetensors")
        together = self.run_tenure(text, requests)
        alone = self.run_tenure(text, [requests[2]], options=("--set", "backend.threads=1", "--set", "engine.batch_rows=16"))
        for key, row in alone.rows.items():
            self.assertEqual(lasting(row), lasting(together.rows[key]))

    def test_no_such_file(self):
        for command in ("run", "validate", "plan"):
            self.refused("nowhere.safetensors", BAD_PLAN, "nowhere.safetensors", "tenure train locret", command=command)

    def test_another_model(self):
        for command in ("run", "validate", "plan"):
            self.refused(self.shared / "locret.safetensors", BAD_PLAN, "tiny-llama", "tiny-qwen2", model=QWEN, command=command)

    def test_another_policy(self):
        self.refused(self.shared / "kvzap.safetensors", BAD_PLAN, '"kvzap"', '"locret"')

    def test_builtin(self):
        self.refused("builtin:nothing", BAD_PLAN, '"builtin:nothing"')
        self.refused("builtin", BAD_PLAN, "tiny-phi3", model=DATA / "tiny-phi3-f32.gguf")

    def harmed(self, content):
        path = self.folder / "harmed.safetensors"
        path.write_bytes(content)
        return path

    def test_a_cut_file(self):
        for n in (0, 7, 100, len(self.file()) - 1):
            self.refused(self.harmed(self.file()[:n]), BAD_DATA, "harmed.safetensors")

    def test_a_value_that_is_no_number(self):
        header, data = parts(self.file())
        for value in (0x7E00, 0x7C00, 0xFC00):
            at = header["layers.1.w1"]["data_offsets"][0] + 40
            spoilt = data[:at] + struct.pack("<H", value) + data[at + 2 :]
            self.refused(self.harmed(joined(header, spoilt)), BAD_DATA, "layers.1.w1", "NaN or an infinity")

    def test_wrong_shapes(self):
        header, data = parts(self.file())
        turned = json.loads(json.dumps(header))
        turned["layers.2.w1"]["shape"].reverse()
        self.refused(self.harmed(joined(turned, data)), UNAVAILABLE, "layers.2.w1", "this model takes")
        missing = json.loads(json.dumps(header))
        missing["layers.2.w3"] = missing.pop("layers.2.w2")
        self.refused(self.harmed(joined(missing, data)), UNAVAILABLE, "layers.2.w2")

    def test_no_weights_at_all(self):
        header, data = parts(self.file())
        del header["__metadata__"]["format"]
        self.refused(self.harmed(joined(header, data)), BAD_PLAN, "tenure.weights/1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
