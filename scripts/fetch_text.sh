#!/bin/sh
# Fetches the text that `tenure eval` cuts its documents from: the Debian Administrator's Handbook (package
# debian-handbook, GPL-2+ or CC-BY-SA-3.0, 0.9 MB of English prose), to data/eval/debian-handbook.txt, one paragraph a
# line. No shipped weights were trained on it. Run again: a text that is there is kept. Needs apt and python3; no root.
set -eu

package=debian-handbook
measured=11.20220922  # the version that docs/quality.md was measured on

root=$(cd "$(dirname "$0")/.." && pwd)
text=$root/data/eval/$package.txt

say() { echo "fetch_text: $*" >&2; }
fail() { say "$*"; exit 1; }

if [ -f "$text" ]; then
  say "$text is in place"
  exit 0
fi
for program in apt-get dpkg-deb python3; do
  command -v "$program" >/dev/null || fail "$program is missing; this script is for Debian 12. Elsewhere: tenure eval --text FILE"
done
mkdir -p "$root/data/eval" || fail "cannot create $root/data/eval"
work=$(mktemp -d "$root/data/eval/.fetch.XXXXXX") || fail "cannot write into $root/data/eval"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "downloading $package (35 MB)"
(cd "$work" && apt-get download --quiet "$package" >&2) || fail "apt-get could not download $package; try apt-get update first"
version=$(dpkg-deb --field "$work"/"$package"_*.deb Version)
[ "$version" = "$measured" ] || say "version $version, not $measured: figures will differ a little from docs/quality.md"
dpkg-deb --extract "$work"/"$package"_*.deb "$work/package" || fail "cannot unpack $package"

python3 "$root/scripts/package_text.py" "$package" "$work/package" "$work/text" || fail "cannot read the pages of $package"
mv -f "$work/text" "$text"
say "$text is in place: $(wc -w <"$text") words"
