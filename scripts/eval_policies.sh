#!/bin/sh
# Measures what policies cost the model of record in answers and puts the tables into docs/quality.md, between its marks:
# all instruments at 1,024 tokens, and a short table of 2,048 and 4,096. Needs a built program; fetches the model and the
# text. Some forty minutes on 2 free cores, ten of them for the first table.
#   scripts/eval_policies.sh                     the policies of the tables
#   scripts/eval_policies.sh h2o random -- -n 4  others, and more options of `tenure eval`; then nothing is written to docs/
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
page=docs/quality.md
# LOCRET's set-up, which suits all policies that decide at chunks: 4 sinks, a quarter of the budget kept between chunks, and
# 16 last tokens at the end; positions as they are, since 4,096 tokens fit the model's context.
policies="streaming_llm h2o tova snapkv pyramidkv adakv knorm keydiff lagkv expected_attention random"

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
# evaluate NAME BUDGETS [OPTION...]: into $out/NAME
evaluate() {
  name=$1 budgets=$2
  shift 2
  build/release/bin/tenure eval -m models/smollm2-135m-instruct.gguf --policy "$(echo "$policies" | xargs | tr ' ' ,)" \
    --budget "$budgets" --chunk 256 --set 'policy.when=["chunk"]' --set policy.positions=original --set policy.n_sink=4 \
    --set 'policy.n_stabilizers="1/4"' --set policy.n_local=16 --set 'policy.adakv.inner="snapkv"' --seed 0 \
    --out "$out/$name" "$@"
}
evaluate 1024 1/2,1/4,1/8 "$@"
[ "$to_page" = yes ] || exit 0
evaluate 2048 1/4,1/8 --context 2048
evaluate 4096 1/4,1/8 --context 4096 --documents 6

python3 - "$page" "$out" 2048 4096 <<'PYTHON'
import json
import pathlib
import sys

BEGIN, END = "<!-- scripts/eval_policies.sh writes from here -->\n", "<!-- to here -->\n"
KEYED, KL = ("keyed", "accuracy", 2), ("continuation", "kl", 3)  # and how many decimals


def cell(line, figure):
    instrument, name, digits = figure
    if not line["instruments"][instrument]["informative"]:
        return "not informative"
    value = line["instruments"][instrument][name]
    return f"{value['mean']:.{digits}f} [{value['ci95'][0]:.{digits}f}, {value['ci95'][1]:.{digits}f}]"


def mib(line):
    return f"{sum(d['kv_end_bytes'] for d in line['documents']) / len(line['documents']) / 2**20:.1f}"


def longer_table(runs):
    contexts = [f"{run['context'] // 1024}k" for run in runs]
    titles = [f"{what}, {context}" for what in ("keyed numbers", "KL to full", "KV MiB") for context in contexts]
    text = "| policy | budget | " + " | ".join(titles) + " |\n" + "|---" * (2 + len(titles)) + "|\n"
    for lines in zip(*(run["lines"] for run in runs), strict=True):
        cells = [cell(line, figure) for figure in (KEYED, KL) for line in lines] + [mib(line) for line in lines]
        text += f"| {lines[0]['policy']} | {lines[0]['budget'] or '-'} | " + " | ".join(cells) + " |\n"
    n = ", ".join(f"n = {run['lines'][0]['instruments']['keyed']['accuracy']['n']} at {at}" for run, at in zip(runs, contexts, strict=True))
    return text + f"\nDigits right of the keyed numbers [95 %], KL of the text that follows a document [95 %]; {n}; seed 0.\n"


page, out, *longer = sys.argv[1:]
page = pathlib.Path(page)
tables = [pathlib.Path(out, "1024", "eval.md").read_text(encoding="utf-8"),
          longer_table([json.loads(pathlib.Path(out, context, "eval.json").read_text(encoding="utf-8")) for context in longer])]
parts = page.read_text(encoding="utf-8").split(BEGIN)
for i, table in enumerate(tables, 1):
    parts[i] = "\n" + table + "\n" + END + parts[i].split(END)[1]
page.write_text(BEGIN.join(parts), encoding="utf-8")
PYTHON
echo "eval_policies: $page holds the new tables, $root/$out every document's values" >&2
