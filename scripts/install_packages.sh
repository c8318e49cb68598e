#!/bin/sh
# Installs the Debian 12 packages that Tenure needs: to build and run, and with --tests also to test and to bench.
# This is the one place that names them. Needs root or sudo only when something is missing; safe to run again.
set -eu

build="ca-certificates git cmake ninja-build g++ pkg-config python3 python3-pip
  libboost-dev libboost-filesystem-dev libboost-program-options-dev libtbb-dev
  libtomlplusplus-dev nlohmann-json3-dev libpcre2-dev libfmt-dev libopenblas-dev"
# clang: the plugin headers must compile with a second compiler; libclang-rt-14-dev: libFuzzer and the sanitizers. make: the
# benchmark peer's build. strace: faults of write(2).
tests="doctest-dev clang libclang-rt-14-dev binutils make strace"

say() { echo "install_packages: $*" >&2; }
fail() { say "$*"; exit 1; }

case "${1:-}" in
  "") wanted=$build ;;
  --tests) wanted="$build $tests" ;;
  *) echo "usage: scripts/install_packages.sh [--tests]" >&2; exit 64 ;;
esac

command -v dpkg-query >/dev/null || fail "this script is for Debian 12; elsewhere install the equivalents of: $wanted"

missing=
for package in $wanted; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "not root and no sudo; as root run: apt-get install --no-install-recommends$missing"
  as_root="sudo --preserve-env=DEBIAN_FRONTEND,LC_ALL"
fi

say "installing$missing"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# $as_root and $missing are lists of words on purpose.
# shellcheck disable=SC2086
{
  $as_root apt-get update --quiet
  $as_root apt-get install --quiet --yes --no-install-recommends $missing
} >&2
