#!/usr/bin/env bash
# Installs what Hearth is measured against into a cache outside of the repository, and says
# nothing when it is there already. A peer that cannot be had is left out with a word: the
# benchmark does without it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(peers_dir)
mkdir -p "$dir/npm"

# The packages, at the versions of package.json.
if ! cmp -s "$root/internal/bench/peers/package.json" "$dir/npm/package.json" || [ ! -d "$dir/npm/node_modules" ]; then
  if have npm; then
    step "peers from npm, into $dir/npm"
    cp "$root/internal/bench/peers/package.json" "$dir/npm/package.json"
    (cd "$dir/npm" && npm install --no-audit --no-fund --loglevel=error </dev/null) ||
      { rm -f "$dir/npm/package.json"; say "npm could not install them; the benchmark does without."; }
  else
    say "npm is missing (apt-get install npm): the benchmark does without functions-framework, workerd and serverless-offline."
  fi
fi

# nginx is unpacked and not installed: a package that is installed starts a server.
if [ ! -x "$dir/nginx/usr/sbin/nginx" ]; then
  step "nginx, into $dir/nginx"
  deb=$(mktemp -d)
  trap 'rm -rf "$deb"' EXIT
  if have apt-get dpkg && (cd "$deb" && apt-get -qq download nginx 2>/dev/null) && dpkg -x "$deb"/nginx_*.deb "$dir/nginx"; then
    "$dir/nginx/usr/sbin/nginx" -v 2>/dev/null || say "nginx lacks a library; the benchmark does without it."
  else
    say "nginx could not be had; the benchmark does without it."
  fi
fi
