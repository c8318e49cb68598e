#!/bin/sh
# Trains LOCRET's heads for the model of record, as the shipped ones were: d_R 128, and `small` with 64. Fetches the model and
# the text; needs a built program. About 5 minutes each on 2 idle cores; run again after a kill it goes on.
#   scripts/train_builtin_heads.sh [SEED [FOLDER]]      seed 0, into runs/heads-SEED/
# scripts/eval_locret.sh FOLDER/smollm2-135m-instruct.safetensors says whether they meet the bars.
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
seed=${1:-0}
out=${2:-runs/heads-$seed}
model=smollm2-135m-instruct

scripts/fetch_model.sh
scripts/fetch_training_text.sh
mkdir -p "$out"
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
for recipe in default small; do
  heads=$out/$model.safetensors
  [ "$recipe" = default ] || heads=$out/$model-$recipe.safetensors
  build/release/bin/tenure train locret -m "models/$model.gguf" --data data/train/*.txt --recipe "$recipe" --seed "$seed" \
    --note "commit=$commit" -o "$heads"
done
