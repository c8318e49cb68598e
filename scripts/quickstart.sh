#!/bin/sh
# From a bare Debian 12 to answers: installs packages, builds the release preset, fetches the model, runs
# pipelines/locret.toml and prints its rows. As root or with sudo; under 10 minutes on 2 cores; safe to run again.
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
started=$(date +%s)

step() { printf '\n== %s (%d s)\n' "$*" "$(($(date +%s) - started))" >&2; }

step "packages"
scripts/install_packages.sh

step "build"
cmake --preset release -DTENURE_TESTS=OFF -DTENURE_BENCH=OFF >&2
cmake --build --preset release --parallel "$(nproc)" >&2

step "model"
scripts/fetch_model.sh

step "run pipelines/locret.toml"
tenure=build/release/bin/tenure
run=runs/locret-$(date +%Y%m%d-%H%M%S)
verdict=0
"$tenure" run pipelines/locret.toml --out "$run" || verdict=$?
[ "$verdict" = 0 ] || [ "$verdict" = 100 ] || exit "$verdict"  # 100: a gate was missed; the rows say by what
"$tenure" report "$run" >/dev/null

step "rows"
python3 scripts/print_rows.py "$run/results.jsonl"
cat <<END

The program     $root/$tenure  (--help)
The plugins     $root/build/release/lib/tenure/plugins/
The model       $root/models/smollm2-135m-instruct.gguf
The pipeline    $root/pipelines/locret.toml
This run        $root/$run/  (results.jsonl, summary.json)
Its report      $root/$run/report.html
END
step "done"
exit "$verdict"
