#!/usr/bin/env python3
"""What emulated tiles cannot show: the built backend has tile instructions, on the registers that hardware_tiles.h
means, and each code that configures tiles gives them back. Reads TENURE_BUILD_DIR."""

import os
import re
import subprocess
import sys
from pathlib import Path

# sums, rows, columns
PRODUCTS = {(0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7)}
SUMS = {0, 1, 2, 3}
OPERANDS = {4, 5, 6, 7}


def instructions(library: Path) -> list[str]:
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", library], check=True, capture_output=True, text=True
    ).stdout
    return re.findall(r"^\s*[0-9a-f]+:\s+((?:tile|tdp|ldtilecfg).*)$", listing, re.MULTILINE)


def registers(lines: list[str], name: str) -> set[tuple[int, ...]]:
    """AT&T order has the destination last; here it is first."""
    return {tuple(map(int, reversed(re.findall(r"%tmm(\d)", line)))) for line in lines if line.startswith(name)}


def main() -> int:
    lines = instructions(Path(os.environ["TENURE_BUILD_DIR"]) / "lib/tenure/plugins/libtenure_backend_cpu.so")
    expected = {
        "tdpbf16ps": PRODUCTS,
        "tilezero": {(tile,) for tile in SUMS},
        "tileloadd": {(tile,) for tile in SUMS | OPERANDS},
        "tilestored": {(tile,) for tile in SUMS},
        "ldtilecfg": {()},
        "tilerelease": {()},
    }
    failures = [
        f"{name} on {sorted(registers(lines, name))}, not {sorted(want)}"
        for name, want in expected.items()
        if registers(lines, name) != want
    ]
    configured = sum(line.startswith("ldtilecfg") for line in lines)
    released = sum(line.startswith("tilerelease") for line in lines)
    if released < configured:
        failures.append(f"{configured} configurations, {released} releases")
    print(f"{len(lines)} tile instructions, {len(failures)} failures")
    print("".join(f"  {line}\n" for line in failures), end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
