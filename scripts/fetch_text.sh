#!/bin/sh
# Fetches the text that `tenure eval` cuts its documents from: the Debian Administrator's Handbook (package
# debian-handbook, GPL-2+ or CC-BY-SA-3.0, 0.9 MB of English prose), to data/eval/debian-handbook.txt, one paragraph a
# line. No shipped weights were trained on it. Run again: a text that is there is kept.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
texts=$root/data/eval
differs="figures of docs/quality.md"
. "$root/scripts/packaged_text.sh"

fetch debian-handbook debian-handbook 11.20220922 130000 debian
