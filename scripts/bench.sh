#!/usr/bin/env bash
# make bench: measures bin/hearth against what it is compared with, prints the table of aims
# with verdicts, and writes docs/benchmarks.json, docs/benchmarks.svg (and .png, where
# rsvg-convert is there), and the figures in docs/benchmarks.md and README.md. Some minutes;
# run nothing else meanwhile. With --quick: the first rows in less than a minute, and nothing
# is written. With --render: the pages anew from docs/benchmarks.json, without measuring; and
# with --render -only cold,update, for example, these parts are measured anew.
# Other arguments go to the program: scripts/bench.sh -only cold -rounds 5
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

args=(-peers "$(peers_dir)" -version "$(git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unknown)")
case ${1:-} in
--quick)
  shift
  args+=(-quick)
  ;;
--render)
  shift
  args+=(-from docs/benchmarks.json -write .)
  ;;
'')
  args+=(-write . -async-events "${ASYNC_EVENTS:-1000000}")
  ;;
esac
[ -x bin/hearth ] || die "bin/hearth is missing: make build"

go run ./internal/bench/run -binary bin/hearth "${args[@]}" "$@"
if [[ ${args[*]} == *-write* ]]; then
  if have rsvg-convert; then rsvg-convert docs/benchmarks.svg -o docs/benchmarks.png; fi
  say "written to docs/benchmarks.{json,svg,md} and README.md"
fi
