#!/usr/bin/env python3
"""expect_rule.py TENURE LIBRARY RULE: `tenure plugin check` fails exactly this rule of the library; "-": none."""

import json
import subprocess
import sys


def main() -> int:
    tenure, library, rule = sys.argv[1:]
    hangs = library.endswith("hangs.so")
    command = [tenure, "plugin", "check", library, "--json", "--time-limit", "10" if hangs else "120"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        print(done.stderr)
        return 1
    report = json.loads(done.stdout)
    failed = {check["rule"] for check in report["checks"] if check["outcome"] not in ("ok", "skipped")}
    expected = set() if rule == "-" else {rule}
    if failed == expected and done.returncode == (100 if expected else 0) and report["exit_code"] == done.returncode:
        return 0
    print(f"expected {sorted(expected)}, exit code {done.returncode}")
    for check in report["checks"]:
        print(f"  {check['outcome']:8} {check['rule']:16} {check['text']}")
    print(done.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
