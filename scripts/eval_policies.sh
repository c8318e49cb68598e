#!/bin/sh
# Measures what policies cost the model of record in answers and puts the table into docs/quality.md, between its two
# marks. Needs a built program; fetches the model and the text. Under 2 minutes a policy on 2 busy cores.
#   scripts/eval_policies.sh                     the policies of the table
#   scripts/eval_policies.sh h2o random -- -n 4  others, and more options of `tenure eval`; then nothing is written to docs/
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
page=docs/quality.md
# LOCRET's set-up, which suits all policies that decide at chunks: 4 sinks, a quarter of the budget kept between chunks, and
# 16 last tokens at the end; positions as they are, since 1,024 tokens fit the model's context.
policies="streaming_llm h2o tova snapkv pyramidkv adakv knorm keydiff lagkv expected_attention random"
budgets=1/2,1/4,1/8

to_page=yes
if [ $# -gt 0 ]; then
  to_page=no
  policies=
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    policies="$policies $1"
    shift
  done
  [ $# -eq 0 ] || shift
fi

scripts/fetch_model.sh
scripts/fetch_text.sh
out=runs/eval-policies
# shellcheck disable=SC2086
build/release/bin/tenure eval -m models/smollm2-135m-instruct.gguf --policy "$(echo $policies | tr ' ' ,)" --budget "$budgets" \
  --chunk 256 --set 'policy.when=["chunk"]' --set policy.positions=original --set policy.n_sink=4 \
  --set 'policy.n_stabilizers="1/4"' --set policy.n_local=16 --set 'policy.adakv.inner="snapkv"' --seed 0 --out "$out" "$@"
[ "$to_page" = yes ] || exit 0

python3 - "$page" "$out/eval.md" <<'PYTHON'
import pathlib
import sys

BEGIN, END = "<!-- scripts/eval_policies.sh writes from here -->\n", "<!-- to here -->\n"
page, table = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
before, rest = page.read_text(encoding="utf-8").split(BEGIN)
page.write_text(before + BEGIN + "\n" + table + "\n" + END + rest.split(END)[1], encoding="utf-8")
PYTHON
echo "eval_policies: $page holds the new table, $root/$out every document's values" >&2
