package shim_test

import (
	"testing"
	"time"

	"hearth/internal/link"
	"hearth/internal/link/shim/shimtest"
)

// hooks notes what runs at the end; HANDLER stands for how SIGTERM is handled.
const hooks = `
import atexit, os, signal, threading
def note(text):
    print(text, flush=True)
atexit.register(note, "exit hook")
`

func TestPythonShutdownWhenIdle(t *testing.T) {
	inEveryWay(t, hooks+`
def term(signum, frame):
    note("SIGTERM handler")
signal.signal(signal.SIGTERM, term)
assert signal.getsignal(signal.SIGTERM) is term
DEF handler(event, context): return 1
`, func(t *testing.T, in *shimtest.Instance) {
		wantJSON(t, in.Call(t, "r", "{}"), "1")
		wantLeaves(t, in, 5*time.Second, "SIGTERM handler\nexit hook\n")
	})
}

// wantLeaves shuts the instance down and checks how it goes.
func wantLeaves(t *testing.T, in *shimtest.Instance, grace time.Duration, log string) {
	t.Helper()
	start := time.Now()
	in.Conn.Shutdown(grace)
	if code := in.Exit(t); code != 0 {
		t.Errorf("exit code %d: %s", code, in.Output(t))
	}
	if took := time.Since(start); took > grace+20*time.Second {
		t.Errorf("left after %v", took)
	}
	<-in.Conn.Done()
	wantLog(t, in, "", 1, log)
}

func TestPythonShutdownVariants(t *testing.T) {
	for name, test := range map[string]struct{ code, log string }{
		"no handler":      {"", "exit hook\n"},
		"handler exits":   {"def term(*_):\n  note('term')\n  raise SystemExit(0)\nsignal.signal(signal.SIGTERM, term)", "term\nexit hook\n"},
		"handler fails":   {"def term(*_):\n  note('term')\n  1/0\nsignal.signal(signal.SIGTERM, term)", "term\nexit hook\n"},
		"ignored":         {"signal.signal(signal.SIGTERM, signal.SIG_IGN)", "exit hook\n"},
		"back to default": {"signal.signal(signal.SIGTERM, lambda *_: None)\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)", "exit hook\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inEveryWay(t, hooks+test.code+"\nDEF handler(event, context): return 1\n", func(t *testing.T, in *shimtest.Instance) {
				wantJSON(t, in.Call(t, "r", "{}"), "1")
				wantLeaves(t, in, 5*time.Second, test.log)
			})
		})
	}
}

// The handler is in the middle of something long.
func TestPythonShutdownWhenBusy(t *testing.T) {
	inEveryWay(t, hooks+`
signal.signal(signal.SIGTERM, lambda *_: note("SIGTERM handler"))
DEF handler(event, context):
    print("began")
    SLEEP(600)
`, func(t *testing.T, in *shimtest.Instance) {
		call := link.NewCall()
		call.ID, call.Payload = "r", []byte("{}")
		wait := in.Begin(t, call)
		waitForLog(t, in, "r", "began")
		start := time.Now()
		const grace = 50 * time.Second
		in.Conn.Shutdown(grace)
		wait()
		in.Exit(t)
		if took := time.Since(start); took > grace/2 {
			t.Errorf("left after %v", took)
		}
		<-in.Conn.Done()
		// With one invocation at a time, all that is written while it runs is its own.
		want := "SIGTERM handler\nexit hook\nbegan\n"
		if log := in.Log("", 1) + in.Log("r", 1); log != want && log != "began\nSIGTERM handler\nexit hook\n" {
			t.Errorf("log %q", log)
		}
	})
}

// add_signal_handler is asyncio's own way; cancelled handlers may clean up.
func TestPythonShutdownOfALoop(t *testing.T) {
	in := startPython(t, shimtest.Options{Slots: 3, Files: map[string]string{"app.py": hooks + `
import asyncio
async def handler(event, context):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: os.write(1, b"loop handler\n"))
    if event: return 1
    print("began")
    try:
        await asyncio.sleep(600)
    finally:
        os.write(1, b"cleaned up\n")
`}})
	wantJSON(t, in.Call(t, "r", "1"), "1")
	call := link.NewCall()
	call.ID, call.Payload = "slow", []byte("0")
	wait := in.Begin(t, call)
	waitForLog(t, in, "slow", "began")
	in.Conn.Shutdown(5 * time.Second)
	wait()
	if out := in.Output(t); out != "loop handler\ncleaned up\n" {
		t.Errorf("output %q", out)
	}
}

// Grace ends, whatever hooks and threads do.
func TestPythonShutdownIsFirm(t *testing.T) {
	inEveryWay(t, `
import atexit, threading, time as t
atexit.register(t.sleep, 600)
DEF handler(event, context):
    threading.Thread(target=t.sleep, args=(600,)).start()
    return 1
`, func(t *testing.T, in *shimtest.Instance) {
		wantJSON(t, in.Call(t, "r", "{}"), "1")
		wantLeaves(t, in, 200*time.Millisecond, "")
	})
}

func TestPythonEndsWithTheConnection(t *testing.T) {
	inEveryWay(t, `
import time as t
DEF handler(event, context):
    print("began")
    if event == "compute":
        while True: pass
    if event == "block": t.sleep(600)
    if event == "flood":
        while True: print("x" * 1000)
`, func(t *testing.T, in *shimtest.Instance) {
		in.Conn.Close()
		in.Exit(t)
	})
	for _, event := range []string{"compute", "block", "flood"} {
		t.Run(event, func(t *testing.T) {
			inEveryWay(t, `
import time as t
DEF handler(event, context):
    print("began")
    if event == "compute":
        while True: pass
    if event == "block": t.sleep(600)
    if event == "flood":
        while True: print("x" * 1000)
`, func(t *testing.T, in *shimtest.Instance) {
				call := link.NewCall()
				call.ID, call.Payload = "r", []byte(`"`+event+`"`)
				in.Begin(t, call)
				waitForLog(t, in, "r", "began")
				in.Conn.Close()
				in.Exit(t)
			})
		})
	}
}
