#!/usr/bin/env python3
"""Holds the repository to its architecture: one test a rule of rules.py. Run with a rule's name, or with none for all."""

import sys
from pathlib import Path

import rules

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    tree = rules.Tree(ROOT)
    if len(tree.sources) < 2:
        print(f"no sources under {ROOT}")
        return 1
    wanted = sys.argv[1:] or [rule.__name__ for rule in rules.ALL]
    n_found = 0
    for rule in rules.ALL:
        if rule.__name__ in wanted:
            found = rule(tree)
            n_found += len(found)
            print(f"{rule.__name__}: {len(found)} violations in {len(tree.sources)} files")
            print("".join(f"  {line}\n" for line in found), end="")
    return 1 if n_found or not set(wanted) <= {rule.__name__ for rule in rules.ALL} else 0


if __name__ == "__main__":
    sys.exit(main())
