#!/usr/bin/env python3
"""locret_bars.py FOLDER RIVALS [SCALE]: reads what scripts/eval_locret.sh left in FOLDER, and the rivals' lines in RIVALS, prints a
table of what LOCRET answers and one of every bar beside its value, and exits 1 where one falls short. SCALE, such as 0.95,
lowers the bars that must be reached (and raises those that must not be passed), for heads trained on less."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CHUNK, RUN = 256, 64  # tokens fed between decisions; slots of the pages that a head takes at once
RIVALS = ("h2o", "knorm", "keydiff", "snapkv", "tova")


@dataclass(frozen=True)
class Line:
    """A line of one evaluation, with the full cache's of the same documents."""

    line: dict
    full: dict

    def figure(self, instrument: str, name: str) -> dict | None:
        return self.line["instruments"].get(instrument, {}).get(name)

    def mean(self, instrument: str, name: str = "accuracy") -> float:
        found = self.figure(instrument, name)
        return found["mean"] if found else math.nan

    def of_full(self, instrument: str, name: str = "accuracy") -> float:
        full = self.full["instruments"].get(instrument, {}).get(name)
        return self.mean(instrument, name) / full["mean"] if full and full["mean"] > 0 else math.nan

    def all_of_full(self) -> float:
        return self.line.get("retrieval", {}).get("of_full", {}).get("mean", math.nan)


def read(folder: Path, part: str) -> list[Line]:
    lines = json.loads((folder / part / "eval.json").read_text(encoding="utf-8"))["lines"]
    return [Line(line, lines[0]) for line in lines]


def pick(lines: list[Line], budget: str, policy: str = "locret") -> Line:
    for line in lines:
        if (line.line["policy"], line.line["budget"]) == (policy, budget):
            return line
    sys.exit(f"locret_bars: no line of {policy} at {budget}; run scripts/eval_locret.sh again")


def paired_loss(before: Line, after: Line, figure: Callable[[dict], float | None]) -> float:
    """Mean over documents of how much of a figure is lost from one line to another, document by document."""
    losses = []
    for one, other in zip(before.line["documents"], after.line["documents"], strict=True):
        old, new = figure(one), figure(other)
        if old is not None and new is not None:
            losses.append(old - new)
    return sum(losses) / len(losses) if losses else math.nan


def keyed_accuracy(document: dict) -> float | None:
    shares = [q["correct"] / q["tokens"] for q in document.get("questions", []) if q["instrument"] == "keyed"]
    return sum(shares) / len(shares) if shares else None


@dataclass
class Bars:
    scale: float
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    n_short: int = 0

    def at_least(self, name: str, value: float, bar: float) -> None:
        self._add(name, value, "≥", bar * self.scale, value >= bar * self.scale)

    def at_most(self, name: str, value: float, bar: float) -> None:
        self._add(name, value, "≤", bar / self.scale, value <= bar / self.scale)

    def _add(self, name: str, value: float, sign: str, bar: float, holds: bool) -> None:  # NaN never holds
        self.n_short += not holds
        self.rows.append((name, f"{value:.3f}", f"{sign} {bar:.3f}", "" if holds else "**falls short**"))

    def table(self) -> str:
        text = "| bar | value | asked | |\n|---|---|---|---|\n"
        return text + "".join(f"| {' | '.join(row)} |\n" for row in self.rows)


class Evaluation:
    def __init__(self, folder: Path, rivals: Path) -> None:
        self.rivals = read(rivals, "rivals")
        self.by_global, self.by_head = read(folder, "global"), read(folder, "head")
        self.noise_global, self.noise_head = read(folder, "noise-global"), read(folder, "noise-head")
        self.context = {n: read(folder, f"context-{n}") for n in (2048, 4096)}
        self.quantised = {name: read(folder, f"global-{name}") for name in ("q8_0", "q4")}
        self.controls = {name: read(folder, f"control-{name}") for name in ("continuation", "random")}


def check_full(bars: Bars, found: Evaluation) -> None:
    full, noise = found.by_global[0], found.noise_global[0]
    bars.at_least("full: keyed numbers", full.mean("keyed"), 0.93)
    bars.at_least("full: random copy", full.mean("copy"), 0.90)
    bars.at_least("full: R.Number, whole", noise.mean("r_number", "exact"), 0.97)


def check_cell(bars: Bars, name: str, line: Line, noise: Line, least: tuple[float, float, float]) -> None:
    keyed, copy, number = least
    bars.at_least(f"{name}: keyed numbers", line.mean("keyed"), keyed)
    bars.at_least(f"{name}: random copy", line.mean("copy"), copy)
    bars.at_least(f"{name}: R.Number, whole", noise.mean("r_number", "exact"), number)


def check_budgets(bars: Bars, found: Evaluation) -> None:
    cells = (("equal heads", found.by_head, found.noise_head,
              {"1/4": ((0.92, 0.85, 0.95), 0.16), "1/8": ((0.88, 0.72, 0.95), 0.32)}),
             ("global", found.by_global, found.noise_global,
              {"1/4": ((0.94, 0.86, 0.97), 0.06), "1/8": ((0.93, 0.83, 0.95), 0.15), "1/16": ((0.88, 0.78, 0.95), None)}))
    for name, lines, noise, budgets in cells:
        for budget, (least, most_kl) in budgets.items():
            line = pick(lines, budget)
            check_cell(bars, f"{name} {budget}", line, pick(noise, budget), least)
            if most_kl is not None:
                bars.at_most(f"{name} {budget}: KL", line.mean("continuation", "kl"), most_kl)
    h2o = pick(found.rivals, "1/8", "h2o").mean("continuation", "kl")
    bars.at_most("global 1/8: KL beyond H2O's", pick(found.by_global, "1/8").mean("continuation", "kl") - h2o, 0.02)


def check_together(bars: Bars, found: Evaluation) -> None:
    eighth, quarter = pick(found.by_global, "1/8"), pick(found.by_global, "1/4")
    bars.at_least("global 1/8: sentence facts, of full", eighth.of_full("sentence", "exact"), 0.85)
    for budget, line, least in (("1/4", quarter, 0.97), ("1/8", eighth, 0.95)):
        bars.at_least(f"global {budget}: all retrieval, of full", line.all_of_full(), least)
    for budget, line, gap in (("1/4", quarter, 0.35), ("1/8", eighth, 0.50)):
        best = max(pick(found.rivals, budget, rival).mean("keyed") for rival in RIVALS)
        bars.at_least(f"global {budget}: keyed numbers beyond the best of {', '.join(RIVALS)}", line.mean("keyed") - best, gap)


def check_contexts(bars: Bars, found: Evaluation) -> None:
    for context, lines in found.context.items():
        bars.at_least(f"global 1/8, {context} tokens: keyed numbers, of full", pick(lines, "1/8").of_full("keyed"), 0.93)
    longest = pick(found.context[4096], "1/8").line
    bars.at_most("global 1/8, 4096 tokens: bytes after prefill, of full", longest["kv_end_of_full"], 0.14)
    for context, line in ((1024, pick(found.by_global, "1/8").line), (4096, longest)):
        bars.at_most(f"global 1/8, {context} tokens: peak bytes, of full; a chunk and a run of pages a head beside the budget",
                     line["kv_peak_of_full"], 1 / 8 + (CHUNK + RUN) / context)


def check_types_and_controls(bars: Bars, found: Evaluation) -> None:
    plain = pick(found.by_global, "1/8")
    for name, most_kl in (("q8_0", 0.005), ("q4", 0.02)):
        line = pick(found.quantised[name], "1/8")
        bars.at_most(f"global 1/8, KV {name}: keyed numbers lost", paired_loss(plain, line, keyed_accuracy), 0.03)
        bars.at_most(f"global 1/8, KV {name}: KL added", line.mean("continuation", "kl") - plain.mean("continuation", "kl"), most_kl)
    control = pick(found.controls["continuation"], "1/8")
    bars.at_most("heads of nothing but continuations must fail, 1/8: keyed numbers", control.mean("keyed"), 0.3)


def cell_text(line: Line, instrument: str, name: str, digits: int = 2) -> str:
    found = line.figure(instrument, name)
    if not found:
        return "-"
    low, high = found["ci95"]
    return f"{found['mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] ({found['n']})"


def answers_row(name: str, line: Line, noise: Line | None = None) -> str:
    cells = [name, line.line["budget"] or "-", cell_text(line, "keyed", "accuracy"), cell_text(line, "copy", "accuracy"),
             cell_text(noise or line, "r_number", "exact"), cell_text(line, "sentence", "exact"), f"{line.all_of_full():.3f}",
             cell_text(line, "continuation", "kl", 3), f"{line.line['kv_end_of_full']:.3f}", f"{line.line['kv_peak_of_full']:.3f}"]
    return f"| {' | '.join(cells)} |\n"


def answers_table(found: Evaluation) -> str:
    text = ("| | budget | keyed numbers | random copy | R.Number, whole | sentence facts, whole | all of these, of full | KL | KV of full "
            "| peak of full |\n" + "|---" * 10 + "|\n")
    text += answers_row("full", found.by_global[0], found.noise_global[0])
    for name, lines, noise in (("locret, global", found.by_global, found.noise_global), ("locret, head", found.by_head, found.noise_head)):
        text += "".join(answers_row(name, line, pick(noise, line.line["budget"])) for line in lines[1:])
    text += "".join(answers_row(f"locret, global, KV {name}", line) for name, lines in found.quantised.items() for line in lines[1:])
    text += "".join(answers_row(line.line["policy"], line) for line in found.rivals[1:])
    for context, lines in found.context.items():
        text += "".join(answers_row(f"{line.line['policy']}, {context} tokens", line) for line in lines)
    return text + "".join(answers_row(f"locret, heads of {name}", line) for name, lines in found.controls.items() for line in lines[1:])


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print("usage: locret_bars.py FOLDER RIVALS [SCALE]", file=sys.stderr)
        return 64
    bars = Bars(float(sys.argv[3]) if len(sys.argv) == 4 else 1.0)
    found = Evaluation(Path(sys.argv[1]), Path(sys.argv[2]))
    for check in (check_full, check_budgets, check_together, check_contexts, check_types_and_controls):
        check(bars, found)
    print(answers_table(found))
    print("Each cell: mean [95 % interval] (documents).\n")
    print(bars.table())
    print(f"{len(bars.rows)} bars, {bars.n_short} fall short")
    return 1 if bars.n_short else 0


if __name__ == "__main__":
    sys.exit(main())
