"""`tenure train`: the file it leaves, resuming after kill -9, and how it fails. Tiny models with random weights; what heads are
worth on a real model is `scripts/eval_policies.sh`'s to say."""

import json
import random
import resource
import signal
import struct
import subprocess
import time
import unittest

from harness import (BAD_DATA, BAD_PLAN, CANNOT_CREATE, DATA, IO_ERROR, NO_INPUT, OK, STOPPED, TENURE, TINY, UNAVAILABLE, USAGE, PipelineCase)

FEW = ("--set", "documents=3", "--set", "held_out=1", "--set", "epochs=2", "--set", "context=160", "--set", "continuation=16")
MODELS = {"llama": TINY, "qwen2": DATA / "tiny-qwen2-f32.gguf", "gemma3": DATA / "tiny-gemma3-f32.gguf"}


def read_safetensors(path):
    """({name: (shape, bytes)}, metadata)"""
    content = path.read_bytes()
    (n,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + n])
    metadata = header.pop("__metadata__")
    data = content[8 + n :]
    return {name: (t["shape"], data[slice(*t["data_offsets"])]) for name, t in header.items()}, metadata


class Train(PipelineCase):
    def setUp(self):
        super().setUp()
        chosen = random.Random(1)
        words = """the cache keeps tokens that later questions need while other words are released when their budget is spent and
        readers of long reports ask who wrote them where they were found why rivers turned cold which city had seven bridges""".split()
        lines = [" ".join(chosen.choice(words) for _ in range(18)).capitalize() + "." for _ in range(160)]
        (self.folder / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def command_line(self, policy, out, *options, model=TINY, data="text.txt"):
        return ["train", policy, "-m", str(model), "--data", data, "-o", out, "-t", "2", *FEW, *options]

    def train(self, policy, out, *options, expect=OK, **more):
        """stderr"""
        code, stdout, stderr = self.tenure(*self.command_line(policy, out, *options, **more))
        self.assertEqual(code, expect, stderr)
        self.assertEqual(code == OK, stdout.startswith(out.encode()), stdout)
        return stderr

    def test_the_file(self):
        self.train("locret", "heads.safetensors", "--seed", "7", "--set", "d_r=16", "--note", "commit=abc")
        tensors, metadata = read_safetensors(self.folder / "heads.safetensors")
        self.assertEqual(metadata["format"], "tenure.weights/1")
        self.assertEqual((metadata["policy"], metadata["recipe"], metadata["seed"], metadata["d_r"], metadata["commit"]),
                         ("locret", "default", "7", "16", "abc"))
        self.assertEqual((metadata["label"], metadata["documents"], metadata["architecture"]), ("attention_logprob_max", "3", "llama"))
        self.assertRegex(metadata["model_fingerprint"], "^[0-9a-f]{64}$")
        self.assertRegex(metadata["data"], "^text.txt [0-9a-f]{64}$")
        names = {name.split(".", 2)[2] for name in tensors}
        self.assertEqual(names, {"w1", "w2"})
        self.assertEqual({tuple(shape)[0] for name, (shape, _) in tensors.items() if name.endswith("w1")}, {16})
        page = (self.folder / "heads.safetensors.html").read_text(encoding="utf-8")
        n_layers = len({name.split(".")[1] for name in tensors})
        self.assertEqual(page.count("held-out loss</li>"), n_layers + 1, "a curve for every layer, and one over all layers")
        self.assertFalse((self.folder / "heads.safetensors.training").exists())

    def test_every_trainable_policy_and_family(self):
        for family, model in MODELS.items():
            for policy, recipe in (("locret", "default"), ("locret", "paper"), ("kvzap", "mlp"), ("kvzap", "linear")):
                out = f"{family}-{policy}-{recipe}.safetensors"
                with self.subTest(out):
                    self.train(policy, out, "--recipe", recipe, model=model)
                    tensors, metadata = read_safetensors(self.folder / out)
                    self.assertEqual((metadata["policy"], metadata["recipe"], metadata["architecture"]), (policy, recipe, family))
                    self.assertTrue(all(any(data) for _, data in tensors.values()))

    def test_the_same_command_gives_the_same_bytes(self):
        self.train("locret", "a", "--seed", "1")
        self.train("locret", "b", "--seed", "1")
        self.train("locret", "c", "--seed", "2")
        a, b, c = ((self.folder / name).read_bytes() for name in "abc")
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_killed_at_any_moment_and_run_again(self):
        long = ("--set", "epochs=60")
        began = time.monotonic()
        self.train("locret", "whole", *long)
        whole = (self.folder / "whole").read_bytes()
        took = time.monotonic() - began
        n_killed = 0
        for i in range(12):
            out = f"cut{i % 3}"
            process = subprocess.Popen([str(TENURE), *self.command_line("locret", out, *long)], cwd=self.folder,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=took * (i + 1) / 14)
            except subprocess.TimeoutExpired:
                process.kill()
                n_killed += 1
            process.wait()
            if (self.folder / out).exists():
                break
        self.assertGreater(n_killed, 3)
        for i in range(3):
            if not (self.folder / f"cut{i}").exists():
                self.train("locret", f"cut{i}", *long)
            self.assertEqual((self.folder / f"cut{i}").read_bytes(), whole)

    def test_asked_to_stop_it_keeps_what_it_has(self):
        process = subprocess.Popen([str(TENURE), *self.command_line("locret", "out", "--set", "epochs=100000")], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.wait_for((self.folder / "out.training" / "captured").exists, "the documents to be read")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, STOPPED, stderr)
        self.assertTrue((self.folder / "out.training" / "checkpoint").exists())
        self.assertFalse((self.folder / "out").exists())

    def test_a_full_disk_keeps_the_last_checkpoint(self):
        # As much as the features take is allowed, and less.
        for limit in (200_000, 20_000):
            with self.subTest(limit):
                process = subprocess.run([str(TENURE), *self.command_line("locret", f"full{limit}")], cwd=self.folder, capture_output=True, check=False,
                                         preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                self.assertEqual(process.returncode, IO_ERROR, process.stderr)
                self.assertIn(f"full{limit}.training", process.stderr.decode())
                self.train("locret", f"full{limit}")
        self.train("locret", "whole")
        self.assertEqual((self.folder / "full200000").read_bytes(), (self.folder / "whole").read_bytes())

    def test_another_training_in_the_folder_is_refused_by_name(self):
        (self.folder / "out.training").mkdir()
        (self.folder / "out.training" / "training.txt").write_text("policy = other\n", encoding="utf-8")
        stderr = self.train("locret", "out", expect=BAD_PLAN)
        self.assertIn('"policy = other"', stderr)
        self.assertIn('"policy = locret"', stderr)

    def test_bad_input(self):
        (self.folder / "empty.txt").write_text("", encoding="utf-8")
        (self.folder / "short.txt").write_text("A few words only.\n", encoding="utf-8")
        (self.folder / "there").write_text("", encoding="utf-8")
        cases = [
            (("h2o", "x"), {}, UNAVAILABLE, "nothing to train"),
            (("nobody", "x"), {}, UNAVAILABLE, "nobody"),
            (("locret", "x", "--recipe", "defualt"), {}, USAGE, 'did you mean "default"'),
            (("locret", "x", "--set", "epoch=3"), {}, BAD_PLAN, "epoch"),
            (("locret", "x", "--set", "epochs=0"), {}, BAD_PLAN, "epochs"),
            (("locret", "x", "--set", "d_r=zero"), {}, BAD_PLAN, "d_r"),
            (("locret", "x", "--set", "label=best"), {}, BAD_PLAN, "attention_logprob_max"),
            (("locret", "x", "--set", "context=100000"), {}, None, "context"),
            (("locret", "x"), {"model": "absent.gguf"}, NO_INPUT, "absent.gguf"),
            (("locret", "x"), {"model": self.folder / "short.txt"}, BAD_DATA, "short.txt"),
            (("locret", "x"), {"data": "absent.txt"}, NO_INPUT, "absent.txt"),
            (("locret", "x"), {"data": "empty.txt"}, None, "empty.txt"),
            (("locret", "x"), {"data": "short.txt"}, None, "text"),
            (("locret", "absent/x"), {}, CANNOT_CREATE, "absent"),
            (("locret", "there"), {}, CANNOT_CREATE, "there already"),
        ]
        for arguments, more, code, text in cases:
            with self.subTest(arguments=arguments, **more):
                found, _, stderr = self.tenure(*self.command_line(*arguments, **more))
                self.assertNotEqual(found, OK)
                if code is not None:
                    self.assertEqual(found, code, stderr)
                self.assertIn(text, stderr)
                self.assertEqual([p.name for p in self.folder.glob("*.training")], [])


if __name__ == "__main__":
    unittest.main()
