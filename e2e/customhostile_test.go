package e2e

import (
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// hostile are bootstraps that do the wrong thing: what the caller is told, with a message
// that a person can act on.
var hostile = map[string]struct {
	bootstrap string
	kind      string
	words     string
}{
	"leaves at once":        {"exit 0", "Runtime.ExitError", "must call /2018-06-01/runtime/invocation/next in a loop"},
	"leaves a daemon":       {"(setsid sleep 4711 >/dev/null 2>&1 &)\nexit 0", "Runtime.ExitError", "Runtime exited without providing a reason"},
	"kills its parent":      {"kill -9 $PPID\nsleep 4711", "Runtime.ExitError", "signal: killed"},
	"ends with no answer":   {"curl -sS $api/invocation/next >/dev/null\nexit 0", "Runtime.ExitError", "Runtime exited without providing a reason"},
	"polls again and again": {"while :; do curl -sS $api/invocation/next >/dev/null; done", "Sandbox.Timedout", "Task timed out after 1.00 seconds"},
	"answers strangers": {serving + `for i in 1 2 3; do curl -sS $api/invocation/00000000-0000-0000-0000-00000000000$i/response -d '"no"'; done
curl -sS $api/invocation/$id/response -d '"mine"'` + "\n" + over, "", `"mine"`},
	"answers twice":     {serving + "for i in 1 2 3; do curl -sS $api/invocation/$id/response -d $i; done\n" + over, "", "1"},
	"answers too much":  {serving + "head -c 7000000 /dev/zero | tr '\\0' 1 | curl -sS $api/invocation/$id/response --data-binary @-\n" + over, "Function.ResponseSizeTooLarge", "exceeded maximum allowed payload size (6291556 bytes)"},
	"fails at length":   {serving + "head -c 7000000 /dev/zero | tr '\\0' x | curl -sS $api/invocation/$id/error --data-binary @-\n" + over, "Function.Unknown", "xxxx"},
	"fails in no words": {serving + "curl -sS $api/invocation/$id/error -d '{\"errorType\":[1],\"errorMessage\":{}}'\n" + over, "Function.Unknown", "errorType"},
	"breaks off":        {serving + `port=${AWS_LAMBDA_RUNTIME_API##*:}; exec 5<>/dev/tcp/127.0.0.1/$port; printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n4\r\nhalf' $id >&5; exec 5>&-` + "\n" + over, "Runtime.TruncatedResponse", "broke off"},
	"says nonsense":     {serving + `port=${AWS_LAMBDA_RUNTIME_API##*:}; for i in 1 2 3; do exec 5<>/dev/tcp/127.0.0.1/$port; head -c 100000 /dev/urandom >&5; exec 5>&-; done; curl -sS $api/invocation/$id/response -d '"mine"'` + "\n" + over, "", `"mine"`},
	"floods the log":    {serving + "exec timeout 60 yes flood", "Sandbox.Timedout", "Task timed out after 1.00 seconds"},
	"never ends a line": {serving + "exec cat /dev/zero", "Sandbox.Timedout", "Task timed out after 1.00 seconds"},
	"registers a crowd": {`for i in $(seq 30); do curl -sS -o /dev/null -w '%{http_code} ' http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension/register -H "Lambda-Extension-Name: e$i" -d '{}'; done >&2
curl -sS $api/init/error -d '{"errorType":"Shell.Enough","errorMessage":"that was all"}'; exit 1`, "Shell.Enough", "that was all"},
	"is of Windows": {"exit 0", "Runtime.InvalidEntrypoint", "carriage return"},
}

const (
	serving = "head=$(mktemp)\ncurl -sS -D $head -o /dev/null $api/invocation/next\n" +
		"id=$(grep -i Lambda-Runtime-Aws-Request-Id $head | cut -d: -f2 | tr -d ' \\r')\n"
	over = "curl -sS $api/invocation/next >/dev/null"
)

// Whatever a bootstrap does, its caller is told what went wrong, nobody else notices, and
// nothing of it is left.
func TestHostileBootstraps(t *testing.T) {
	for _, isolation := range []string{"auto", "process"} {
		t.Run(isolation, func(t *testing.T) {
			p := up(t, "--isolation", isolation)
			p.deploy(custom("honest", []byte(shellBootstrap), nil))
			for _, timeout := range []string{"10s", "1s"} { // those that burn their time burn others', too
				var all sync.WaitGroup
				for what, c := range hostile {
					if (c.kind == "Sandbox.Timedout") != (timeout == "1s") {
						continue
					}
					name := strings.ReplaceAll(what, " ", "-")
					program := "#!/bin/bash\napi=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime\n" + c.bootstrap + "\n"
					if what == "is of Windows" {
						program = strings.ReplaceAll(program, "\n", "\r\n")
					}
					p.deploy(custom(name, []byte(program), map[string]any{"timeout": timeout}))
					all.Go(func() {
						a := p.invoke(name, "{}")
						if a.failed != (c.kind != "") || a.doc.ErrorType != c.kind || !strings.Contains(a.payload, c.words) {
							t.Errorf("%s: %.300s, want %s %q", what, a.payload, c.kind, c.words)
						}
					})
				}
				all.Wait()
			}
			if a := p.invoke("honest", `{"a":1}`); !strings.Contains(a.payload, `"a":1`) {
				t.Errorf("the honest one: %s", a.payload)
			}
			p.stop()
			eventually(t, patience, "nothing is left", func() bool {
				out, _ := exec.Command("pgrep", "-f", "^sleep 4711|^yes flood").Output()
				return len(out) == 0
			})
		})
	}
}
