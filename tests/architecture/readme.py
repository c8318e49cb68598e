#!/usr/bin/env python3
"""README.md speaks the truth: its TOML is part of a pipeline that the tests run, and what it names is there."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pipelines = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "pipelines").glob("*.toml"))]
    examples = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    failures = [f"no pipeline holds this example:\n{text}" for text in examples
                if not any(all(part in pipeline for part in text.strip().split("\n\n")) for pipeline in pipelines)]
    if not examples:
        failures.append("README.md shows no pipeline")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    scripts = re.findall(r"^(scripts/\S+)", readme, re.MULTILINE)
    folders = re.findall(r"`((?:plugin_api|plugins|host|pipelines|tests|bench|scripts|docs)/[\w./]*)`", readme)
    failures += [f"README.md names {name}, which is not there" for name in [*links, *scripts, *folders]
                 if not (ROOT / name).exists()]
    print(f"{len(examples)} examples, {len(links) + len(scripts) + len(folders)} names, {len(failures)} failures")
    print("".join(f"  {line}\n" for line in failures), end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
