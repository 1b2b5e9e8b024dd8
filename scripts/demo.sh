#!/usr/bin/env bash
# make demo: a platform, one function under both execution models, ten calls at once.
# make demo-stop: the end of it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

listen=${HEARTH_DEMO_LISTEN:-127.0.0.1:9000}
data=$root/.hearth/demo
pidfile=$data/pid
log=$data/hearth.log
hearth=bin/hearth
export HEARTH_ENDPOINT=http://$listen

# running: the process that an earlier demo started, if it is still the same one.
running() {
  local pid
  [ -r "$pidfile" ] && pid=$(<"$pidfile") && [ -n "$pid" ] || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "up --listen $listen --data $data" || return 1
  printf '%s' "$pid"
}

healthy() { curl -fsS -o /dev/null --max-time 2 "$HEARTH_ENDPOINT/healthz" 2>/dev/null; }

# stop ends the demo's platform and waits until it has cleaned up after itself.
stop() {
  local pid i
  pid=$(running) || return 1
  kill -TERM "$pid"
  for ((i = 0; i < 400; i++)); do
    [ -d "/proc/$pid" ] || break
    sleep 0.1
  done
  [ ! -d "/proc/$pid" ] || die "Process $pid does not stop; see $log"
  rm -f "$pidfile"
}

start() {
  mkdir -p "$data"
  # A session of its own: Ctrl-C here must not reach it.
  setsid "$hearth" up --listen "$listen" --data "$data" >"$log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  local pid=$! i
  for ((i = 0; i < 300; i++)); do
    healthy && return
    if [ ! -d "/proc/$pid" ]; then
      rm -f "$pidfile"
      say "Hearth did not start. Its last words:" >&2
      tail -n 20 "$log" >&2
      grep -q 'cannot listen' "$log" || exit 1
      die "On another port: HEARTH_DEMO_LISTEN=127.0.0.1:9100 make demo"
    fi
    sleep 0.1
  done
  die "Hearth is not ready after 30 seconds. See $log"
}

demo() {
  if running >/dev/null; then
    note "a platform of an earlier demo is running: stopping it, to start the one just built"
    stop
  fi
  local ours=yes
  if healthy; then
    "$hearth" status >/dev/null 2>&1 ||
      die "Something that is not Hearth listens on $listen. Choose another port: HEARTH_DEMO_LISTEN=127.0.0.1:9100 make demo"
    note "a Hearth is already listening on $listen: using it as it is"
    ours=no
  else
    step "hearth up --listen $listen --data .hearth/demo"
    if [ "$(id -u)" != 0 ]; then
      note "You are not root, so functions run as plain processes of yours, without containers around them."
      note "That is fine for a look; for containers: sudo make demo"
    fi
    start
    cat "$log"
  fi

  step "hearth deploy examples/hello"
  "$hearth" deploy examples/hello -o table

  step "hearth burst hello-concurrent hello-exclusive -n 10"
  note "the handler sums ten million numbers, then waits two seconds"
  "$hearth" burst hello-concurrent hello-exclusive -n 10 -o table

  say
  step "The platform is running. Three things to try:"
  say "  bin/hearth invoke hello-concurrent -d '{\"name\":\"you\"}' --log"
  say "  bin/hearth instances"
  say "  curl $HEARTH_ENDPOINT/fn/hello-concurrent/"
  if [ "$listen" != 127.0.0.1:9000 ]; then
    say "first: export HEARTH_ENDPOINT=$HEARTH_ENDPOINT"
  fi
  if [ "$ours" = yes ]; then
    say "To stop it: make demo-stop"
  else
    say "It was running before this demo, and is left to whoever started it."
  fi
}

case "${1:-start}" in
start) demo ;;
stop)
  if stop; then
    say "Stopped. Functions and logs are kept in .hearth/demo; make clean removes them."
  else
    say "No platform of make demo is running on $listen."
  fi
  ;;
*) die "usage: scripts/demo.sh [start|stop]" ;;
esac
