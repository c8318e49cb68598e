#!/bin/sh
# Trains the heads that are shipped: LOCRET's for the model of record, 128 wide and 64 ("small"), and those of a tiny qwen2 for
# the tests. Fetches the model and the text; some ten minutes on 2 free cores, 4 GB of disk meanwhile. Stopped and run again it
# goes on.
#   scripts/train_builtin_heads.sh               seed 0, into plugins/policy_locret/
#   scripts/train_builtin_heads.sh 1 runs/heads  another seed, somewhere else
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
seed=${1:-0}
folder=${2:-plugins/policy_locret}
work=runs/heads-seed-$seed
commit=$(git rev-parse HEAD)

scripts/fetch_model.sh
scripts/fetch_training_text.sh
mkdir -p "$folder" "$work"

# NAME MODEL more options: NAME.safetensors, trained in $work, where its report stays
train() {
  name=$1 model=$2
  shift 2
  [ -e "$work/$name.safetensors" ] ||
    build/release/bin/tenure train locret -m "$model" --data data/train/*.txt --seed "$seed" --note commit="$commit" \
      -o "$work/$name.safetensors" "$@"
  cp "$work/$name.safetensors" "$folder/"
}

train smollm2-135m-instruct models/smollm2-135m-instruct.gguf
train smollm2-135m-instruct-small models/smollm2-135m-instruct.gguf --recipe small
train tiny-qwen2 tests/data/tiny-qwen2-f32.gguf --recipe smoke --set context=384 --set continuation=32 --set d_r=16
