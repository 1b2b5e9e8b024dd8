package shim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/link/shim/shimtest"
)

// wantFailure checks a failed invocation and gives its document.
func wantFailure(t *testing.T, r shimtest.Result, kind string, words ...string) hearth.FailureDoc {
	t.Helper()
	if r.Err != nil || !r.Failed {
		t.Fatalf("%v; want the failure %s", r, kind)
	}
	var doc hearth.FailureDoc
	if err := json.Unmarshal([]byte(r.Response), &doc); err != nil {
		t.Fatalf("%s: %v", r.Response, err)
	}
	checkDoc(t, doc, kind, words...)
	return doc
}

func checkDoc(t *testing.T, doc hearth.FailureDoc, kind string, words ...string) {
	t.Helper()
	if doc.ErrorType != kind {
		t.Errorf("error type %q; want %q (%s)", doc.ErrorType, kind, doc.ErrorMessage)
	}
	for _, w := range words {
		if !strings.Contains(doc.ErrorMessage, w) {
			t.Errorf("%q does not say %q", doc.ErrorMessage, w)
		}
	}
	for _, line := range doc.StackTrace {
		if strings.Contains(line, "hearth_runtime") || strings.Contains(line, "importlib") {
			t.Errorf("the shim shows in the stack trace: %q", line)
		}
	}
}

func TestPythonFailures(t *testing.T) {
	inEveryWay(t, `
import datetime, sys, uuid
class Custom(Exception): pass
class Unspeakable(Exception):
    def __str__(self): raise RuntimeError()
def deep(n):
    if n == 0: raise Custom("deep down")
    deep(n - 1)
DEF handler(event, context):
    if event == "raise": raise ValueError("wrong värlue")
    if event == "custom": deep(3)
    if event == "caused":
        try: {}["key"]
        except KeyError as e: raise Custom("outer") from e
    if event == "unspeakable": raise Unspeakable()
    if event == "recursion": deep(-1)
    if event == "memory": return bytearray(1 << 60)
    if event == "interrupt": raise KeyboardInterrupt()
    if event == "generator exit": raise GeneratorExit()
    if event == "surrogate": raise ValueError("half \ud83d")
    if event == "huge": raise ValueError("x" * 7000000)
    if event == "datetime": return {"items": [1, {"when": datetime.datetime(2020, 1, 1)}]}
    if event == "set": return {1, 2}
    if event == "object": return [object()]
    if event == "key": return {"a": {(1, 2): 3}}
    if event == "binary": return {"b": b"\xff"}
    if event == "circle":
        a = []
        a.append(a)
        return a
    if event == "circle of many rows":
        sys.setrecursionlimit(200000)
        rows = {"rows": ["row"] * 20000}
        rows["me"] = rows
        return rows
    if event == "generator": return (x for x in [1])
    return "fine"
`, func(t *testing.T, in *shimtest.Instance) {
		for _, test := range []struct {
			event, kind string
			words       []string
		}{
			{"raise", "ValueError", []string{"wrong värlue"}},
			{"custom", "Custom", []string{"deep down"}},
			{"caused", "Custom", []string{"outer"}},
			{"unspeakable", "Unspeakable", []string{"__str__"}},
			{"recursion", "RecursionError", []string{"recursion"}},
			{"memory", "MemoryError", []string{"more memory"}},
			{"interrupt", "KeyboardInterrupt", nil},
			{"generator exit", "GeneratorExit", nil},
			{"surrogate", "ValueError", []string{"half"}},
			{"huge", "ValueError", []string{"xxx", "[cut]"}},
			{"datetime", "Runtime.MarshalError", []string{"Unable to marshal response", "datetime is not JSON serializable", "the result['items'][1]['when']", ".isoformat()"}},
			{"set", "Runtime.MarshalError", []string{"set", "return a list"}},
			{"object", "Runtime.MarshalError", []string{"object", "the result[0]", "dictionaries"}},
			{"key", "Runtime.MarshalError", []string{"keys must be", "a key of the result['a']"}},
			{"binary", "Runtime.MarshalError", []string{"utf-8", "the result['b']", "base64"}},
			{"circle", "Runtime.MarshalError", []string{"Circular"}},
			{"generator", "Runtime.MarshalError", []string{"generator", "list("}},
			{"circle of many rows", "Runtime.MarshalError", []string{"Circular"}},
		} {
			r := in.Call(t, test.event, `"`+test.event+`"`)
			doc := wantFailure(t, r, test.kind, test.words...)
			if !strings.Contains(r.Response, fmt.Sprintf(`"requestId": %q`, test.event)) {
				t.Errorf("%s: no request id in %.300s", test.event, r.Response)
			}
			if log := in.Log(test.event, 2); test.event != "huge" && !strings.HasPrefix(log, "[ERROR] "+test.kind) {
				t.Errorf("%s: log %q", test.event, log)
			}
			if test.event == "custom" {
				checkTrace(t, doc.StackTrace)
			}
			if test.event == "recursion" && len(doc.StackTrace) > 102 {
				t.Errorf("%d lines of stack trace", len(doc.StackTrace))
			}
		}
		if log := in.Log("caused", 2); !strings.Contains(log, "Caused by KeyError: 'key'") || !strings.Contains(log, "Traceback (most recent call last):") {
			t.Errorf("log %q", log)
		}
		wantJSON(t, in.Call(t, "r", "{}"), `"fine"`)
	})
}

func checkTrace(t *testing.T, trace []string) {
	t.Helper()
	if len(trace) != 5 {
		t.Fatalf("stack trace %q", trace)
	}
	if !strings.HasPrefix(trace[0], `  File "`) || !strings.Contains(trace[0], `app.py", line`) || !strings.HasSuffix(trace[0], "in handler\n    if event == \"custom\": deep(3)\n") {
		t.Errorf("first frame %q", trace[0])
	}
	if !strings.HasSuffix(trace[4], "in deep\n    if n == 0: raise Custom(\"deep down\")\n") {
		t.Errorf("last frame %q", trace[4])
	}
}

func TestPythonInitFailures(t *testing.T) {
	ok := "def handler(event, context): pass\ndef other(): pass\nVALUE = 3\nimport os.path\nfrom json import dumps\n"
	for _, test := range []struct {
		name, handler string
		files         map[string]string
		kind          string
		words         []string
		trace         string
	}{
		{"no module", "index.handler", map[string]string{"app.py": ok, "b.py": ok}, "Runtime.ImportModuleError",
			[]string{"Unable to import module 'index': No module named 'index'", "app, b"}, ""},
		{"no module in package", "pkg.index.handler", map[string]string{"pkg/__init__.py": ""}, "Runtime.ImportModuleError",
			[]string{"No module named 'pkg.index'", "no .py file at its top"}, ""},
		{"no dependency", "app.handler", map[string]string{"app.py": "import requests.adapters\n" + ok}, "Runtime.ImportModuleError",
			[]string{"Unable to import module 'app': No module named 'requests'", "pip install --target . requests"}, "import requests.adapters"},
		{"no name in dependency", "app.handler", map[string]string{"app.py": "from json import nothing\n"}, "Runtime.ImportModuleError",
			[]string{"cannot import name 'nothing'"}, "from json import nothing"},
		{"syntax", "app.handler", map[string]string{"app.py": "x = 1\ndef handler(:\n"}, "Runtime.UserCodeSyntaxError",
			[]string{"Syntax error in module 'app'", "(app.py, line 2)"}, "app.py\" Line 2\n    def handler(:"},
		{"syntax in a helper", "app.handler", map[string]string{"app.py": "import helper\n", "helper.py": "\tx = (\n y"}, "Runtime.UserCodeSyntaxError",
			[]string{"helper.py, line"}, "helper.py"},
		{"no function", "app.handle", map[string]string{"app.py": ok}, "Runtime.HandlerNotFound",
			[]string{"Handler 'handle' missing on module 'app'", "It defines: handler, other"}, ""},
		{"empty module", "app.handler", map[string]string{"app.py": ""}, "Runtime.HandlerNotFound", []string{"It defines no function"}, ""},
		{"not a function", "app.VALUE", map[string]string{"app.py": ok}, "Runtime.HandlerNotFound", []string{"of type int, not a function"}, ""},
		{"no dot", "handler", nil, "Runtime.MalformedHandlerName", []string{"Bad handler 'handler'", "app.handler"}, ""},
		{"no module name", ".handler", nil, "Runtime.MalformedHandlerName", nil, ""},
		{"no function name", "app.", nil, "Runtime.MalformedHandlerName", nil, ""},
		{"a path upwards", "../app.handler", nil, "Runtime.MalformedHandlerName", nil, ""},
		{"builtin", "time.time", nil, "Runtime.BuiltInModuleConflict", []string{"another name"}, ""},
		{"name of a module in use", "os.handler", map[string]string{"os.py": ok}, "Runtime.BuiltInModuleConflict", []string{"os", "another name"}, ""},
		{"raises", "app.handler", map[string]string{"app.py": "def load():\n  raise LookupError('no table')\nload()\n"}, "LookupError", []string{"no table"}, "raise LookupError"},
		{"exits", "app.handler", map[string]string{"app.py": "import sys\nsys.exit(3)\n"}, "Runtime.ExitError", []string{"exit status 3", "during init"}, "sys.exit(3)"},
		{"interrupted", "app.handler", map[string]string{"app.py": "raise KeyboardInterrupt\n"}, "KeyboardInterrupt", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := startPython(t, shimtest.Options{Files: test.files, Handler: test.handler})
			doc := initFailure(t, in)
			checkDoc(t, doc, test.kind, test.words...)
			if trace := strings.Join(doc.StackTrace, ""); !strings.Contains(trace, test.trace) {
				t.Errorf("stack trace %q; want %q in it", trace, test.trace)
			}
			if log := in.Log("", 2); !strings.HasPrefix(log, "[ERROR] "+test.kind) {
				t.Errorf("log %q", log)
			}
			if code := in.Exit(t); code != 1 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// An instance that ends by the owner's doing: the host sees it end, and the log says
// whose doing it was.
func TestPythonExits(t *testing.T) {
	inEvery := func(name, code string, want int, words ...string) {
		t.Run(name, func(t *testing.T) {
			inEveryWay(t, "import sys, os, atexit, threading\natexit.register(lambda: print('hook ran'))\n"+
				"DEF handler(event, context):\n    print('before', end='')\n    "+code+"\n", func(t *testing.T, in *shimtest.Instance) {
				if r := in.Call(t, "r", "{}"); r.Err == nil {
					t.Errorf("answered: %v", r)
				}
				if code := in.Exit(t); code != want {
					t.Errorf("exit code %d; want %d", code, want)
				}
				<-in.Conn.Done()
				log := in.Log("r", 0) + in.Log("", 0)
				for _, w := range words {
					if !strings.Contains(log, w) {
						t.Errorf("log %q does not say %q", log, w)
					}
				}
			})
		})
	}
	inEvery("with a status", "sys.exit(3)", 3, "Runtime.ExitError: RequestId: r Error: Runtime exited with error: exit status 3", "before\n", "hook ran")
	inEvery("without", "exit()", 0, "without providing a reason", "hook ran")
	inEvery("with words", "sys.exit('gone fishing')", 1, "gone fishing")
	inEvery("at once", "print(''); os._exit(7)", 7, "before\n")
	inEvery("with a thread that stays", "threading.Thread(target=lambda: __import__('time').sleep(600)).start(); sys.exit(4)", 4, "exit status 4")
}

func TestPythonCrashLeavesTrace(t *testing.T) {
	in := startPython(t, shimtest.Options{Files: map[string]string{"app.py": `
import os, signal
def handler(event, context):
    os.kill(os.getpid(), signal.SIGSEGV)
`}})
	if r := in.Call(t, "r", "{}"); r.Err == nil {
		t.Errorf("answered: %v", r)
	}
	if out := in.Output(t); !strings.Contains(out, "Segmentation fault") || !strings.Contains(out, "app.py") {
		t.Errorf("output %q", out)
	}
}

// In a shared instance, sys.exit in one invocation ends all of them.
func TestPythonExitTakesOthersAlong(t *testing.T) {
	in := startPython(t, shimtest.Options{Slots: 3, Files: map[string]string{"app.py": `
import sys, time
def handler(event, context):
    if event == "exit": sys.exit(5)
    print("waits", flush=True)
    time.sleep(600)
`}})
	var waits []func() shimtest.Result
	for _, id := range []string{"a", "b", "exit"} {
		call := link.NewCall()
		call.ID, call.Payload = id, []byte(`"`+id+`"`)
		waits = append(waits, in.Begin(t, call))
		if id != "exit" {
			waitForLog(t, in, id, "waits")
		}
	}
	for _, wait := range waits {
		if r := wait(); r.Err == nil {
			t.Errorf("answered: %v", r)
		}
	}
	if code := in.Exit(t); code != 5 {
		t.Errorf("exit code %d", code)
	}
	culprits := slices.DeleteFunc(in.Logs(), func(e shimtest.Entry) bool { return !strings.Contains(e.Text, "Runtime.ExitError") })
	if len(culprits) != 1 || culprits[0].Request != "exit" {
		t.Errorf("named as culprits: %v", culprits)
	}
}
