"""What each stage kind, request form, gate and option of a pipeline does to the rows."""

import functools
import json
import math
import pathlib
import unittest

from harness import BAD_PLAN, DATA, GATE_FAILED, OK, POLICIES, TINY, PipelineCase, generate, lasting, pipeline, reader, score, tokens
from tiny_llama import TinyLlama

EXACT = {"full": {"plugin": "full", "kv_type": "f32"}}
FULL = {"full": {"plugin": "full"}}
GOLDEN = json.loads((DATA / "tiny_logits.json").read_text())


@functools.cache
def oracle():
    return TinyLlama(TINY)


class Score(PipelineCase):
    def test_the_oracle_agrees_with_transformers(self):
        prompt = min(GOLDEN[TINY.name], key=lambda p: len(p["ids"]))
        last = oracle().logits(prompt["ids"])[-1]
        for ours, golden in zip(last, prompt["last_logits"], strict=True):
            self.assertAlmostEqual(ours, golden, delta=1e-4)

    def test_greedy_tokens_are_those_of_transformers(self):
        for name in (TINY.name, "tiny-group3-f32.gguf"):
            requests = [{"id": str(i), "tokens": p["ids"]} for i, p in enumerate(GOLDEN[name])]
            run = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=24)], EXACT, model=DATA / name), requests)
            for i, prompt in enumerate(GOLDEN[name]):
                self.assertEqual(run.row(str(i))["tokens"], prompt["greedy"], (name, i))

    def test_perplexity_scores_the_second_half_of_each_window(self):
        ids, window = tokens(3, 75), 32
        expected = []
        for begin in (0, 32):  # the remainder is left out
            expected += oracle().logprobs(ids[begin:begin + window])[window // 2:]
        run = self.run_tenure(pipeline([reader(), score("full", window=window)], EXACT), [{"id": "a", "tokens": ids}])
        said = run.row("a")["score"]
        self.assertAlmostEqual(said["logprob"], sum(expected), delta=1e-3)
        self.assertAlmostEqual(said["ppl"] / math.exp(-sum(expected) / len(expected)), 1, delta=1e-4)

    def test_a_continuation_is_scored_teacher_forced(self):
        prompt, continuation = "the policy keeps", " the tokens that the answer will need"
        fed, rest = (self.ids_of(text) for text in (prompt, continuation))
        expected = oracle().logprobs(fed + rest)[len(fed) - 1:]
        best = [max(range(len(row)), key=row.__getitem__) for row in oracle().logits((fed + rest)[:-1])][len(fed) - 1:]
        run = self.run_tenure(pipeline([reader(), score("full")], EXACT), [{"id": "a", "prompt": prompt, "continuation": continuation}])
        row = run.row("a")
        self.assertAlmostEqual(row["score"]["logprob"], sum(expected), delta=1e-3)
        self.assertAlmostEqual(row["score"]["token_accuracy"], sum(map(int.__eq__, best, rest)) / len(rest))
        self.assertEqual(row["usage"], {"prompt_tokens": len(fed) + len(rest), "generated_tokens": 0})
        again = self.run_tenure(pipeline([reader(), generate("full")], EXACT),
                                [{"id": "a", "segments": [{"text": prompt}, {"text": "", "score": continuation}]}])
        self.assertAlmostEqual(again.row("a")["segments"][1]["logprob"], sum(expected), delta=1e-3)

    def ids_of(self, text):
        code, out, stderr = self.tenure("tokenize", "-m", TINY, "--ids", stdin=text.encode())
        self.assertEqual(code, OK, stderr)
        return list(map(int, out.split()))

    def test_an_exact_score_is_one_where_every_token_is_the_argmax(self):
        prompts = {f"{i}": "the policy keeps the tokens"[:9 + i] for i in range(18)}
        run = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=3)], EXACT), [{"id": i, "prompt": p} for i, p in prompts.items()])
        # Greedy tokens are often no text that encodes to themselves; one of so many is.
        prompt, answer = next((prompts[row["id"]], row["text"]) for row in run.lines if self.ids_of(row["text"]) == row["tokens"])
        segments = [{"text": prompt}, {"text": "", "score": answer, "fork": True}, {"text": "", "score": " the host", "fork": True}]
        row = self.run_tenure(pipeline([reader(), generate("full")], EXACT), [{"id": "a", "segments": segments}]).row("a")
        self.assertEqual([s["exact_match"] for s in row["segments"][1:]], [True, False])
        self.assertEqual(row["segments"][1]["token_accuracy"], 1)


class Generate(PipelineCase):
    def test_samples_differ_and_are_reproducible_by_seed(self):
        text = lambda seed: pipeline([reader(), generate("full", samples=4, temperature=1.0, seed=seed)], FULL)
        requests = [{"id": i, "tokens": tokens(1, 10)} for i in ("a", "b")]
        first, again, other = (self.run_tenure(text(seed), requests) for seed in (5, 5, 6))
        said = {key: row["tokens"] for key, row in first.rows.items()}
        self.assertEqual(said, {key: row["tokens"] for key, row in again.rows.items()})
        self.assertEqual(len(set(map(str, said.values()))), 8, "each id and sample draws its own")
        self.assertNotEqual(said, {key: row["tokens"] for key, row in other.rows.items()})
        self.assertEqual({row["sample"] for row in first.lines}, {0, 1, 2, 3})

    def test_a_request_wins_over_its_stage(self):
        requests = [{"id": "plain", "tokens": tokens(1, 10)}, {"id": "own", "tokens": tokens(1, 10), "max_new_tokens": 3, "samples": 2, "seed": 9}]
        run = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=5, temperature=1.0)], FULL), requests)
        self.assertEqual([len(row["tokens"]) for row in run.lines if row["id"] == "own"], [3, 3])
        self.assertEqual({row["seed"] for row in run.lines if row["id"] == "own"}, {9})
        self.assertEqual(len(run.row("plain")["tokens"]), 5)

    def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(self):
        request = {"id": "a", "prompt": "the policy keeps the tokens"}
        whole = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=40)], FULL), [request]).row("a")
        stop = whole["text"].encode()[12:14].decode(errors="ignore") or whole["text"][5]
        cut = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=40, stop=["never said at all", stop])], FULL), [request]).row("a")
        self.assertEqual((cut["finish"], whole["finish"]), ("stop", "length"))
        self.assertEqual(cut["text"], whole["text"][:whole["text"].index(stop)])
        self.assertEqual(cut["tokens"], whole["tokens"][:len(cut["tokens"])])

    def test_every_form_of_a_prompt_is_the_same_prompt(self):
        text = "hello world"
        ids = list(map(int, self.tenure("tokenize", "-m", TINY, "--ids", "-p", text)[1].split()))
        requests = [{"id": "prompt", "prompt": text}, {"id": "tokens", "tokens": ids}, {"id": "segments", "segments": [{"text": text, "generate": 8}]}]
        run = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=8)], FULL), requests)
        self.assertEqual(len({str(row["tokens"]) for row in run.lines}), 1)
        message = {"role": "user", "content": text}
        body = {"model": "any", "messages": [message], "max_tokens": 8}
        chats = [{"id": "messages", "messages": [message]}, {"custom_id": "openai", "method": "POST", "url": "/v1/chat/completions", "body": body},
                 {"id": "segment", "segments": [{"role": "user", "text": text, "generate": 8}]}, {"id": "prompt", "prompt": text}]
        run = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=8, chat=True)], FULL), chats)
        self.assertEqual(len({str((row["tokens"], row["usage"])) for row in run.lines}), 1)
        self.assertEqual(len(run.lines), 4)

    def test_answers_are_matched_and_metadata_copied(self):
        said = self.run_tenure(pipeline([reader(), generate("full")], FULL), [{"id": "a", "prompt": "the policy"}]).row("a")["text"]
        meta = {"source": ["x", 1.5, None], "n": 2}
        requests = [{"id": "right", "prompt": "the policy", "answer": ["no", said.strip()[:6]], "metadata": meta},
                    {"id": "wrong", "prompt": "the policy", "answer": "no such thing"}, {"id": "none", "prompt": "the policy"}]
        run = self.run_tenure(pipeline([reader(), generate("full")], FULL), requests)
        self.assertEqual([run.row(i)["exact_match"] for i in ("right", "wrong", "none")], [1, 0, None])
        self.assertEqual(run.row("right")["metadata"], meta)
        cells = run.summary["cells"]
        self.assertEqual(cells[0]["metrics"]["exact_match"]["mean"], 0.5)


class Readers(PipelineCase):
    def test_read_text_makes_a_request_of_each_file(self):
        (self.folder / "texts").mkdir()
        for name in ("b", "a", "c"):
            (self.folder / "texts" / f"{name}.txt").write_text(f"the text of {name}", encoding="utf-8")
        stages = [{"id": "requests", "kind": "read_text", "path": "texts/*.txt", "template": "Read: {text}"}, generate("full", max_new_tokens=2)]
        run = self.run_tenure(pipeline(stages, FULL))
        self.assertEqual({pathlib.Path(row["id"]).name for row in run.lines}, {"a.txt", "b.txt", "c.txt"})
        prompts = [{"id": "p", "prompt": "Read: the text of b"}]
        same = self.run_tenure(pipeline([reader(), generate("full", max_new_tokens=2)], FULL), prompts).row("p")
        self.assertEqual(next(r for r in run.lines if r["id"].endswith("b.txt"))["tokens"], same["tokens"])

    def test_map_template_limit_and_several_files(self):
        for name in ("one", "two"):
            lines = [{"doc_id": f"{name}-{i}", "body": f"text {i}", "extra": True} for i in range(3)]
            (self.folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        read = reader(["one.jsonl", "two.jsonl"], map={"id": "doc_id"}, template="Summarise:\n{body}\n", limit=4)
        run = self.run_tenure(pipeline([read, generate("full", max_new_tokens=2)], FULL))
        self.assertEqual({row["id"] for row in run.lines}, {"one-0", "one-1", "one-2", "two-0"})
        fewer = self.run_tenure(pipeline([read, generate("full", max_new_tokens=2)], FULL), options=("--limit", "2"))
        self.assertEqual({row["id"] for row in fewer.lines}, {"one-0", "one-1"})

    def test_standard_input_is_kept_for_a_resume(self):
        lines = "".join(json.dumps({"id": f"{i}", "tokens": tokens(i, 5)}) + "\n" for i in range(3)).encode()
        text = pipeline([reader("-"), generate("full", max_new_tokens=2)], FULL)
        run = self.run_tenure(text, out="piped", stdin=lines)
        self.assertEqual((run.directory / "requests.jsonl").read_bytes(), lines)
        self.assertEqual({row["id"] for row in run.lines}, {"0", "1", "2"})
        (run.directory / "DONE").unlink()
        results = run.directory / "results.jsonl"
        results.write_bytes(results.read_bytes().splitlines(keepends=True)[0])
        code, _, stderr = self.tenure("resume", run.directory, "--quiet")
        self.assertEqual(code, OK, stderr)
        self.assertEqual(len({row["id"] for row in map(json.loads, results.read_bytes().splitlines())}), 3)

    def test_two_readers_side_by_side(self):
        for name in ("left", "right"):
            lines = [{"id": f"{i}", "tokens": tokens(i, 5)} for i in range(300)]
            (self.folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        stages = [{"id": name, "kind": "read_jsonl", "path": f"{name}.jsonl"} for name in ("left", "right")]
        stages += [generate("full", f"of-{name}", max_new_tokens=1, **{"from": name}) for name in ("left", "right")]
        run = self.run_tenure(pipeline(stages, FULL))
        self.assertEqual(len(run.rows), 600)
        self.assertEqual({row["status"] for row in run.lines}, {"ok"})


class Cells(PipelineCase):
    def test_a_matrix_runs_every_cell_and_shares_what_no_axis_touches(self):
        policies = {"full": {"plugin": "full"}, "h2o": {"plugin": "h2o", "budget": 20, "chunk": 16}}
        matrix = {"policy.h2o.budget": [20, 30], "policy.h2o.chunk": [16, 32]}
        requests = [{"id": f"{i}", "tokens": tokens(i, 60)} for i in range(3)]
        run = self.run_tenure(pipeline([reader(), generate("full"), generate("h2o")], policies, matrix=matrix), requests)
        cells = {(row["stage"], row["cell"]) for row in run.lines}
        self.assertEqual(len(cells), 1 + 4)
        self.assertIn(("full", ""), cells)
        self.assertEqual(len(run.lines), 3 * 5)
        for row in run.lines:
            if row["stage"] == "h2o":
                self.assertEqual(row["kv"]["budget_slots"], row["axes"]["policy.h2o.budget"])
                self.assertEqual(row["cell"], f"policy.h2o.budget={row['axes']['policy.h2o.budget']},policy.h2o.chunk={row['axes']['policy.h2o.chunk']}")
        one = self.run_tenure(pipeline([reader(), generate("h2o")], {"h2o": {**policies["h2o"], "budget": 30, "chunk": 32}}), requests)
        for i in range(3):
            cell = next(r for r in run.lines if r["id"] == f"{i}" and r["axes"] == {"policy.h2o.budget": 30, "policy.h2o.chunk": 32})
            self.assertEqual(cell["tokens"], one.row(f"{i}")["tokens"])

    def test_gates_decide_the_exit_code(self):
        policies = {"full": {"plugin": "full"}, "h2o": {"plugin": "h2o", "budget": 64, "chunk": 32}}
        requests = [{"id": f"{i}", "tokens": tokens(i, 300)} for i in range(3)]
        stages = [reader(), generate("full"), generate("h2o")]
        smaller = {"stage": "h2o", "metric": "kv.peak_bytes", "max": 0.5, "versus": "full"}
        good = self.run_tenure(pipeline(stages, policies, gates=[smaller, {"stage": "full", "metric": "usage.generated_tokens", "min": 16}]), requests)
        self.assertEqual((good.summary["verdict"], [gate["status"] for gate in good.summary["gates"]]), ("ok", ["ok", "ok"]))
        bad = self.run_tenure(pipeline(stages, policies, gates=[{**smaller, "max": 0.1}]), requests, expect=GATE_FAILED)
        self.assertEqual(bad.summary["exit_code"], GATE_FAILED)
        self.assertTrue((bad.directory / "DONE").exists())
        self.run_tenure(pipeline(stages, policies, gates=[{"stage": "full", "metric": "exact_match", "min": 0.5}]), requests, expect=GATE_FAILED)

    def test_set_changes_a_value(self):
        text = pipeline([reader(), generate("h2o")], {"h2o": {"plugin": "h2o", "budget": 20}})
        requests = [{"id": "a", "tokens": tokens(1, 100)}]
        run = self.run_tenure(text, requests, options=("--set", "policy.h2o.budget=31", "--set", "stage.h2o.max_new_tokens=3"))
        self.assertEqual((run.row("a")["kv"]["budget_slots"], len(run.row("a")["tokens"])), (31, 3))
        refused = self.run_tenure(text, requests, options=("--set", "policy.h2o.budgte=31"), expect=BAD_PLAN)
        self.assertIn("budget", refused.stderr)

    def test_views_of_the_results(self):
        requests = [{"id": f"{i}", "tokens": tokens(i, 20)} for i in range(3)] + [{"id": "bad", "prompt": 1}]
        views = [{"id": "short", "kind": "write_jsonl", "from": "full", "path": "short.jsonl", "fields": ["id", "kv.peak_bytes"]},
                 {"id": "batch", "kind": "write_jsonl", "from": "full", "path": "batch.jsonl", "format": "openai"}]
        run = self.run_tenure(pipeline([reader(), generate("full"), *views], FULL, run={"max_errors": 1}), requests)
        short = list(map(json.loads, (run.directory / "short.jsonl").read_bytes().splitlines()))
        self.assertEqual({s["id"]: s["kv"]["peak_bytes"] for s in short if s["id"] != "bad"},
                         {r["id"]: r["kv"]["peak_bytes"] for r in run.lines if r["id"] != "bad"})
        batch = {line["custom_id"]: line for line in map(json.loads, (run.directory / "batch.jsonl").read_bytes().splitlines())}
        self.assertEqual(batch["1"]["response"]["status_code"], 200)
        self.assertEqual(batch["1"]["response"]["body"]["usage"]["completion_tokens"], 16)
        self.assertEqual((batch["bad"]["response"], batch["bad"]["error"]["code"]), (None, "bad_request"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
