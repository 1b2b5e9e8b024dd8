#!/usr/bin/env bash
# make bench: measures bin/hearth against what it is compared with and writes the
# figures into docs/benchmarks.md. Some minutes; run nothing else meanwhile.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

[ -x bin/hearth ] || die "bin/hearth is missing: make build"

out=$(mktemp)
trap 'rm -f "$out"' EXIT
go run ./internal/bench/run -binary bin/hearth "$@" >"$out"
page=docs/benchmarks.md
{
  sed '/<!-- figures -->/q' "$page"
  echo
  echo "Measured on $(date -u +%F) at $(git describe --tags --always --dirty 2>/dev/null || echo unknown)."
  echo
  cat "$out"
  sed -n '/<!-- \/figures -->/,$p' "$page" | sed '1s/^/\n/'
} >"$page.new"
mv "$page.new" "$page"
cat "$out"
say "written to $page"
