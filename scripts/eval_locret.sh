#!/bin/sh
# Measures what LOCRET's heads keep of the model of record's answers, beside policies without training and two controls, prints
# a table of answers and every bar beside its value, and fails where one falls short. About an hour on 2 idle cores.
#   scripts/eval_locret.sh                          the shipped heads; the tables go into docs/quality.md too
#   scripts/eval_locret.sh HEADS [SCALE]            a file of heads; SCALE 0.95 lowers the bars for heads trained on less
#   N_DOCUMENTS=4 N_NOISE=8 scripts/eval_locret.sh …   fewer documents: quicker, and intervals too wide to decide by
# A part that an earlier call measured under the same options is kept, the rivals' for all heads; remove runs/eval-locret to
# measure all again.
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
heads=${1:-builtin}
scale=${2:-1}
n_documents=${N_DOCUMENTS:-16}
n_noise=${N_NOISE:-64}
n_long=$(((n_documents + 1) / 2))
page=docs/quality.md
tenure=build/release/bin/tenure
model=models/smollm2-135m-instruct.gguf
library=build/release/lib/tenure/plugins/libtenure_policy_locret.so
shipped=build/release/lib/tenure/plugins/locret/smollm2-135m-instruct.safetensors

say() { echo "eval_locret: $*" >&2; }

scripts/fetch_model.sh
scripts/fetch_text.sh
file=$shipped
[ "$heads" = builtin ] || file=$heads
[ -f "$file" ] || { say "there are no heads in $file; scripts/train_builtin_heads.sh makes some"; exit 1; }
[ "$heads" = builtin ] || heads=$(realpath "$heads")
key=$(cat "$file" "$library" | sha256sum | cut -c 1-12)
out=runs/eval-locret/$key-$n_documents-$n_noise
any=runs/eval-locret/any-$n_documents
mkdir -p "$out" "$any"

# Heads that saw nothing but text going on, from few documents: what retrieval needs is not in them.
control=$any/continuation.safetensors
if [ ! -f "$control" ]; then
  scripts/fetch_training_text.sh
  "$tenure" train locret -m "$model" --data data/train/*.txt --recipe smoke --set facts=0 --set sentence_share=0 \
    --set random_runs=0 --set repeats=0 -o "$control" >&2
fi
python3 scripts/random_heads.py "$file" "$out/random.safetensors"

# Every policy decides at chunks of 256 tokens and keeps 4 sinks, a quarter of its budget between chunks, and 16 last tokens.
# folder, part, options of `tenure eval`
measure() {
  part=$1/$2
  shift 2
  if [ -f "$part/eval.json" ]; then
    say "$part was measured before"
    return
  fi
  say "$part"
  "$tenure" eval -m "$model" --chunk 256 --set policy.n_sink=4 --set 'policy.n_stabilizers="1/4"' --set policy.n_local=16 \
    --set policy.positions=original --seed 0 --out "$part.new" "$@" >&2
  rm -rf "${part:?}"
  mv "$part.new" "$part"
}
measure_answers() { measure "$@" -n "$n_documents" --sentences "$n_documents"; }
measure_noise() { measure "$@" -n 0 --sentences 0 --noise "$n_noise"; }

weights="policy.locret.weights=\"$heads\""
global="policy.locret.budget_scope=global"
head="policy.locret.budget_scope=head"
# Policies without training know decisions at the end of prefill and in decode, too.
measure_answers "$any" rivals --policy h2o,knorm,keydiff,snapkv,tova --budget 1/4,1/8 --set 'policy.when=["chunk"]'
measure_answers "$out" global --policy locret --budget 1/4,1/8,1/16 --set "$weights" --set "$global"
measure_answers "$out" head --policy locret --budget 1/4,1/8 --set "$weights" --set "$head"
measure_noise "$out" noise-global --policy locret --budget 1/4,1/8,1/16 --set "$weights" --set "$global"
measure_noise "$out" noise-head --policy locret --budget 1/4,1/8 --set "$weights" --set "$head"
for context in 2048 4096; do
  measure "$out" "context-$context" --policy locret --budget 1/8 --set "$weights" --set "$global" --suite retrieval \
    --context "$context" -n "$n_long" --noise 0 --sentences 0
done
for type in q8_0 q4; do
  measure_answers "$out" "global-$type" --policy locret --budget 1/8 --set "$weights" --set "$global" --set "policy.kv_type=$type"
done
for control in "$any/continuation" "$out/random"; do
  measure_answers "$out" "control-${control##*/}" --policy locret --budget 1/8 --set "$global" \
    --set "policy.locret.weights=\"$root/$control.safetensors\""
done

short=0
python3 scripts/locret_bars.py "$out" "$any" "$scale" >"$out/tables.md" || short=$?
cat "$out/tables.md"
[ "$heads" = builtin ] || exit "$short"

python3 - "$page" "$out/tables.md" <<'PYTHON'
import pathlib
import sys

BEGIN, END = "<!-- scripts/eval_locret.sh writes from here -->\n", "<!-- scripts/eval_locret.sh writes to here -->\n"
page, tables = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
before, rest = page.read_text(encoding="utf-8").split(BEGIN)
page.write_text(before + BEGIN + "\n" + tables + "\n" + END + rest.split(END)[1], encoding="utf-8")
PYTHON
say "$page holds the new tables, $root/$out every document's values"
exit "$short"
