#!/usr/bin/env python3
"""Every plugin that was built exports one symbol, and brings its manifest along. Reads TENURE_BUILD_DIR."""

import os
import subprocess
import sys
from pathlib import Path

THE_EXPORT = {"tenure_library_v1"}


def exported(library: Path) -> set[str]:
    table = subprocess.run(
        ["nm", "--dynamic", "--defined-only", "--format=posix", library], check=True, capture_output=True, text=True
    )
    return {line.split()[0].split("@")[0] for line in table.stdout.splitlines()}


def main() -> int:
    folder = Path(os.environ["TENURE_BUILD_DIR"]) / "lib/tenure/plugins"
    libraries = sorted(folder.glob("*.so"))
    failures = [] if libraries else [f"no plugin in {folder}"]
    for library in libraries:
        if exported(library) != THE_EXPORT:
            failures.append(f"{library.name} exports {sorted(exported(library))}, not {sorted(THE_EXPORT)}")
        if not library.with_suffix(".toml").is_file():
            failures.append(f"{library.name} has no manifest beside it")
    print(f"{len(libraries)} plugins, {len(failures)} failures")
    print("".join(f"  {line}\n" for line in failures), end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
