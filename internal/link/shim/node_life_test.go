package shim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

func TestNodeContext(t *testing.T) {
	t.Parallel()
	code := js(`exports.handler = async (event, context) => ({
		...context, left: context.getRemainingTimeInMillis(), env: process.env.GREETING, trace: process.env._X_AMZN_TRACE_ID,
		own: ['done', 'succeed', 'fail', 'getRemainingTimeInMillis'].every((name) => typeof { ...context }[name] === 'function'),
		inherited: process.env.AT_START, zone: new Date(0).getHours() })`)
	bothModels(t, func(t *testing.T, o shimtest.Options) {
		o.Files, o.Env, o.ProcessEnv = code, map[string]string{"GREETING": "grüß", "TZ": "Asia/Tokyo"}, []string{"AT_START=kept"}
		in := startNode(t, o)
		call := newNodeCall("req-1", "{}")
		call.Deadline = time.Now().Add(time.Minute)
		call.TraceID, call.ClientContext = "Root=1-2-3", []byte(`{"custom":{"k":"ü"}}`)
		var got map[string]any
		if err := json.Unmarshal([]byte(in.Begin(t, call)().Response), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"functionName": "hello", "functionVersion": "7", "memoryLimitInMB": "256", "awsRequestId": "req-1",
			"invokedFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:hello:live",
			"logGroupName":       "/aws/lambda/hello", "logStreamName": "2026/11/21/[7]i0123456789ab",
			"callbackWaitsForEmptyEventLoop": true, "xRayTraceId": "Root=1-2-3",
			"clientContext": map[string]any{"custom": map[string]any{"k": "ü"}},
			"env":           "grüß", "inherited": "kept", "own": true, "zone": 9.0,
		}
		if !o.Concurrent && o.Slots < 2 {
			want["trace"] = "Root=1-2-3" // one variable cannot hold the ids of many
		}
		left, _ := got["left"].(float64)
		delete(got, "left")
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if left < 50_000 || left > 60_000 {
			t.Errorf("remaining time %v ms; want nearly a minute", left)
		}
	})
}

func newNodeCall(id, payload string) *link.Call {
	call := link.NewCall()
	call.ID, call.Payload = id, []byte(payload)
	return call
}

func TestNodeWaitsForEmptyEventLoop(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: js(`
		let done = 0;
		exports.handler = (event, context, callback) => {
			context.callbackWaitsForEmptyEventLoop = event.wait;
			setTimeout(() => { done++ }, 30);
			const answer = { get done() { return done } };
			callback(null, answer);
		}`)})
	if got := in.Call(t, "r1", `{"wait":true}`); got.Response != `{"done":1}` {
		t.Errorf("waiting: %v; want the answer after the timer", got)
	}
	if got := in.Call(t, "r2", `{"wait":false}`); got.Response != `{"done":1}` {
		t.Errorf("not waiting: %v; want the answer before the second timer", got)
	}
}

func TestNodePromiseThatCannotSettle(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: js(`exports.handler = (event) => new Promise(() => {})`)})
	for _, id := range []string{"r1", "r2"} {
		doc := failure(t, in.Call(t, id, "{}"))
		if doc.ErrorType != "Runtime.NodeJsExit" || !strings.Contains(doc.ErrorMessage, "never settle") {
			t.Errorf("got %+v", doc)
		}
	}
}

// TestNodeInvocationsMayMeet: in a shared instance a promise that only another
// invocation can settle is no failure.
func TestNodeInvocationsMayMeet(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Slots: 2, Files: js(`
		let first;
		exports.handler = () => first ? (first('met'), Promise.resolve('second')) : new Promise((ok) => { first = ok })`)})
	one := in.Begin(t, newNodeCall("r1", "{}"))
	if got := in.Call(t, "r2", "{}"); got.Response != `"second"` {
		t.Errorf("second: %v", got)
	}
	if got := one(); got.Response != `"met"` {
		t.Errorf("first: %v", got)
	}
}

func TestNodeCrashes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, code string
		exit       int
		kind       string // of the failure document; "" when there is none
		log        string
	}{
		{"uncaught in a timer", `() => new Promise(() => { setTimeout(() => { throw new RangeError('late') }, 1) })`, 129, "RangeError", "Uncaught Exception \t{\"errorType\":\"RangeError\""},
		{"uncaught in an emitter", `() => new Promise(() => { const e = new (require('events'))(); setImmediate(() => e.emit('error', new TypeError('event'))) })`, 129, "TypeError", "Uncaught Exception"},
		{"exit", `async () => { process.stdout.write('unfinished'); process.exit(3) }`, 3, "", "unfinished"},
		{"exit 0", `async () => { process.exit() }`, 0, "", ""},
		{"abort", `async () => { console.log('before'); await new Promise((ok) => setTimeout(ok, 20)); process.kill(process.pid, 'SIGKILL') }`, -1, "", "before"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			bothModels(t, func(t *testing.T, o shimtest.Options) {
				o.Files = js(`const crash = ` + test.code + `; exports.handler = (event) => event.crash ? crash() : new Promise(() => { setTimeout(() => {}, 1e6) })`)
				in := startNode(t, o)
				var other func() shimtest.Result
				if o.Slots > 1 {
					other = in.Begin(t, newNodeCall("bystander", "{}"))
				}
				got := in.Call(t, "culprit", `{"crash":true}`)
				if test.kind != "" {
					if !in.Conn.Leaving() {
						t.Error("the next invocation would go to a process that ends")
					}
					if doc := failure(t, got); doc.ErrorType != test.kind {
						t.Errorf("culprit got %+v; want %s", doc, test.kind)
					}
				} else if !errors.Is(got.Err, link.ErrClosed) {
					t.Errorf("culprit: %v; want ErrClosed", got)
				}
				if other != nil {
					if got := other(); !errors.Is(got.Err, link.ErrClosed) {
						t.Errorf("bystander: %v; want ErrClosed", got)
					}
				}
				if code := in.Exit(t); code != test.exit {
					t.Errorf("exit code %d; want %d", code, test.exit)
				}
				if log := in.Log("culprit", 0); !strings.Contains(log, test.log) {
					t.Errorf("log %q lacks %q", log, test.log)
				}
			})
		})
	}
}

func TestNodeUnhandledRejection(t *testing.T) {
	t.Parallel()
	code := js(`exports.handler = async (event) => {
		if (event.lose) Promise.reject(new TypeError('lost'));
		await new Promise((ok) => setTimeout(ok, 100));
		return 'fine' }`)
	t.Run("exclusive", func(t *testing.T) {
		in := startNode(t, shimtest.Options{Files: code})
		doc := failure(t, in.Call(t, "r1", `{"lose":true}`))
		if !in.Conn.Leaving() {
			t.Error("the next invocation would go to a process that ends")
		}
		if doc.ErrorType != "Runtime.UnhandledPromiseRejection" || doc.ErrorMessage != "TypeError: lost" {
			t.Errorf("got %+v", doc)
		}
		if code := in.Exit(t); code != 128 {
			t.Errorf("exit code %d; want 128", code)
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		in := startNode(t, shimtest.Options{Files: code, Slots: 3})
		good := in.Begin(t, newNodeCall("good", "{}"))
		bad := in.Begin(t, newNodeCall("bad", `{"lose":true}`))
		if doc := failure(t, bad()); doc.ErrorType != "Runtime.UnhandledPromiseRejection" {
			t.Errorf("got %+v", doc)
		}
		if got := good(); got.Response != `"fine"` {
			t.Errorf("the other invocation: %v", got)
		}
		if got := in.Call(t, "after", "{}"); got.Response != `"fine"` {
			t.Errorf("the next invocation: %v", got)
		}
		if log := in.Log("bad", 2); !strings.Contains(log, "Unhandled Promise Rejection") {
			t.Errorf("log: %q", log)
		}
	})
}

func TestNodeShutdown(t *testing.T) {
	t.Parallel()
	t.Run("at once without listeners", func(t *testing.T) {
		in := startNode(t, shimtest.Options{Files: js(`setInterval(() => {}, 1000); exports.handler = async () => 1`)})
		in.Conn.Shutdown(time.Minute)
		if code := in.Exit(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("after the listeners", func(t *testing.T) {
		in := startNode(t, shimtest.Options{Files: js(`
			process.on('SIGTERM', async (signal) => { await new Promise((ok) => setTimeout(ok, 20)); console.log('closed after', signal) });
			exports.handler = async () => 1`)})
		in.Conn.Shutdown(time.Minute)
		if code := in.Exit(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		<-in.Conn.Done() // all that it has written has come
		if log := in.Log("", 1); !strings.Contains(log, "closed after SIGTERM") {
			t.Errorf("log: %q", log)
		}
	})
	t.Run("by the end of the grace", func(t *testing.T) {
		in := startNode(t, shimtest.Options{Files: js(`
			process.on('SIGTERM', () => { setInterval(() => {}, 1000) });
			exports.handler = async () => 1`)})
		start := time.Now()
		in.Conn.Shutdown(300 * time.Millisecond)
		if code := in.Exit(t); code != 0 || time.Since(start) > 20*time.Second {
			t.Errorf("exit code %d after %v", code, time.Since(start))
		}
	})
}

func TestNodeCancel(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Slots: 2, Files: js(`exports.handler = async (event) => { await new Promise((ok) => setTimeout(ok, event)); return event }`)})
	call := newNodeCall("slow", "50")
	slow := in.Begin(t, call)
	in.Conn.Cancel(call)
	if got := in.Call(t, "fast", "1"); got.Response != "1" {
		t.Errorf("fast: %v", got)
	}
	if got := slow(); !errors.Is(got.Err, link.ErrCancelled) || got.Response != "" {
		t.Errorf("cancelled: %v", got)
	}
}

// TestNodeKeepsItsDescriptor: what the handler starts does not inherit the link.
func TestNodeKeepsItsDescriptor(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: js(`exports.handler = async () =>
		require('child_process').execFileSync('/bin/ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })`)})
	var listing string
	if err := json.Unmarshal([]byte(in.Call(t, "r1", "{}").Response), &listing); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(listing) {
		name, target, _ := strings.Cut(line, " -> ")
		fd, _ := strconv.Atoi(name[strings.LastIndex(name, " ")+1:])
		if fd > 2 && strings.HasPrefix(target, "socket:") {
			t.Errorf("the child has a socket: %s", line)
		}
	}
}

func TestNodePath(t *testing.T) {
	t.Parallel()
	layer := t.TempDir()
	if err := os.WriteFile(layer+"/layered.js", []byte(`module.exports = 'from the layer'`), 0o644); err != nil {
		t.Fatal(err)
	}
	code := js(`exports.handler = async () => require('layered')`)
	for name, o := range map[string]shimtest.Options{
		"at start": {Files: code, ProcessEnv: []string{"NODE_PATH=" + layer}},
		"in init":  {Files: code, Env: map[string]string{"NODE_PATH": layer}},
	} {
		t.Run(name, func(t *testing.T) {
			in := startNode(t, o)
			if got := in.Call(t, "r1", "{}"); got.Response != `"from the layer"` {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A shim that has lost its connection does not stay: not when it starts without one, nor
// when the owner's code closes it.
func TestNodeWithoutItsDescriptor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := shim.Write(dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), shimtest.Patience)
	defer cancel()
	unusable, err := os.Open(os.DevNull) // not to be written to
	if err != nil {
		t.Fatal(err)
	}
	defer unusable.Close()
	args := shim.Command(shim.Node, node, 256, dir)
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.ExtraFiles = []*os.File{unusable}
	out, err := command.CombinedOutput()
	if command.ProcessState.ExitCode() != 70 || !strings.Contains(string(out), "lost descriptor 3: EBADF") {
		t.Errorf("%v: %s", err, out)
	}
	bothModels(t, func(t *testing.T, o shimtest.Options) {
		o.Files = js(`exports.handler = async () => { require('fs').closeSync(3); return 1 }`)
		in := startNode(t, o)
		call := link.NewCall()
		call.ID, call.Payload = "r", []byte("{}")
		if r := in.Begin(t, call)(); r.Err == nil {
			t.Errorf("it answered without a connection: %v", r)
		}
		if code := in.Exit(t); code != 70 {
			t.Errorf("exit code %d: %s", code, in.Output(t))
		}
	})
}
