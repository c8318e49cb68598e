#!/bin/sh
# Trains what is shipped: LOCRET's heads for the model of record, 128 wide and 64 ("small"), and for a tiny qwen2; KVzap's linear
# surrogate. Fetches the model and the text; some ten minutes on 2 free cores, 4 GB of disk meanwhile. Stopped and run again it
# goes on.
#   scripts/train_builtin_heads.sh               seed 0, into plugins/policy_*/
#   scripts/train_builtin_heads.sh 1 runs/heads  another seed, somewhere else
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
seed=${1:-0}
folder=${2:-plugins}
work=runs/heads-seed-$seed
commit=$(git rev-parse HEAD)

scripts/fetch_model.sh
scripts/fetch_training_text.sh

# POLICY NAME MODEL more options: NAME.safetensors, trained in $work, where its report stays
train() {
  policy=$1 name=$2 model=$3
  shift 3
  weights=$work/$policy/$name.safetensors
  mkdir -p "$work/$policy" "$folder/policy_$policy"
  [ -e "$weights" ] ||
    build/release/bin/tenure train "$policy" -m "$model" --data data/train/*.txt --seed "$seed" --note commit="$commit" \
      -o "$weights" "$@"
  cp "$weights" "$folder/policy_$policy/"
}

train locret smollm2-135m-instruct models/smollm2-135m-instruct.gguf
train locret smollm2-135m-instruct-small models/smollm2-135m-instruct.gguf --recipe small
train locret tiny-qwen2 tests/data/tiny-qwen2-f32.gguf --recipe smoke --set context=384 --set continuation=32 --set d_r=16
train kvzap smollm2-135m-instruct models/smollm2-135m-instruct.gguf --recipe linear
