#!/usr/bin/env bash
# Installs what Hearth needs and this machine lacks, on Debian and Ubuntu. Says
# nothing when nothing is missing. With --test also what only the tests need, with --bench what
# only the benchmarks need.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

packages=()
missing=()
# need PROGRAM PACKAGE...: the package is wanted when the program is not there.
need() {
  have "$1" && return
  missing+=("$1")
  shift
  packages+=("$@")
}

# go_works: Go fetches the version that go.mod asks for by itself from 1.21 on.
go_works() {
  local version minor
  have go || return 1
  version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
  minor=${version#go1.}
  minor=${minor%%[!0-9]*}
  [ "${minor:-0}" -ge 21 ]
}

need make make
need curl curl ca-certificates
need git git
need runc runc
need node nodejs
need python3 python3
need ip iproute2
need nft nftables
need mkfs.ext4 e2fsprogs
need losetup util-linux mount
if [ "${1:-}" = --test ]; then
  need gcc gcc libc6-dev # for the race detector
  # Clients of Lambda's API, which the tests let loose on a platform.
  need /usr/bin/aws awscli
  if ! /usr/bin/python3 -c 'import boto3' 2>/dev/null; then
    missing+=(boto3)
    packages+=(python3-boto3)
  fi
fi
if [ "${1:-}" = --bench ]; then
  need wrk wrk
  need strace strace
  if ! /usr/bin/python3 -c 'import uvicorn, uvloop, httptools' 2>/dev/null; then
    missing+=(uvicorn)
    packages+=(python3-uvicorn python3-uvloop python3-httptools)
  fi
fi
if ! go_works; then
  missing+=(go)
  packages+=(golang-go)
fi
finish() {
  [ "$1" = --bench ] && "$root/scripts/peers.sh"
  exit 0
}
[ ${#packages[@]} -eq 0 ] && finish "${1:-}"

step "missing: ${missing[*]}"
have apt-get || die "This script knows apt-get only. Please install: ${packages[*]}"
sudo=()
if [ "$(id -u)" != 0 ]; then
  have sudo || die "To install them as root: apt-get install ${packages[*]}"
  sudo=(sudo)
  [ -t 0 ] || sudo=(sudo -n)
fi
apt() {
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null
}
say "apt-get install ${packages[*]}"
apt update || die "apt-get update failed; is there a network?"
apt install -y --no-install-recommends "${packages[@]}" >/dev/null ||
  die "apt-get could not install them; its words are above."
hash -r
go_works || die "Go is missing or older than 1.21, and so is this system's package. Install Go from https://go.dev/dl and try again."
step "installed: ${missing[*]}"
finish "${1:-}"
