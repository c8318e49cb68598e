"""Alerts on running requests: raised where a pipeline provokes them and nowhere else; in the row, on stderr, in progress.json,
metrics.prom and summary.json. And `tenure watch`, which shows them and ends with the run."""

import json
import unittest

from harness import BAD_PLAN, GATE_FAILED, NO_INPUT, OK, PipelineCase, generate, pipeline, reader, tokens

# Rebuilds some rows in every chunk and decode step after the first.
REBUILDS = {"rebuild": {"plugin": "rebuild_test", "budget": 24, "chunk": 16}}
FULL = {"full": {"plugin": "full"}}


def requests(lengths):
    return [{"id": f"{i}", "tokens": tokens(i, n)} for i, n in enumerate(lengths)]


class Alerts(PipelineCase):
    def run_with(self, policies, alerts, lengths=(200, 200, 200), **more):
        name = next(iter(policies))
        text = pipeline([reader(), generate(name, max_new_tokens=8)], policies, **more)
        text += "".join("\n[[alert]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in {"stage": name, **alert}.items()) for alert in alerts)
        return self.run_tenure(text, requests(lengths))

    def test_a_rebuild_rate_over_its_limit_is_told_everywhere(self):
        run = self.run_with(REBUILDS, [{"metric": "rebuild_rate", "window": 5, "max": 0.02}, {"metric": "rebuild_rate", "window": 5, "max": 1.5}])
        for row in run.lines:
            self.assertEqual([alert["metric"] for alert in row["alerts"]], ["rebuild_rate"])
            alert = row["alerts"][0]
            self.assertGreater(alert["value"], alert["limit"])
            self.assertEqual(alert["limit"], 0.02)
            self.assertGreaterEqual(alert["step"], 5)
        self.assertEqual(run.stderr.count("alert: rebuild, request"), 3)
        progress = json.loads((run.directory / "progress.json").read_text())
        self.assertEqual((progress["n_alerts"], len(progress["alerts"])), (3, 3))
        self.assertEqual(progress["alerts"][0]["stage"], "rebuild")
        self.assertIn("\ntenure_alerts{pipeline=\"pipeline\"} 3\n", (run.directory / "metrics.prom").read_text())
        self.assertEqual({alert["metric"] for alert in run.summary["alerts"]}, {"rebuild_rate"})

    def test_a_normal_run_raises_none(self):
        alerts = [{"metric": "rebuild_rate", "max": 0.2}, {"metric": "released", "max": 0}, {"metric": "kv_bytes", "max": "1 MiB"}]
        run = self.run_with(FULL, alerts)
        self.assertEqual([row["alerts"] for row in run.lines], [[], [], []])
        self.assertNotIn("alert", run.stderr)
        self.assertEqual(json.loads((run.directory / "progress.json").read_text())["n_alerts"], 0)

    def test_alerts_change_nothing_but_the_row_s_list(self):
        watched = self.run_with(REBUILDS, [{"metric": "released", "max": 0, "window": 3}])
        plain = self.run_with(REBUILDS, [])
        for row in watched.lines:
            self.assertEqual(len(row["alerts"]), 1)
            self.assertEqual({**row, "alerts": [], "timing": None, "segments": None},
                             {**plain.row(row["id"]), "timing": None, "segments": None})

    def test_steps_add_up_to_the_row(self):
        # One window over all steps: 200 tokens in chunks of 16 and 7 decode steps, whose mean is the row's count a step.
        n_steps = 13 + 7
        run = self.run_with(REBUILDS, [{"metric": m, "window": n_steps, "max": 0} for m in ("released", "rebuilt", "rebuild_rate", "kv_bytes")])
        for row in run.lines:
            said = {alert["metric"]: alert for alert in row["alerts"]}
            self.assertEqual({alert["step"] for alert in said.values()}, {n_steps})
            self.assertAlmostEqual(said["released"]["value"] * n_steps, row["events"]["released"])
            self.assertAlmostEqual(said["rebuilt"]["value"] * n_steps, row["events"]["rebuilt"])
            fed = row["usage"]["prompt_tokens"] + row["usage"]["generated_tokens"] - 1
            self.assertAlmostEqual(said["rebuild_rate"]["value"], row["events"]["rebuild_rows"] / (fed + row["events"]["rebuild_rows"]))
            self.assertLessEqual(said["kv_bytes"]["value"], row["kv"]["peak_bytes"])

    def test_versus_median_finds_the_odd_one_out(self):
        alert = {"metric": "kv_bytes", "agg": "max", "window": 1000, "max": 2, "versus": "median"}
        run = self.run_with(FULL, [alert], lengths=[60] * 12 + [400], engine={"in_flight": 1})
        self.assertEqual({row["id"] for row in run.lines if row["alerts"]}, {"12"})
        self.assertGreater(run.row("12")["alerts"][0]["value"], 3)

    def test_bad_alerts(self):
        for alert, words in [({"metric": "regret", "max": 1}, "no metric of an alert"), ({"metric": "rebuild_rat", "max": 1}, "did you mean"),
                             ({"metric": "rebuilt"}, "no limit"), ({"metric": "rebuilt", "max": 1, "versus": "mean"}, "median"),
                             ({"metric": "rebuilt", "max": 1, "window": 0}, "window"), ({"metric": "rebuilt", "max": "1 MiB"}, "number"),
                             ({"metric": "rebuilt", "max": 1, "stage": "requests"}, "runs no request"),
                             ({"metric": "rebuilt", "max": 1, "stage": "ful"}, "did you mean"), ({"metric": "rebuilt", "mx": 1, "max": 1}, "unknown key")]:
            text = pipeline([reader(), generate("full")], FULL)
            text += "\n[[alert]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in {"stage": "full", **alert}.items())
            run = self.run_tenure(text, requests([10]), expect=BAD_PLAN)
            self.assertIn(words, run.stderr)


class Watch(PipelineCase):
    def test_watch_ends_with_the_run_and_its_code(self):
        gates = [{"stage": "full", "metric": "usage.generated_tokens", "min": 1000}]
        path = self.write(pipeline([reader(), generate("full", max_new_tokens=100)], FULL, gates=gates), requests([200] * 30))
        out = self.folder / "run"
        with self.started(path, out) as process:
            self.wait_for((out / "progress.json").exists, "progress")
            code, stdout, stderr = self.tenure("watch", out, "--interval", "1")
            self.assertEqual((process.wait(), code, stdout), (GATE_FAILED, GATE_FAILED, b""), stderr)
        self.assertIn("done 30 rows", stderr.splitlines()[-1])
        again = self.tenure("watch", out)
        self.assertEqual(again[0], GATE_FAILED)
        self.assertEqual(len(again[2].splitlines()), 1)

    def test_watch_shows_alerts(self):
        text = pipeline([reader(), generate("rebuild", max_new_tokens=8)], REBUILDS)
        text += '\n[[alert]]\nstage = "rebuild"\nmetric = "rebuild_rate"\nwindow = 5\nmax = 0.02\n'
        run = self.run_tenure(text, requests([200]))
        code, _, stderr = self.tenure("watch", run.directory)
        self.assertEqual(code, OK, stderr)
        self.assertIn("1 alerts; the last: rebuild, rebuild_rate is", stderr)

    def test_watch_of_no_run(self):
        self.assertEqual(self.tenure("watch", self.folder)[0], NO_INPUT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
