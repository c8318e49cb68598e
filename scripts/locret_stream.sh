#!/bin/sh
# A pass key in streams of 32k tokens, four times the model's context, at nine depths; a cache of 1,024 slots a KV head, chosen by
# LOCRET's heads or as the last ones while the stream comes in. Prints a line for each: found or not, and the cache's peak. Fails
# (100) where a peak passes budget + chunk and a run of pages a KV head, which pipelines/locret_stream.toml has as gates.
# Some eight minutes on 2 idle cores; stopped and run again it goes on.
set -eu
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
folder=runs/locret-stream
tenure=build/release/bin/tenure
model=models/smollm2-135m-instruct.gguf

scripts/fetch_model.sh
scripts/fetch_text.sh
mkdir -p "$folder"
python3 scripts/passkey_streams.py make data/eval/debian-handbook.txt 32768 "$tenure" "$model" >"$folder/streams.jsonl"
verdict=0
"$tenure" run pipelines/locret_stream.toml --out "$folder/run" >&2 || verdict=$?
[ "$verdict" = 0 ] || [ "$verdict" = 100 ] || exit "$verdict"
python3 scripts/passkey_streams.py show "$folder/run"
exit "$verdict"
