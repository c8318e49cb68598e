#!/usr/bin/env python3
"""Prints the rows of a results.jsonl as one readable block a request: a line per stage, then its text."""

import json
import sys
import textwrap


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: print_rows.py RUN/results.jsonl", file=sys.stderr)
        return 64
    with open(sys.argv[1], encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    by_id: dict[str, list[dict]] = {}
    for row in rows:
        by_id.setdefault(row["id"], []).append(row)
    for request in sorted(by_id):
        print(f"\n{request}")
        for row in sorted(by_id[request], key=lambda row: (row["stage"], row.get("cell") or "", row.get("sample") or 0)):
            print(f"  {heading(row)}")
            if text := body(row):
                print(textwrap.fill(text, width=100, initial_indent="    ", subsequent_indent="    "))
    return 0


def heading(row: dict) -> str:
    if row.get("compare"):
        return f"{row['stage']:<14} " + "  ".join(f"{name} {value:.2f}" for name, value in row["compare"].items() if value is not None)
    cache, events = row.get("kv") or {}, row.get("events") or {}
    peak, end = ((cache.get(key) or 0) / 2**20 for key in ("peak_bytes", "end_bytes"))
    verdict = {True: "right", False: "wrong"}.get(row.get("exact_match"), row["status"])
    return f"{row['stage']:<14} {verdict:<7} peak {peak:6.2f} MiB   end {end:6.2f} MiB   released {events.get('released') or 0:>8}"


def body(row: dict) -> str:
    if row["status"] != "ok":
        error = row.get("error") or {}
        return f"{error.get('code', '')}: {error.get('message', '')}"
    return "" if row.get("compare") else " ".join((row.get("text") or "").split()) or "(no text)"


if __name__ == "__main__":
    sys.exit(main())
