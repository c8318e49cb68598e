#!/bin/sh
# Makes .cache/python, the environment of the oracles in tests/golden/, and prints its interpreter. Building and testing do
# not need it: what the oracles made is in tests/data/. torch's wheel brings CUDA libraries along: about 3 GB to download.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
environment=$root/.cache/python
# Pinned: a golden file that changes must be a change of ours.
packages="torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3 numpy==2.4.6 scipy==1.17.0 jinja2==3.1.6 sentencepiece==0.2.3 protobuf==7.36.2"

if [ "$(cat "$environment/packages" 2>/dev/null)" != "$packages" ]; then
  python3 -m venv "$environment" || { echo "python_env: cannot make $environment; install python3-venv" >&2; exit 1; }
  # shellcheck disable=SC2086
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check $packages >&2
  echo "$packages" > "$environment/packages"
fi
echo "$environment/bin/python"
