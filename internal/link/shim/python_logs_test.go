package shim_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/link"
	"hearth/internal/link/shim/shimtest"
)

func TestPythonStreams(t *testing.T) {
	inEveryWay(t, `
import os, sys, warnings
print("while loading")
sys.stderr.write("half ")
DEF handler(event, context):
    print("out", 1, "ü")
    print("err", file=sys.stderr)
    sys.stdout.write("a"); sys.stdout.write("b\nc"); sys.stdout.write("d\n\n")
    sys.stdout.buffer.write("binär ".encode()); sys.stdout.buffer.write(b"\xff\n"); sys.stdout.buffer.flush()
    print("half \ud83d pair")
    sys.stdout.writelines(["x\n", "y\n"])
    print("no newline", end="", flush=True)
    os.write(1, b"to the pipe\n")
    sys.stdout.reconfigure(line_buffering=True)
    try: sys.stdout.write(b"bytes")
    except TypeError as e: print(e, file=sys.stderr)
    return [sys.stdout.isatty(), sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding, sys.stdout.writable()]
`, func(t *testing.T, in *shimtest.Instance) {
		wantJSON(t, in.Call(t, "r", "{}"), `[false, 1, 2, "utf-8", true]`)
		wantLog(t, in, "", 1, "while loading\n")
		wantLog(t, in, "", 2, "half \n")
		wantLog(t, in, "r", 1, "out 1 ü\nab\ncd\n\nbinär \xff\nhalf \\ud83d pair\nx\ny\nno newline\n")
		wantLog(t, in, "r", 2, "err\nwrite() argument must be str, not bytes\n")
		in.Conn.Close()
		if out := in.Output(t); out != "to the pipe\n" {
			t.Errorf("the pipe says %q", out)
		}
	})
}

func wantLog(t *testing.T, in *shimtest.Instance, request string, fd int, want string) {
	t.Helper()
	if got := in.Log(request, fd); got != want {
		t.Errorf("log of %q on %d:\n%q\nwant\n%q", request, fd, got, want)
	}
}

func TestPythonLogging(t *testing.T) {
	inEveryWay(t, `
import logging
logging.warning("while loading")
DEF handler(event, context):
    log = logging.getLogger("mine")
    log.info("not shown")
    log.warning("careful: %s", "ü")
    logging.getLogger().setLevel(logging.INFO)
    log.info("shown")
    logging.getLogger().setLevel(logging.WARNING)
    try: 1 / 0
    except ZeroDivisionError: log.exception("oh")
`, func(t *testing.T, in *shimtest.Instance) {
		in.Call(t, "r", "{}")
		const stamp = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`
		for request, want := range map[string]string{
			"": `^\[WARNING\]\t` + stamp + `\t\twhile loading\n$`,
			"r": `^\[WARNING\]\t` + stamp + `\tr\tcareful: ü\n\[INFO\]\t` + stamp + `\tr\tshown\n` +
				`\[ERROR\]\t` + stamp + `\tr\toh\nTraceback \(most recent call last\):\n(.*\n)+ZeroDivisionError: division by zero\n$`,
		} {
			if got := in.Log(request, 2); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("log of %q: %q; want %s", request, got, want)
			}
		}
	})
}

func TestPythonLoggingSettings(t *testing.T) {
	code := `
def handler(event, context):
    import logging
    logging.debug("low"); logging.info("middle %d", 1)
    try: {}["k"]
    except KeyError: logging.exception("high")
    raise ValueError("end")
`
	in := startPython(t, shimtest.Options{
		Files: map[string]string{"app.py": code}, Env: map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "info"},
	})
	wantFailure(t, in.Call(t, "r", "{}"), "ValueError")
	lines := strings.Split(strings.TrimSpace(in.Log("r", 2)), "\n")
	if len(lines) != 3 {
		t.Fatalf("log %q", lines)
	}
	for i, words := range []string{`"level": "INFO", "message": "middle 1", "logger": "root", "requestId": "r"`,
		`"errorType": "KeyError", "errorMessage": "'k'", "stackTrace": [`, `"level": "ERROR", "errorMessage": "end", "errorType": "ValueError"`} {
		if !strings.HasPrefix(lines[i], `{"timestamp": "20`) || !strings.Contains(lines[i], words) {
			t.Errorf("line %q; want %s in it", lines[i], words)
		}
	}
}

// Every line of every invocation under its own request id, and whole: from the
// handler, from threads and pools that it starts, and from logging.
func TestPythonLogsUnderConcurrency(t *testing.T) {
	for _, async := range []bool{false, true} {
		t.Run(fmt.Sprint("async ", async), func(t *testing.T) {
			in := startPython(t, shimtest.Options{Slots: 50, Files: map[string]string{"app.py": pythonFor(`
import os, sys, threading, logging, concurrent.futures
POOL = concurrent.futures.ThreadPoolExecutor(4)

def say(me, what):
    for i in range(5):
        sys.stdout.write(what + " ")
        print(me, i)

DEF handler(event, context):
    me = context.aws_request_id
    say(me, "direct")
    SLEEP(0.02)
    thread = threading.Thread(target=say, args=(me, "thread"))
    thread.start()
    jobs = [POOL.submit(say, me, "pool") for _ in range(2)]
    logging.warning("logged %s", me)
    SLEEP(0.02)
    say(me, "again")
    thread.join()
    concurrent.futures.wait(jobs)
    return os.environ["_X_AMZN_TRACE_ID"]
`, async)}})
			for round := range 4 { // 200 calls, 50 in flight
				waits := map[string]func() shimtest.Result{}
				for i := range 50 {
					call := link.NewCall()
					call.ID = fmt.Sprintf("call-%d-%d", round, i)
					call.Payload, call.TraceID = []byte("{}"), "trace of "+call.ID
					waits[call.ID] = in.Begin(t, call)
				}
				for id, wait := range waits {
					wantJSON(t, wait(), `"trace of `+id+`"`)
				}
			}
			checkOwnLines(t, in)
		})
	}
}

func checkOwnLines(t *testing.T, in *shimtest.Instance) {
	t.Helper()
	logs := map[string]*strings.Builder{}
	for _, entry := range in.Logs() {
		if logs[entry.Request] == nil {
			logs[entry.Request] = &strings.Builder{}
		}
		logs[entry.Request].WriteString(entry.Text)
	}
	if len(logs) != 200 {
		t.Errorf("%d requests have logs, want 200; nobody's: %v", len(logs), logs[""])
	}
	for id, text := range logs {
		counts := map[string]int{}
		for line := range strings.Lines(text.String()) {
			words := strings.Fields(line)
			if len(words) < 3 || (words[1] != id && words[len(words)-1] != id) {
				t.Fatalf("a line of %s: %q", id, line)
			}
			counts[words[0]]++
		}
		if counts["direct"] != 5 || counts["again"] != 5 || counts["thread"] != 5 || counts["pool"] != 10 || counts["[WARNING]"] != 1 {
			t.Fatalf("lines of %s: %v", id, counts)
		}
	}
}

// What an invocation left behind speaks for the instance, not for whoever comes next.
func TestPythonLogsAfterTheResult(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			in := startPython(t, shimtest.Options{Concurrent: way.concurrent, Files: map[string]string{"app.py": pythonFor(`
import threading
go, said = threading.Event(), threading.Event()
def later():
    go.wait()
    print("straggler")
    said.set()
DEF handler(event, context):
    if event == "leave": threading.Thread(target=later, daemon=True).start()
    if event == "go":
        go.set()
        said.wait()
`, way.async)}})
			wantJSON(t, in.Call(t, "first", `"leave"`), "null")
			wantJSON(t, in.Call(t, "second", `"go"`), "null")
			owner := "" // in a shared instance it is known whose it is not
			if !way.concurrent && !way.async {
				owner = "second" // with one at a time, as in Lambda, it belongs to whatever runs
			}
			wantLog(t, in, owner, 1, "straggler\n")
		})
	}
}

func TestPythonLongLines(t *testing.T) {
	in := startPython(t, shimtest.Options{Files: map[string]string{"app.py": `
import sys
def handler(event, context):
    print("ü" * 400_000)
    for _ in range(100): sys.stdout.write("y" * 4000)
    print()
    print("z\n" * 200_000, end="")
`}})
	wantJSON(t, in.Call(t, "r", "{}"), "null")
	wantLog(t, in, "r", 1, strings.Repeat("ü", 400_000)+"\n"+strings.Repeat("y", 400_000)+"\n"+strings.Repeat("z\n", 200_000))
}

// A host that does not read makes the handler wait; it does not make the instance grow.
func TestPythonLogFloodIsHeldBack(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			var held atomic.Bool
			held.Store(true)
			gate := make(chan struct{})
			in := startPython(t, shimtest.Options{
				Concurrent: way.concurrent, Slots: 1,
				Files: map[string]string{"app.py": pythonFor(`
DEF handler(event, context):
    for i in range(100_000):
        print("x" * 500)
    return [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
`, way.async)},
				OnLog: func(*link.Call, int, []byte) {
					if held.Load() {
						<-gate
					}
				},
			})
			call := link.NewCall()
			call.ID, call.Payload = "r", []byte("{}")
			wait := in.Begin(t, call)
			select {
			case <-call.Done():
				t.Fatal("50 MB of logs went nowhere")
			case <-time.After(300 * time.Millisecond):
			}
			held.Store(false)
			close(gate)
			r := wait()
			var kilobytes int
			if _, err := fmt.Sscan(r.Response, &kilobytes); err != nil || kilobytes > 60_000 {
				t.Errorf("the instance grew to %s kB (%v)", r.Response, r)
			}
			if n := len(in.Log("r", 1)); n != 100_000*501 {
				t.Errorf("%d bytes of logs", n)
			}
		})
	}
}

// Children have pipes of their own: their output is the instance's, and the parent's
// frames stay whole.
func TestPythonForkedChildren(t *testing.T) {
	for _, concurrent := range []bool{false, true} {
		t.Run(fmt.Sprint("concurrent ", concurrent), func(t *testing.T) {
			in := startPython(t, shimtest.Options{Concurrent: concurrent, Files: map[string]string{"app.py": `
import logging, multiprocessing, os
def child(n):
    print("child", n, flush=True)
    logging.warning("child logs")
    os._exit(3) if n == 9 else None
def handler(event, context):
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child, args=(n,)) for n in (1, 2, 9)]
    for c in children: c.start()
    for c in children: c.join()
    sleeper = context.Process(target=__import__("time").sleep, args=(60,))
    sleeper.start(); sleeper.terminate(); sleeper.join()
    return [c.exitcode for c in children] + [sleeper.exitcode]
`}})
			wantJSON(t, in.Call(t, "r", "{}"), "[0, 0, 3, -15]")
			wantJSON(t, in.Call(t, "s", "{}"), "[0, 0, 3, -15]")
			in.Conn.Close()
			out := in.Output(t)
			if strings.Count(out, "child 1\n") != 2 || strings.Count(out, "child logs\n") != 6 {
				t.Errorf("the pipe says %q", out)
			}
		})
	}
}
