package shim_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"hearth/internal/link"
	"hearth/internal/link/shim/shimtest"
)

// Quick invocations run one after another in one thread; one that waits must never make
// others wait, least of all for what only they can bring.
const pythonPairs = `
import threading, time
came = {}
lock = threading.Lock()

def event_of(n):
    with lock:
        return came.setdefault(n, threading.Event())

def handler(event, context):
    kind, n = event["kind"], event["n"]
    print("line of", n)
    if kind == "waits":
        if not event_of(n).wait(30):
            return "nobody came"
    elif kind == "frees":
        event_of(n).set()
    elif kind == "sleeps":
        time.sleep(event["for"])
    elif kind == "fails":
        raise ValueError("as asked: %d" % n)
    return [kind, n, context.aws_request_id]
`

func TestPythonWaitsForOneBehind(t *testing.T) {
	in := startPython(t, shimtest.Options{Slots: 40, Files: map[string]string{"app.py": pythonPairs}})
	for round := range 60 {
		var waits []func() shimtest.Result
		begin := func(kind string, n int) {
			call := link.NewCall()
			call.ID = fmt.Sprintf("r%d", len(waits))
			call.Payload = fmt.Appendf(nil, `{"kind":%q,"n":%d}`, kind, n)
			waits = append(waits, in.Begin(t, call))
		}
		for i := range round % 7 {
			begin("quick", i)
		}
		begin("waits", round)
		for i := range round % 5 {
			begin("quick", i)
		}
		begin("frees", round)
		for i, wait := range waits {
			if r := wait(); r.Err != nil || r.Failed || r.Response == `"nobody came"` {
				t.Fatalf("round %d, invocation %d: %v", round, i, r)
			}
		}
	}
}

func TestPythonQuickAndSlowMixed(t *testing.T) {
	in := startPython(t, shimtest.Options{Slots: 64, Files: map[string]string{"app.py": pythonPairs}})
	const flights, rounds = 32, 60
	var all sync.WaitGroup
	for flight := range flights {
		all.Go(func() {
			for round := range rounds {
				n := flight*rounds + round
				// Phases in which all are quick, others in which few are.
				kind, seconds := "quick", 0.0
				switch choice := (n * 7919) % 97; {
				case choice == 0, round/10%2 == 1 && choice < 40:
					kind, seconds = "sleeps", float64(1+choice)/8000
				case choice < 4:
					kind = "fails"
				case choice < 8:
					kind = "waits"
				}
				begin := func(id, kind string) func() shimtest.Result {
					call := link.NewCall()
					call.ID = id
					call.Payload = fmt.Appendf(nil, `{"kind":%q,"n":%d,"for":%f}`, kind, n, seconds)
					return in.Begin(t, call)
				}
				id := fmt.Sprintf("r%d", n)
				results := []func() shimtest.Result{begin(id, kind)}
				kinds := []string{kind}
				if kind == "waits" {
					results, kinds = append(results, begin(id+"f", "frees")), append(kinds, "frees")
				}
				for i, result := range results {
					r := result()
					switch want := fmt.Sprintf(`[%q, %d, "%s%s"]`, kinds[i], n, id, map[bool]string{true: "f"}[i == 1]); {
					case kind == "fails" && !r.Failed, kind != "fails" && (r.Err != nil || r.Failed || r.Response != want):
						t.Errorf("invocation %d: %v, want %s", n, r, want)
					}
					if got, want := in.Log(fmt.Sprint(id, map[bool]string{true: "f"}[i == 1]), 1), fmt.Sprintf("line of %d\n", n); got != want {
						t.Errorf("the log of invocation %d: %q, want %q", n, got, want)
					}
				}
			}
		})
	}
	all.Wait()
}

// Many that wait run beside one another, whatever came before.
func TestPythonWaitersRunAtOnce(t *testing.T) {
	in := startPython(t, shimtest.Options{Slots: 40, Files: map[string]string{"app.py": pythonPairs}})
	for range 300 { // quick ones, one after another
		in.Call(t, "r", `{"kind":"quick","n":1}`)
	}
	start := time.Now()
	var waits []func() shimtest.Result
	for i := range 40 {
		call := link.NewCall()
		call.ID = fmt.Sprint(i)
		call.Payload = fmt.Appendf(nil, `{"kind":"sleeps","n":%d,"for":0.5}`, i)
		waits = append(waits, in.Begin(t, call))
	}
	for i, wait := range waits {
		wantJSON(t, wait(), fmt.Sprintf(`["sleeps", %d, "%d"]`, i, i))
	}
	if took := time.Since(start); took > 8*time.Second { // one after the other they take 20
		t.Errorf("took %v; they did not run at once", took)
	}
}

// Where the process may have no more threads, those that there are do all the work, and
// others come when they may.
func TestPythonWithoutMoreThreads(t *testing.T) {
	in := startPython(t, shimtest.Options{Slots: 40, Files: map[string]string{"app.py": `
import threading, time
real = threading._start_new_thread
refused = 0

def refuse(*args):
    global refused
    refused += 1
    raise RuntimeError("can't start new thread")

def handler(event, context):
    if event == "starve":
        threading._start_new_thread = refuse
    elif event == "feed":
        threading._start_new_thread = real
        return refused > 0
    else:
        time.sleep(event)
    return event
`}})
	together := func(n int, seconds string) time.Duration {
		start := time.Now()
		var waits []func() shimtest.Result
		for i := range n {
			call := link.NewCall()
			call.ID = fmt.Sprint(i)
			call.Payload = []byte(seconds)
			waits = append(waits, in.Begin(t, call))
		}
		for _, wait := range waits {
			wantJSON(t, wait(), seconds)
		}
		return time.Since(start)
	}
	wantJSON(t, in.Call(t, "r", `"starve"`), `"starve"`)
	together(6, "0.1")
	together(30, "0.001")
	wantJSON(t, in.Call(t, "r", `"feed"`), `true`)
	together(20, "0.05") // some may still have come before others might
	if took := together(20, "0.5"); took > 5*time.Second {
		t.Errorf("twenty took %v; they did not run at once", took)
	}
}
