"""validate, plan, graph, report: what a pipeline is told to be before and after it runs."""

import json
import re
import unittest

from program import BAD_PLAN, MATRIX, NO_INPUT, TINY, UNAVAILABLE, USAGE, WRITER, ProgramCase


class Validate(ProgramCase):
    def test_counts_cells_and_stages(self):
        self.assertEqual(self.tenure("validate", self.pipeline()), ("ok: 1 cell, 3 stages\n", ""))
        self.assertEqual(self.tenure("validate", self.pipeline(WRITER + MATRIX))[0], "ok: 3 cells, 4 stages\n")

    def test_all_errors_at_once_and_nothing_on_stdout(self):
        bad = self.pipeline("[run]\nretrys = 1\n[[gate]]\nstage = \"none\"\nmetric = \"exact_match\"\nmin = 1\n")
        out, err = self.tenure("validate", bad, expect=BAD_PLAN)
        self.assertEqual(out, "")
        self.assertIn('did you mean "retries"?', err)
        self.assertIn('"none"', err)

    def test_set_changes_a_value_as_the_file_would(self):
        path = self.pipeline()
        self.assertIn("budget", self.tenure("validate", path, "--set", "policy.bounded.budget=0", expect=BAD_PLAN)[1])
        self.tenure("validate", path, "--set", "policy.bounded.chunk=banana", expect=BAD_PLAN)
        self.tenure("validate", path, "--set", "policy.nobody.chunk=1", expect=BAD_PLAN)
        self.tenure("validate", path, "--set", "policy.bounded.chunk=64", "--set", "policy.bounded.budget=1/2")

    def test_another_backend_is_looked_for(self):
        err = self.tenure("validate", self.pipeline(), "--backend", "nobody", expect=UNAVAILABLE)[1]
        self.assertIn("nobody", err)

    def test_a_missing_pipeline_is_no_input_but_a_missing_model_is_only_said(self):
        self.assertIn("no.toml", self.tenure("validate", "no.toml", expect=NO_INPUT)[1])
        out, err = self.tenure("validate", self.pipeline(model="/no/model.gguf"))
        self.assertEqual(out, "ok: 1 cell, 3 stages\n")
        self.assertIn("/no/model.gguf", err)

    def test_nothing_is_written(self):
        self.pipeline()
        self.tenure("validate", "pipeline.toml")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["pipeline.toml"])


class Graph(ProgramCase):
    def edges(self, *options):
        return json.loads(self.tenure("graph", self.pipeline(WRITER + MATRIX), "--format", "json", *options)[0])

    def test_json_has_every_stage_and_edge_once(self):
        graph = self.edges()
        self.assertEqual({n["id"]: n["kind"] for n in graph["nodes"]},
                         {"prompts": "read_jsonl", "all": "generate", "bounded": "generate", "view": "write_jsonl"})
        self.assertEqual({(e["from"], e["to"]) for e in graph["edges"]},
                         {("prompts", "all"), ("prompts", "bounded"), ("all", "view"), ("bounded", "view")})
        self.assertEqual(len(graph["edges"]), 4)
        self.assertEqual(graph["cells"], ["", "policy.bounded.budget=32", "policy.bounded.budget=64"])

    def test_dot_and_mermaid_say_the_same(self):
        path = self.pipeline(WRITER + MATRIX)
        wanted = {(e["from"], e["to"]) for e in self.edges()["edges"]}
        dot = self.tenure("graph", path)[0]
        self.assertEqual(set(re.findall(r'^  "(\w+)" -> "(\w+)";$', dot, re.MULTILINE)), wanted)
        mermaid = self.tenure("graph", path, "--format", "mermaid")[0]
        ids = dict(re.findall(r'^  (n\d+)\["(\w+)<br/>', mermaid, re.MULTILINE))
        self.assertEqual({(ids[a], ids[b]) for a, b in re.findall(r"^  (n\d+) --> (n\d+)$", mermaid, re.MULTILINE)}, wanted)

    def test_an_unknown_format(self):
        self.tenure("graph", self.pipeline(), "--format", "png", expect=USAGE)


class Plan(ProgramCase):
    def row(self, out, stage):
        return re.search(rf"^  {stage} +(\S+) +(\d+) +(\d+) +(\S+) +([\d.]+ \w+) +([\d.]+ \w+) +(\d+)$", out, re.MULTILINE).groups()

    def test_memory_of_the_tiny_model(self):
        out, _ = self.tenure("plan", self.pipeline())
        # 3 layers x 2 KV heads x (16 + 16) f16 values; the whole context of 512 tokens, in runs of 64 slots.
        token, context = 3 * 2 * 32 * 2, 512
        policy, token_bytes, tokens, budget, reserved, full, _ = self.row(out, "all")
        self.assertEqual((policy, int(token_bytes), int(tokens), budget), ("full", token, context, "-"))
        self.assertEqual((reserved, full), (f"{token * context / 1024:.1f} KiB",) * 2)
        policy, token_bytes, tokens, budget, reserved, full, n = self.row(out, "bounded")
        self.assertEqual((policy, int(token_bytes), budget), ("bounded", token, "64"))
        self.assertLess(float(reserved.split()[0]), float(full.split()[0]) / 2)
        self.assertGreater(int(n), 256 * 1024 * 1024 // (token * context))

    def test_bytes_follow_the_cache_type_and_the_budget(self):
        path = self.pipeline()
        wide = self.row(self.tenure("plan", path, "--set", "policy.bounded.kv_type=f32")[0], "bounded")
        self.assertEqual(int(wide[1]), 3 * 2 * 32 * 4)
        half = self.row(self.tenure("plan", path, "--set", "policy.bounded.budget=1/8")[0], "bounded")
        self.assertEqual(half[3], str((512 - 8) // 8))

    def test_costs_of_evidence_come_from_the_manifest(self):
        out, _ = self.tenure("plan", self.pipeline(), "--set", "policy.bounded.plugin=h2o")
        self.assertRegex(out, r"bounded: evidence attention_mass: 24 bytes a cached token")
        self.assertNotIn("evidence", self.tenure("plan", self.pipeline())[0])
        windowed = self.pipeline(model=TINY.parent / "tiny-gemma3-f32.gguf")  # one layer of six sees everything
        out, _ = self.tenure("plan", windowed, "--set", "policy.bounded.plugin=h2o")
        self.assertRegex(out, r"bounded: evidence attention_mass: 4 bytes a cached token")

    def test_a_missing_model_is_said_in_a_line(self):
        out, _ = self.tenure("plan", self.pipeline(model="/no/model.gguf"))
        self.assertIn('not known: no model file "/no/model.gguf"', out)

    def test_what_a_resume_would_skip(self):
        path = self.pipeline()
        self.prompts(3)
        self.assertIn("no run yet", self.tenure("plan", path, "--out", "run")[0])
        self.tenure("run", path, "--out", "run", "--quiet")
        self.assertIn("is done", self.tenure("plan", path, "--out", "run")[0])
        results = self.folder / "run" / "results.jsonl"
        lines = results.read_text().splitlines(keepends=True)
        self.assertEqual(len(lines), 6)
        kept = [l for l in lines if json.loads(l)["stage"] == "all"] + [l for l in lines if json.loads(l)["stage"] == "bounded"][:1]
        results.write_text("".join(kept))
        (self.folder / "run" / "DONE").unlink()
        out, _ = self.tenure("plan", path, "--out", "run")
        self.assertRegex(out, r"all +skips 3 of 3 rows")
        self.assertRegex(out, r"bounded +skips 1 of 3 rows")
        out, _ = self.tenure("plan", path, "--out", "run", "--set", "policy.bounded.budget=48")
        self.assertIn("would refuse (78)", out)
        self.assertIn("bounded.policy.budget", out)


class Report(ProgramCase):
    def test_a_run_becomes_one_file(self):
        self.prompts(2)
        run, _ = self.tenure("run", self.pipeline(), "--out", "run", "--quiet")
        out, _ = self.tenure("report", run.strip())
        self.assertEqual(out.strip(), "run/report.html")
        html = (self.folder / "run" / "report.html").read_text(encoding="utf-8")
        self.assertIn("bounded", html)
        self.assertEqual(self.tenure("report", "run", "-o", "other.html")[0].strip(), "other.html")
        self.assertEqual((self.folder / "other.html").read_text(encoding="utf-8"), html)

    def test_a_folder_without_rows(self):
        self.assertIn("not a run directory", self.tenure("report", ".", expect=NO_INPUT)[1])
        self.tenure("report", "nowhere", expect=NO_INPUT)


if __name__ == "__main__":
    unittest.main()
