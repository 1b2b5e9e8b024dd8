# Shared by the scripts: where things are, and how to speak.
# shellcheck shell=bash

# Tools for administrators are not in everybody's PATH; Go's usual place neither.
export PATH="$PATH:/usr/sbin:/sbin:/usr/local/go/bin"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'
else
  bold='' dim='' off=''
fi

say() { printf '%s\n' "$*"; }
step() { printf '%s==> %s%s\n' "$bold" "$*" "$off"; }
note() { printf '%s%s%s\n' "$dim" "$*" "$off"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# have NAME...: are all these programs there?
have() {
  local name
  for name in "$@"; do command -v "$name" >/dev/null 2>&1 || return 1; done
}

# peers_dir: where what Hearth is measured against is installed.
peers_dir() { printf '%s\n' "${HEARTH_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/hearth/bench}"; }
