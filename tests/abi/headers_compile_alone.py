#!/usr/bin/env python3
"""headers_compile_alone.py gcc|clang c11|c++20: every header of plugin_api, included first and twice, compiles."""

import shutil
import subprocess
import sys
from pathlib import Path

PLUGIN_API = Path(__file__).resolve().parents[2] / "plugin_api"
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Wpadded", "-Wconversion", "-Wundef", "-Werror"]
UNAVAILABLE = 69  # ctest shows the test as skipped


def main() -> int:
    compiler, standard = sys.argv[1:]
    language = "c++" if standard.startswith("c++") else "c"
    program = {"gcc": {"c": "gcc", "c++": "g++"}, "clang": {"c": "clang", "c++": "clang++"}}[compiler][language]
    if shutil.which(program) is None:
        print(f"{program} is not installed")
        return UNAVAILABLE
    headers = sorted(path.relative_to(PLUGIN_API).as_posix() for path in PLUGIN_API.rglob("*.h"))
    failures = 0
    for header in headers:
        unit = f"#include <{header}>\n#include <{header}>\nint main(void) {{ return 0; }}\n"
        command = [program, "-x", language, f"-std={standard}", *WARNINGS, f"-I{PLUGIN_API}", "-fsyntax-only", "-"]
        result = subprocess.run(command, input=unit, capture_output=True, text=True)
        if result.returncode != 0:
            failures += 1
            print(f"{header} does not compile alone:\n{result.stderr}")
    print(f"{len(headers)} headers, {failures} failures")
    return 1 if failures or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
