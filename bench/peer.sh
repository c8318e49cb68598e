#!/usr/bin/env bash
# Gets and builds the peer we measure ourselves against: llama.cpp, as vendored by the source package of
# llama-cpp-python on PyPI, pinned by version and sha256. Everything lands in bench/peer/ (ignored by git);
# the requantised models land beside the fetched one in models/. Each step is skipped when its result is there.
#
#   bench/peer.sh            fetch, build (about 12 minutes on 2 cores), requantise
#   bench/peer.sh --version  what the comparison should name: commit, package, compiler, flags
set -euo pipefail

readonly package=llama_cpp_python version=0.3.36
readonly sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
readonly commit=0c1e57098
readonly tools=(llama-bench llama-batched-bench llama-perplexity llama-quantize llama-completion)
readonly quantisations=(Q8_0 Q4_0 F16 Q4_K_M Q6_K)
# No tests, server or web page; -DLLAMA_USE_PREBUILT_UI=OFF stops a download attempt at build time.
readonly flags=(-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF
  -DLLAMA_BUILD_NUMBER=1 -DLLAMA_BUILD_COMMIT="$commit")

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peer="$root/bench/peer"
source_dir="$peer/$package-$version/vendor/llama.cpp"
model="$root/models/smollm2-135m-instruct.gguf"

say() { printf 'peer: %s\n' "$*" >&2; }

fetch_source() {
  local archive="$peer/$package-$version.tar.gz"
  if [ ! -f "$archive" ]; then
    say "downloading $package $version"
    # --no-binary names the one package: ":all:" would also build its build tools (cmake, ninja) from source.
    python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python "llama-cpp-python==$version" -d "$peer"
  fi
  echo "$sha256  $archive" | sha256sum --check --quiet -
  [ -d "$source_dir" ] || tar -xzf "$archive" -C "$peer"
}

build() {
  local tool missing=()
  for tool in "${tools[@]}"; do
    [ -x "$peer/build/bin/$tool" ] || missing+=("$tool")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "building ${missing[*]} (about 12 minutes on 2 cores)"
  # Makefiles, not Ninja: Ninja loops ("manifest still dirty") when the source lies behind a symbolic link.
  cmake -G "Unix Makefiles" -S "$source_dir" -B "$peer/build" "${flags[@]}" >"$peer/configure.log" 2>&1
  cmake --build "$peer/build" --parallel "$(nproc)" --target "${missing[@]}" >"$peer/build.log" 2>&1
}

requantise() {
  local type target
  [ -f "$model" ] || "$root/scripts/fetch_model.sh"
  for type in "${quantisations[@]}"; do
    target="${model%.gguf}.$type.gguf"
    [ -f "$target" ] && continue
    say "requantising to $type"
    "$peer/build/bin/llama-quantize" --allow-requantize "$model" "$target.part" "$type" "$(nproc)" \
      >"$peer/quantise-$type.log" 2>&1
    mv "$target.part" "$target"
  done
}

describe() {
  printf 'llama.cpp %s (llama-cpp-python %s), %s, %s\n' "$commit" "$version" \
    "$(gcc --version | head -n 1)" "${flags[*]}"
}

case "${1:-}" in
  --version) describe ;;
  "")
    mkdir -p "$peer"
    fetch_source
    build
    requantise
    say "ready: $peer/build/bin, $(dirname "$model")"
    ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 64
    ;;
esac
