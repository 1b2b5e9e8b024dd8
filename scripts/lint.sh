#!/usr/bin/env bash
# make lint: everything that can be found without running anything.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

step gofmt
unformatted=$(git ls-files --cached --others --exclude-standard -- '*.go' | xargs -r gofmt -l)
[ -z "$unformatted" ] || die "Not formatted (gofmt -w them):
$unformatted"

step "go vet"
go vet ./...

step staticcheck
go tool staticcheck ./...

step "scripts, shims, examples"
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
while IFS= read -r file; do
  [ -f "$file" ] || continue # deleted, and not committed yet
  case $file in
  */testdata/*) ;; # may be broken on purpose
  *.sh | .ci/run) bash -n "$file" ;;
  *.js | *.mjs | *.cjs) node --check "$file" ;;
  *.py) PYTHONPYCACHEPREFIX=$cache python3 -m py_compile "$file" ;;
  esac
done < <(git ls-files --cached --others --exclude-standard)
say "lint: ok"
