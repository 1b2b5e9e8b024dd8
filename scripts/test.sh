#!/usr/bin/env bash
# make test: all packages, those with the most goroutines under the race detector,
# then the platform end to end.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"
umask 022 # what the tests write, users of sandboxes have to read

if [ "$(id -u)" != 0 ]; then
  note "You are not root: tests of containers, control groups and networks are skipped. All of it: sudo make test"
fi

# Where goroutines meet. The others would only be slower.
raced='^hearth/internal/(api|async|cli|daemon|events|invoke|link|logs|pool|worker)$'
mapfile -t packages < <(go list ./... | grep -v '^hearth/e2e')
mapfile -t race < <(printf '%s\n' "${packages[@]}" | grep -E "$raced" || true)
mapfile -t plain < <(printf '%s\n' "${packages[@]}" | grep -vE "$raced")

step "go test: ${#plain[@]} packages"
go test -timeout 10m "${plain[@]}"

if have gcc && [ "$(go env CGO_ENABLED)" = 1 ]; then
  step "go test -race: ${#race[@]} packages"
  go test -race -timeout 12m "${race[@]}"
  # Inflating bombs and restarting stores under the race detector takes minutes and
  # finds no races: of these two only what runs side by side.
  go test -race -timeout 8m -run 'Get|Put|Concurrent|Trim|Killed' hearth/internal/code
  go test -race -short -timeout 8m hearth/internal/registry
  # These run without it as well, because they read and write another way then.
  go test -race -timeout 5m hearth/internal/loop hearth/internal/api/front
  # Under the race detector allocations mean nothing.
  go test -timeout 5m -run Alloc hearth/internal/{api,invoke,link,logs,worker}
else
  note "no C compiler, so no race detector"
  step "go test: ${#race[@]} packages"
  go test -timeout 12m "${race[@]}"
fi

if [ -d e2e ] && [ -n "$(go list ./e2e/... 2>/dev/null)" ]; then
  step "end to end"
  go test -count=1 -timeout 20m ./e2e/...
fi
say "test: ok"
