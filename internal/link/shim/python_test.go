package shim_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

// python is the interpreter; another can be tried by HEARTH_TEST_PYTHON.
var python = cmp.Or(os.Getenv("HEARTH_TEST_PYTHON"), "/usr/bin/python3")

func startPython(t testing.TB, o shimtest.Options) *shimtest.Instance {
	t.Helper()
	o.Language, o.Interpreter = shim.Python, python
	if o.Handler == "" {
		o.Handler = "app.handler"
	}
	return shimtest.Start(t, o)
}

// ways are the ways in which the shim runs handlers; "def" in a test's code becomes
// what each needs.
var ways = []struct {
	name       string
	async      bool
	concurrent bool
}{
	{"exclusive", false, false},
	{"exclusive async", true, false},
	{"threads", false, true},
	{"tasks", true, true},
}

// inEveryWay runs a test with app.py in each way: DEF, SLEEP(s) and RUN stand for what
// differs between def and async def.
func inEveryWay(t *testing.T, code string, test func(t *testing.T, in *shimtest.Instance)) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			o := shimtest.Options{Files: map[string]string{"app.py": pythonFor(code, way.async)}}
			if way.concurrent {
				o.Slots = 10
			}
			in := startPython(t, o)
			if in.InitErr != nil {
				t.Fatal(in.InitErr)
			}
			test(t, in)
		})
	}
}

func pythonFor(code string, async bool) string {
	if async {
		return "import asyncio\n" + strings.NewReplacer("DEF", "async def", "SLEEP", "await asyncio.sleep").Replace(code)
	}
	return "import time\n" + strings.NewReplacer("DEF", "def", "SLEEP", "time.sleep").Replace(code)
}

// wantJSON compares JSON by value.
func wantJSON(t *testing.T, got shimtest.Result, want string) {
	t.Helper()
	if got.Err != nil || got.Failed {
		t.Fatalf("%v; want the response %s", got, want)
	}
	var a, b any
	if err := json.Unmarshal([]byte(got.Response), &a); err != nil {
		t.Fatalf("response %q: %v", got.Response, err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("response %s; want %s", got.Response, want)
	}
}

func TestPythonHello(t *testing.T) {
	inEveryWay(t, `
DEF handler(event, context):
    return {"hello": event["name"]}
`, func(t *testing.T, in *shimtest.Instance) {
		if !strings.HasPrefix(in.Hello.Runtime, "python3.") || in.Hello.PID != in.Process.Pid {
			t.Errorf("HELLO %+v", in.Hello)
		}
		for range 3 {
			r := in.Call(t, "r1", `{"name":"wörld"}`)
			if r.Response != `{"hello": "wörld"}` || r.Failed {
				t.Error(r)
			}
		}
		wantJSON(t, in.Call(t, "r2", `{"name":[1,2.5,null,true,{}]}`), `{"hello":[1,2.5,null,true,{}]}`)
	})
}

func TestPythonContext(t *testing.T) {
	const code = `
import os, sys
EARLY = os.environ["GREETING"]

DEF handler(event, context):
    client = context.client_context
    return {
        "function": context.function_name, "version": context.function_version, "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb, "id": context.aws_request_id, "group": context.log_group_name,
        "stream": context.log_stream_name, "identity": context.identity.cognito_identity_id,
        "client": client and [client.custom["k"], client.env, client.client.app_title, client.client.app_version_name],
        "time": 0 < context.get_remaining_time_in_millis() <= 60000,
        "env": os.environ["GREETING"], "trace": os.environ.get("_X_AMZN_TRACE_ID"), "early": EARLY,
        "path": sys.path[0] == os.getcwd() == os.path.dirname(os.path.abspath(__file__)),
        "repr": context.aws_request_id in repr(context),
    }
`
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			in := startPython(t, shimtest.Options{
				Files: map[string]string{"app.py": pythonFor(code, way.async)}, Concurrent: way.concurrent,
				Env: map[string]string{"GREETING": "grüß"},
			})
			call := link.NewCall()
			call.ID, call.Deadline, call.TraceID = "r1", time.Now().Add(10*time.Second), "Root=1-2-3"
			call.ClientContext = []byte(`{"custom":{"k":"v"},"client":{"app_title":"t"}}`)
			const want = `{"function":"hello","version":"7","arn":"arn:aws:lambda:us-east-1:000000000000:function:hello:live",
				"memory":"256","id":%q,"group":"/aws/lambda/hello","stream":"2026/11/21/[7]i0123456789ab","identity":null,
				"client":%s,"time":true,"env":"grüß","trace":%s,"early":"grüß","path":true,"repr":true}`
			wantJSON(t, in.Begin(t, call)(), fmt.Sprintf(want, "r1", `["v",null,"t",null]`, `"Root=1-2-3"`))
			wantJSON(t, in.Call(t, "r2", `{}`), fmt.Sprintf(want, "r2", `null`, `null`))
			call.ID, call.ClientContext = "r3", []byte(`[]`)
			wantFailure(t, in.Begin(t, call)(), "Runtime.LambdaContextUnmarshalError", "Client Context")
		})
	}
}

func TestPythonPayloads(t *testing.T) {
	inEveryWay(t, `
import base64, decimal
from decimal import Decimal

VALUES = {
    "text": "ü€😀", "half": "\ud83d", "bytes": b"raw \xff", "none": None, "float": 1.5, "tuple": (1, 2),
    "decimals": {"a": Decimal("12.50"), "b": [Decimal("1E+3"), Decimal("0.1")], "c": 'plain "x:0"'},
    "inner bytes": ["grün".encode()], "nan": [float("nan"), Decimal("NaN"), float("inf")], "keys": {1: 2, None: 3, True: 4},
}

DEF handler(event, context):
    return VALUES[event] if isinstance(event, str) else event
`, func(t *testing.T, in *shimtest.Instance) {
		for event, want := range map[string]string{
			"text": `"ü€😀"`, "half": `"\ud83d"`, "bytes": "raw \xff", "none": "null", "float": "1.5", "tuple": "[1, 2]",
			"decimals":    `{"a": 12.50, "b": [1E+3, 0.1], "c": "plain \"x:0\""}`,
			"inner bytes": `["grün"]`, "nan": "[NaN, NaN, Infinity]", "keys": `{"1": 4, "null": 3}`,
		} {
			if r := in.Call(t, "r", `"`+event+`"`); r.Response != want || r.Failed {
				t.Errorf("%s: %v; want %s", event, r, want)
			}
		}
		for payload, want := range map[string]string{"": "{}", " [1 , 2]\n": "[1, 2]", "{}": "{}", "0": "0"} {
			if r := in.Call(t, "r", payload); r.Response != want || r.Failed {
				t.Errorf("payload %q: %v; want %s", payload, r, want)
			}
		}
		for _, payload := range []string{"{", "nope", "[1] 2", "\xff", `{"a":}`, `"a`} {
			wantFailure(t, in.Call(t, "r", payload), "Runtime.UnmarshalError", "Unable to unmarshal input", "as JSON")
		}
	})
}

func TestPythonLargePayloads(t *testing.T) {
	inEveryWay(t, `
DEF handler(event, context):
    return "y" * event if isinstance(event, int) else [len(event), event[:3], event[-3:]]
`, func(t *testing.T, in *shimtest.Instance) {
		most := hearth.MaxPayloadBytes
		in64 := `"abc` + strings.Repeat("x", most-8) + `xyz"`
		wantJSON(t, in.Call(t, "in", in64), fmt.Sprintf(`[%d,"abc","xyz"]`, most-2))
		r := in.Call(t, "out", fmt.Sprint(most-2))
		if len(r.Response) != most || strings.Count(r.Response, "y") != most-2 {
			t.Errorf("a response of %d bytes came as %d, %v", most, len(r.Response), r.Err)
		}
		wantFailure(t, in.Call(t, "over", fmt.Sprint(most-1)), hearth.TypeResponseTooLarge, "6291556", "elsewhere")
		wantJSON(t, in.Call(t, "after", "2"), `"yy"`)
	})
}

func TestPythonManyLargePayloads(t *testing.T) {
	const width = 60
	in := startPython(t, shimtest.Options{Slots: width, Files: map[string]string{"app.py": "def handler(event, context): return event"}})
	manyLarge(t, in, width)
}

func TestPythonHandlerNames(t *testing.T) {
	const code = "def handler(event, context): return __name__\n"
	files := map[string]string{
		"app.py": code, "main.py": code, "src/app.py": code, "pkg/__init__.py": "", "pkg/deep/__init__.py": "", "pkg/deep/mod.py": code,
		"with-dash/app.py": code, "lib/helper.py": "WORD = 1\n", "callable.py": `
import functools
class Adder:
    def __call__(self, event, context): return "object"
class Later:
    async def __call__(self, event, context): return "later"
async def base(word, event, context): return word
adder, later, partial = Adder(), Later(), functools.partial(base, "partial")
def hidden(event, context): return base("hidden", event, context)
handler = lambda event, context: "lambda"
`,
	}
	for handler, want := range map[string]string{
		"app.handler": "app", "main.handler": "main", "src/app.handler": "src.app", "src.app.handler": "src.app", "pkg.deep.mod.handler": "pkg.deep.mod",
		"./app.handler": "app", "with-dash/app.handler": "with-dash.app",
		"callable.adder": "object", "callable.later": "later", "callable.partial": "partial", "callable.hidden": "hidden", "callable.handler": "lambda",
	} {
		for _, concurrent := range []bool{false, true} {
			t.Run(fmt.Sprint(handler, concurrent), func(t *testing.T) {
				in := startPython(t, shimtest.Options{Files: files, Handler: handler, Concurrent: concurrent})
				wantJSON(t, in.Call(t, "r", "{}"), `"`+want+`"`)
			})
		}
	}
}

func TestPythonPath(t *testing.T) {
	layer := t.TempDir()
	if err := os.WriteFile(filepath.Join(layer, "layered.py"), []byte("WORD = 'from the layer'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := startPython(t, shimtest.Options{
		Files: map[string]string{"app.py": `
import layered, sys
def handler(event, context):
    return [layered.WORD, any("hearth" in m or "dist-packages" in m for m in sys.path)]
`},
		Env: map[string]string{"PYTHONPATH": "/nowhere:" + layer},
	})
	wantJSON(t, in.Call(t, "r", "{}"), `["from the layer", false]`)
}

// The main thread is where signal handlers, and all that builds on them, work.
func TestPythonExclusiveRunsOnMainThread(t *testing.T) {
	in := startPython(t, shimtest.Options{Files: map[string]string{"app.py": `
import asyncio, signal, subprocess, threading, time

class Late(Exception): pass

def late(signum, frame): raise Late()

async def one(): return await asyncio.sleep(0, 1)

def handler(event, context):
    assert threading.current_thread() is threading.main_thread()
    if event == "alarm":
        signal.signal(signal.SIGALRM, late)
        assert signal.getsignal(signal.SIGALRM) is late
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            while True:
                print("x" * 100)
        except Late:
            return "late"
    if event == "asyncio": return asyncio.run(one())
    if event == "subprocess": return subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout
`}})
	for range 5 {
		wantJSON(t, in.Call(t, "r", `"alarm"`), `"late"`)
	}
	for _, line := range strings.Split(strings.TrimSuffix(in.Log("r", 1), "\n"), "\n") {
		if len(line) != 100 { // a signal in the middle of print may leave half a line
			if strings.Trim(line, "x") != "" {
				t.Fatalf("log line %q", line)
			}
		}
	}
	wantJSON(t, in.Call(t, "r", `"asyncio"`), `1`)
	wantJSON(t, in.Call(t, "r", `"subprocess"`), `"hi\n"`)
}

func TestPythonConcurrent(t *testing.T) {
	for _, async := range []bool{false, true} {
		t.Run(fmt.Sprint("async ", async), func(t *testing.T) {
			in := startPython(t, shimtest.Options{Slots: 50, Files: map[string]string{"app.py": pythonFor(`
RUNNING = MOST = CAME = 0

DEF handler(event, context):
    global RUNNING, MOST, CAME
    CAME += 1
    RUNNING += 1
    MOST = max(MOST, RUNNING)
    while CAME < event["all"]: SLEEP(0.01)
    SLEEP(event["sleep"])
    RUNNING -= 1
    return [event["n"], MOST]
`, async)}})
			// All fifty are inside at once, and answers find their way, four times over.
			start := time.Now()
			for round := range 4 {
				var waits []func() shimtest.Result
				for i := range 50 {
					call := link.NewCall()
					call.ID = fmt.Sprintf("r%d-%d", round, i)
					call.Payload = fmt.Appendf(nil, `{"n":%d,"sleep":%f,"all":%d}`, i, 0.2+float64(50-i)/1000, 50*(round+1))
					waits = append(waits, in.Begin(t, call))
				}
				for i, wait := range waits {
					wantJSON(t, wait(), fmt.Sprintf(`[%d,50]`, i))
				}
			}
			if took := time.Since(start); took > 20*time.Second { // one after the other they take 45
				t.Errorf("took %v; they did not run at once", took)
			}
		})
	}
}

// One invocation at once in a shared instance, again and again: no thread for each.
func TestPythonThreadsAreWarm(t *testing.T) {
	in := startPython(t, shimtest.Options{Slots: 100, Files: map[string]string{"app.py": `
import threading
def handler(event, context):
    # main, one that leads, one that looks; others when the machine was slow
    return [3 <= threading.active_count() <= 8, threading.current_thread().name.startswith("hearth-")]
`}})
	for range 200 {
		wantJSON(t, in.Call(t, "r", "{}"), `[true, true]`)
	}
}

func TestPythonCancel(t *testing.T) {
	inEveryWay(t, `
import os
DEF handler(event, context):
    if event == "wait":
        print("began", flush=True)
        while not os.path.exists("go"):
            SLEEP(0.01)
        print("went on")
        return "z" * 1000000
    return "fine"
`, func(t *testing.T, in *shimtest.Instance) {
		call := link.NewCall()
		call.ID, call.Payload = "slow", []byte(`"wait"`)
		wait := in.Begin(t, call)
		waitForLog(t, in, "slow", "began")
		in.Conn.Cancel(call)
		if err := os.WriteFile(filepath.Join(in.TaskRoot, "go"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if r := wait(); r.Err != link.ErrCancelled {
			t.Errorf("got %v", r)
		}
		waitForLog(t, in, "slow", "went on")
		wantJSON(t, in.Call(t, "r", "{}"), `"fine"`)
	})
}

// waitForLog waits until a request's log contains some text.
func waitForLog(t *testing.T, in *shimtest.Instance, request, text string) {
	t.Helper()
	deadline := time.Now().Add(shimtest.Patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(in.Log(request, 0), text) {
		if time.Now().After(deadline) {
			t.Fatalf("the log of %q never said %q: %v", request, text, in.Logs())
		}
		<-tick.C
	}
}

func TestCompilePython(t *testing.T) {
	dir := t.TempDir()
	if err := shim.Write(dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), shimtest.Patience)
	defer cancel()
	if err := shim.CompilePython(ctx, python, dir); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "python", "hearth_runtime", "__pycache__", "boot.*.pyc")); len(found) != 1 {
		t.Errorf("bytecode: %q", found)
	}
	if err := shim.CompilePython(ctx, python, filepath.Join(dir, "missing")); err == nil {
		t.Error("compiled nothing, and did not say so")
	}
}
