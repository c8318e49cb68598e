#!/usr/bin/env python3
"""The guides under docs/ speak the truth: their table of rooms is the one that is enforced, every whole pipeline they
show passes `tenure validate`, the commands, error codes and files they name are there, and no command goes unnamed. Reads
TENURE_BUILD_DIR."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import rooms

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
THIRD_PARTY_NAMES = {"toml++/": "toml++", "nlohmann/": "nlohmann-json", "pcre2.h": "PCRE2", "boost/dll": "Boost.DLL",
                     "boost/filesystem": "Boost.Filesystem", "oneapi/tbb": "oneTBB"}


def names_in(cell: str) -> set[str]:
    return {name.strip() for name in cell.split(",") if name.strip()}


def enforced_rooms() -> dict[str, tuple[set[str], set[str], set[str]]]:
    """room -> (rooms, headers of plugin_api, third parties), of the rooms that exist."""
    built = {room for room in rooms.HOST_ROOMS if (ROOT / "host" / room).is_dir()}
    table = {}
    for room in built:
        headers = {header.removeprefix("tenure/") for header in rooms.PLUGIN_API.get(room, set())}
        parties = {name for prefix, name in THIRD_PARTY_NAMES.items() if f"host/{room}" in rooms.THIRD_PARTY[prefix]}
        table[room] = (rooms.HOST_ROOMS[room] & built, {"all"} if "*" in headers else headers, parties)
    return table


def wrong_rooms() -> list[str]:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = text.split("| room | rooms | plugin_api | third party |", 1)[-1].split("\n\n", 1)[0]
    cells = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    written = {row[0].strip(): tuple(names_in(cell) for cell in row[1:4]) for row in cells}
    enforced = enforced_rooms()
    return [f"architecture.md, room {room}: written {written.get(room)}, enforced {enforced.get(room)}"
            for room in sorted(enforced | written) if written.get(room) != enforced.get(room)]


def wrong_pipelines(page: Path) -> list[str]:
    tenure = Path(os.environ["TENURE_BUILD_DIR"]) / "bin/tenure"
    failures = []
    for text in re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        if not text.startswith("tenure = 1"):
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            result = subprocess.run([tenure, "validate", file.name], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            failures.append(f"{page.name}: a pipeline does not validate:\n{text}\n{result.stderr}")
    return failures


def missing_names(page: Path, commands: set[str], error_codes: set[int]) -> list[str]:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text) if not (page.parent / link).exists()]
    verbs = re.findall(r"(?:^|`)(?:build/release/bin/)?tenure ((?:plugin )?[a-z]+)\b", text, re.MULTILINE)
    unknown = sorted({verb for verb in verbs if verb not in commands})
    codes = sorted({code for code in re.findall(r"\bE(\d{4})\b", text) if int(code) not in error_codes})
    return ([f"{page.name} links to {link}, which is not there" for link in links]
            + [f"{page.name} names `tenure {verb}`, which is no command" for verb in unknown]
            + [f"{page.name} names E{code}, which is no error" for code in codes])


def unnamed_commands(commands: set[str]) -> list[str]:
    text = (ROOT / "docs/pipelines.md").read_text(encoding="utf-8")
    return [f"pipelines.md does not name `tenure {name}`" for name in sorted(commands) if f"`tenure {name}" not in text]


def main() -> int:
    listed = (ROOT / "host/cli/commands.cc").read_text(encoding="utf-8")
    commands = {name.replace("_", " ") for name in re.findall(r"\b([a-z_]+)_command\(\)", listed)}
    codes_text = (ROOT / "host/error/codes.h").read_text(encoding="utf-8")
    error_codes = {int(number) for number in re.findall(r"^  \w+ = (\d+),", codes_text, re.MULTILINE)}
    failures = wrong_rooms() + unnamed_commands(commands)
    for page in PAGES:
        failures += wrong_pipelines(page) + missing_names(page, commands, error_codes)
    print(f"{len(PAGES)} pages, {len(failures)} failures")
    print("".join(f"  {line}\n" for line in failures), end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
