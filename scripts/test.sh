#!/bin/sh
# Installs what is missing, builds the release preset with its tests and benchmarks and the fuzz preset's targets, fetches
# the model, and runs every test that is neither slow nor in need of a GPU. The last lines are ctest's own summary.
#   scripts/test.sh [ctest options]      for instance: scripts/test.sh -R architecture
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

scripts/install_packages.sh --tests
cmake --preset release -DTENURE_TESTS=ON -DTENURE_BENCH=ON >&2
cmake --build --preset release --parallel "$(nproc)" >&2
cmake --preset fuzz >&2
cmake --build --preset fuzz --parallel "$(nproc)" >&2
scripts/fetch_model.sh
exec ctest --preset release --parallel "$(nproc)" "$@"
