package e2e

import (
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"
)

// Every way of failing, in both languages and both models: Lambda's type and shape,
// and words that a person can act on.
func TestFailureWords(t *testing.T) {
	p := up(t)
	cases := []struct {
		name     string
		node     string // source of index.js
		python   string // source of main.py
		config   map[string]any
		nodeType string
		pyType   string
		words    string // that the message must have, in both
	}{
		{
			name:     "throw",
			node:     `exports.handler = async () => { throw new RangeError('out of range'); };`,
			python:   "class RangeError(Exception): pass\ndef handler(event, context):\n    raise RangeError('out of range')\n",
			nodeType: "RangeError", pyType: "RangeError", words: "out of range",
		},
		{
			name:     "exit",
			node:     `exports.handler = async () => { process.exit(7); };`,
			python:   "import os\ndef handler(event, context):\n    os._exit(7)\n",
			nodeType: "Runtime.ExitError", pyType: "Runtime.ExitError", words: "exit status 7",
		},
		{
			name:     "timeout",
			node:     `exports.handler = () => new Promise((resolve) => setTimeout(resolve, 20000));`,
			python:   "import time\ndef handler(event, context):\n    time.sleep(20)\n",
			config:   map[string]any{"timeout": "1s"},
			nodeType: "Sandbox.Timedout", pyType: "Sandbox.Timedout", words: "Task timed out after 1.00 seconds",
		},
		{
			name:     "missing-handler",
			node:     `exports.other = 1;`,
			python:   "def other(event, context): pass\n",
			nodeType: "Runtime.HandlerNotFound", pyType: "Runtime.HandlerNotFound", words: "handler",
		},
		{
			name:     "syntax",
			node:     "exports.handler = async () => {\n  return (;\n};",
			python:   "def handler(event, context):\n    return (;\n",
			nodeType: "Runtime.UserCodeSyntaxError", pyType: "Runtime.UserCodeSyntaxError", words: "2",
		},
		{
			name:     "missing-module",
			node:     `require('no-such-module'); exports.handler = async () => 1;`,
			python:   "import no_such_module\ndef handler(event, context): pass\n",
			nodeType: "Runtime.ImportModuleError", pyType: "Runtime.ImportModuleError", words: "such",
		},
		{
			name:     "too-large",
			node:     `exports.handler = async () => 'x'.repeat(7000000);`,
			python:   "def handler(event, context):\n    return 'x' * 7000000\n",
			nodeType: "Function.ResponseSizeTooLarge", pyType: "Function.ResponseSizeTooLarge", words: "size",
		},
		{
			name:     "unserialisable",
			node:     `exports.handler = async () => { const a = {}; a.self = a; return a; };`,
			python:   "def handler(event, context):\n    return {1, 2}\n",
			nodeType: "", pyType: "Runtime.MarshalError", words: "",
		},
	}
	for _, model := range []string{"exclusive", "concurrent"} {
		for _, c := range cases {
			config := func() map[string]any { return merge(map[string]any{"model": model}, c.config) }
			t.Run(model+"/"+c.name+"/node", func(t *testing.T) {
				p.checkFailure(t, node(c.name+"-n-"+model, c.node, config()), c.nodeType, c.words)
			})
			t.Run(model+"/"+c.name+"/python", func(t *testing.T) {
				p.checkFailure(t, python(c.name+"-p-"+model, c.python, config()), c.pyType, c.words)
			})
		}
	}
}

func (p *platform) checkFailure(t *testing.T, f function, errorType, words string) {
	t.Helper()
	p.deploy(f)
	a := p.invoke(f.name, "{}")
	if a.status != 200 || !a.failed {
		t.Fatalf("status %d, function error %v: %s", a.status, a.failed, a.payload)
	}
	if errorType != "" && a.doc.ErrorType != errorType {
		t.Errorf("error type %q, want %q (%s)", a.doc.ErrorType, errorType, a.doc.ErrorMessage)
	}
	if a.doc.ErrorType == "" || a.doc.ErrorMessage == "" || !strings.Contains(a.doc.ErrorMessage, words) {
		t.Errorf("the words of %s are %q, want them to have %q", a.doc.ErrorType, a.doc.ErrorMessage, words)
	}
	p.do("DELETE", "/hearth/v1/functions/"+f.name, nil, nil)
}

func TestOutOfMemoryIsNamed(t *testing.T) {
	p := up(t)
	p.deploy(python("hog", "def handler(event, context):\n    return len(bytearray(400 << 20))\n", map[string]any{"memoryMB": 128}))
	a := p.invoke("hog", "{}")
	if a.doc.ErrorType != "Runtime.OutOfMemory" || !strings.Contains(a.doc.ErrorMessage, "128 MB") {
		t.Errorf("got %q: %q", a.doc.ErrorType, a.doc.ErrorMessage)
	}
	// The next invocation gets a new instance.
	p.deploy(python("hog", "def handler(event, context):\n    return 1\n", map[string]any{"memoryMB": 128}))
	if a := p.invoke("hog", "{}"); a.failed {
		t.Errorf("after the update: %s", a.payload)
	}
}

// V8 gives up by itself just before the kernel would: that is out of memory, too.
func TestFullHeapIsOutOfMemory(t *testing.T) {
	p := up(t)
	p.deploy(node("leak", `exports.handler = async () => { const a = []; for (;;) a.push(new Array(1000).fill(Math.random())); };`,
		map[string]any{"memoryMB": 128, "timeout": "30s"}))
	if a := p.invoke("leak", "{}"); a.doc.ErrorType != "Runtime.OutOfMemory" || !strings.Contains(a.doc.ErrorMessage, "128 MB") {
		t.Errorf("got %s", a.payload)
	}
}

// Design 9: time-out of one: answer it, let the others finish, retire the instance.
func TestTimeOutHarmsNobodyElse(t *testing.T) {
	p := up(t)
	p.deploy(node("mixed", `
exports.handler = async (event) => {
  await new Promise((resolve) => setTimeout(resolve, event.wait));
  return process.env.HEARTH_INSTANCE_ID;
};`, map[string]any{"model": "concurrent", "timeout": "2s"}))
	warm := p.invoke("mixed", `{"wait":0}`)
	var slow, fine answer
	var wg sync.WaitGroup
	wg.Go(func() { slow = p.invoke("mixed", `{"wait":30000}`) })
	wg.Go(func() { fine = p.invoke("mixed", `{"wait":1500}`) })
	wg.Wait()
	if slow.doc.ErrorType != "Sandbox.Timedout" {
		t.Errorf("the slow one: %s", slow.payload)
	}
	if fine.failed || fine.payload != warm.payload {
		t.Errorf("the other one: %s, want %s", fine.payload, warm.payload)
	}
	if next := p.invoke("mixed", `{"wait":0}`); next.failed || next.payload == warm.payload {
		t.Errorf("after the time-out: %s; want another instance than %s", next.payload, warm.payload)
	}
}

// Design 9: a crash fails everything in flight there, and says so.
func TestCrashOfASharedInstanceIsNamed(t *testing.T) {
	p := up(t)
	p.deploy(node("mixed", `
exports.handler = async (event) => {
  if (event.crash) process.abort();
  await new Promise((resolve) => setTimeout(resolve, 50000));
};`, map[string]any{"model": "concurrent", "timeout": "60s"}))
	var wg sync.WaitGroup
	answers := make([]answer, 3)
	for i := range 2 {
		wg.Go(func() { answers[i] = p.invoke("mixed", "{}") })
	}
	eventually(t, patience, "both are under way", func() bool {
		list := p.instances("mixed")
		return len(list) == 1 && list[0].InFlight == 2
	})
	answers[2] = p.invoke("mixed", `{"crash":true}`)
	wg.Wait()
	for i, a := range answers {
		if a.doc.ErrorType == "" || !strings.Contains(a.doc.ErrorMessage, "signal: ") {
			t.Errorf("call %d: %s", i, a.payload)
		}
	}
}

func TestFailedInitIsNotRetriedInAHotLoop(t *testing.T) {
	p := up(t)
	p.deploy(node("broken", `throw new TypeError('broken at load');`, nil))
	begin := time.Now()
	for range 20 {
		if a := p.invoke("broken", "{}"); !a.failed || !strings.Contains(a.doc.ErrorMessage, "broken at load") {
			t.Fatalf("got %d %s", a.status, a.payload)
		}
	}
	var page struct{ Events []struct{ Kind string } }
	_, text := p.do("GET", "/hearth/v1/events?function=broken", nil, nil)
	starts := strings.Count(string(text), `"instance.starting"`)
	if limit := 2 + int(time.Since(begin).Seconds()); starts > limit {
		t.Errorf("%d inits in %v, want at most %d (page %v)", starts, time.Since(begin), limit, page)
	}
}

func TestLogTailAndLogs(t *testing.T) {
	p := up(t)
	for _, f := range []function{
		node("logs-node", `exports.handler = async (e) => { console.log('hello from', e.who); process.stderr.write('err\n'); };`, nil),
		python("logs-python", "import sys\ndef handler(event, context):\n    print('hello from', event['who'])\n    print('err', file=sys.stderr)\n", nil),
	} {
		p.deploy(f)
		a := p.invoke(f.name, `{"who":"me"}`)
		tail, err := base64.StdEncoding.DecodeString(a.header.Get("X-Amz-Log-Result"))
		if err != nil {
			t.Fatal(err)
		}
		id := a.header.Get("X-Amzn-Requestid")
		for _, want := range []string{"START RequestId: " + id + " Version: $LATEST", "hello from me", "err",
			"END RequestId: " + id, "REPORT RequestId: " + id + "\tDuration: ", "Init Duration: "} {
			if !strings.Contains(string(tail), want) {
				t.Errorf("%s: the log tail lacks %q:\n%s", f.name, want, tail)
			}
		}
		out, _, code := p.hearth("logs", f.name, "--request", id)
		if code != 0 || !strings.Contains(out, "hello from me") {
			t.Errorf("hearth logs: exit %d:\n%s", code, out)
		}
	}
}
