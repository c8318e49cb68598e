#!/bin/sh
# search.sh NAME SECONDS: libFuzzer looks for inputs that break target NAME, from its corpus on. What it finds stays beside the
# fuzz preset's build. Exit 77: that preset is not built (cmake --preset fuzz && cmake --build --preset fuzz).
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
fuzzer=$root/build/fuzz/bin/fuzz_$1
[ -x "$fuzzer" ] || exit 77

found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
# Allocators may fail: a target that asks for too much memory is stopped by rss_limit_mb, with a report.
"$fuzzer" -max_total_time="$2" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -verbosity=1 \
  -artifact_prefix="$root/build/fuzz/found-$1-" "$found" "$root/tests/fuzz/corpus/$1"
