#!/usr/bin/env bash
# make lint: everything that can be found without running anything.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

# files PATTERN...: what is in the repository or about to be. The tree may belong to
# somebody else, as in a CI's container.
files() { git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@"; }

step gofmt
unformatted=$(files '*.go' | while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\0' "$file"; done | xargs -0 -r gofmt -l)
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
done < <(files)
say "lint: ok"
