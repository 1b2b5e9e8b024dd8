#!/usr/bin/env bash
# make profile: says where the time of a request through bin/hearth goes, and writes it to
# docs/performance.md. A minute and a half; run nothing else meanwhile.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

[ -x bin/hearth ] || die "bin/hearth is missing: make build"
go run ./internal/bench/profile -binary bin/hearth -write docs/performance.md \
  -version "$(git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unknown)" "$@"
say "written to docs/performance.md"
