package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/logs"
	"hearth/internal/sandbox"
)

func failure(t *testing.T, res *hearth.Result) hearth.FailureDoc {
	t.Helper()
	var doc hearth.FailureDoc
	if res == nil || res.FunctionError == "" {
		t.Fatalf("no failure: %+v", res)
	}
	if err := json.Unmarshal(res.Payload, &doc); err != nil {
		t.Fatalf("%v: %q", err, res.Payload)
	}
	return doc
}

func TestAWarmInstanceServesAgain(t *testing.T) {
	m := &machine{script: echo}
	w := newWorker(t, m, nil)
	v := version("f", hearth.Exclusive, nil)
	for i := range 3 {
		res, err := w.call(v)
		if err != nil || string(res.Payload) != `"ok"` || res.Seq != uint64(i+1) || res.Cold != (i == 0) {
			t.Fatalf("call %d: %+v, %v", i, res, err)
		}
		if hasInit := res.Report.Init > 0; hasInit != (i == 0) {
			t.Errorf("call %d reports an init of %v", i, res.Report.Init)
		}
		if tail := string(res.LogTail); !strings.Contains(tail, "START RequestId: ") || !strings.Contains(tail, "REPORT RequestId: ") {
			t.Errorf("call %d: log tail %q", i, tail)
		}
	}
	if len(m.made) != 1 {
		t.Errorf("%d instances, want 1", len(m.made))
	}
}

// Answers that were written before the end still count; those in flight fail with
// words that tell how the process ended and how many it took along.
func TestDeathIsTold(t *testing.T) {
	for _, c := range []struct {
		name string
		how  sandbox.Exit
		last string // on its standard error
		kind string
		say  string
	}{
		{"exit status", sandbox.Exit{Code: 7}, "", hearth.TypeExit, "exit status 7"},
		{"no reason", sandbox.Exit{}, "", hearth.TypeExit, "without providing a reason"},
		{"signal", sandbox.Exit{Code: 139, Signal: syscall.SIGSEGV}, "", hearth.TypeExit, "signal: segmentation fault"},
		{"memory", sandbox.Exit{Code: 137, Signal: syscall.SIGKILL, OOM: true}, "", hearth.TypeOutOfMemory, "256 MB"},
		{"heap", sandbox.Exit{Code: 134, Signal: syscall.SIGABRT}, "FATAL ERROR: JavaScript heap out of memory\n", hearth.TypeOutOfMemory, "256 MB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &machine{script: func(b *box) {
				var streams []uint32
				b.serve(func(f frame) {
					if streams = append(streams, f.stream); len(streams) < 3 {
						return
					}
					b.send(frame{kind: frameResult, stream: streams[0], body: []byte(`"just in time"`)})
					b.out.WriteString(c.last)
					b.exit(c.how)
				})
			}}
			w := newWorker(t, m, nil)
			v := version("f", hearth.Concurrent, nil)
			var inTime atomic.Int32
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					res, err := w.call(v)
					if err != nil {
						t.Error(err)
						return
					}
					if res.FunctionError == "" {
						inTime.Add(1)
						return
					}
					doc := failure(t, res)
					if doc.ErrorType != c.kind || !strings.Contains(doc.ErrorMessage, c.say) || !strings.Contains(doc.ErrorMessage, "2 invocations shared") {
						t.Errorf("%s: %s", doc.ErrorType, doc.ErrorMessage)
					}
				})
			}
			wg.Wait()
			if inTime.Load() != 1 {
				t.Errorf("%d answers came in time, want 1", inTime.Load())
			}
		})
	}
}

func TestALiarHarmsItsOwnInstanceOnly(t *testing.T) {
	liar := version("liar", hearth.Exclusive, nil)
	honest := version("honest", hearth.Exclusive, nil)
	m := &machine{script: func(b *box) {
		if !strings.Contains(strings.Join(b.spec.Env, " "), "AWS_LAMBDA_FUNCTION_NAME=liar") {
			echo(b)
			return
		}
		b.serve(func(f frame) { b.send(frame{kind: frameResult, stream: f.stream + 77, body: []byte(`1`)}) })
	}}
	w := newWorker(t, m, nil)
	if _, err := w.call(honest); err != nil {
		t.Fatal(err)
	}
	res, err := w.call(liar)
	if err != nil {
		t.Fatal(err)
	}
	if doc := failure(t, res); doc.ErrorType != hearth.TypeProtocol {
		t.Errorf("%s: %s", doc.ErrorType, doc.ErrorMessage)
	}
	if res, err := w.call(honest); err != nil || res.Seq != 2 {
		t.Errorf("the honest one: %+v, %v", res, err)
	}
}

func TestInitFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(b *box)
		init   time.Duration
		kind   string
		say    string
	}{
		{"reported", func(b *box) {
			b.hello()
			b.next()
			b.send(frame{kind: frameInitError, body: []byte(`{"errorType":"TypeError","errorMessage":"at load"}`)})
			b.exit(sandbox.Exit{Code: 1})
		}, time.Minute, "TypeError", "at load"},
		{"exit before hello", func(b *box) { b.exit(sandbox.Exit{Code: 127}) }, time.Minute, hearth.TypeExit, "exit status 127"},
		{"silent", func(b *box) { b.hello(); <-b.done }, 200 * time.Millisecond, hearth.TypeTimedOut, "Task timed out after 0.10 seconds. Init timed out after 0.20 seconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorker(t, &machine{script: c.script}, func(cfg *Config) { cfg.InitTimeout = c.init })
			v := version("f", hearth.Exclusive, func(c *hearth.Config) { c.Timeout = 100 * time.Millisecond })
			res, err := w.call(v)
			if err != nil {
				t.Fatal(err)
			}
			if doc := failure(t, res); doc.ErrorType != c.kind || !strings.Contains(doc.ErrorMessage, c.say) {
				t.Errorf("%s: %s", doc.ErrorType, doc.ErrorMessage)
			}
		})
	}
}

// The platform's own failure to make a sandbox is an error, not the function's.
func TestNoSandbox(t *testing.T) {
	w := newWorker(t, &machine{script: echo, refuse: errNoRoot}, nil)
	_, err := w.call(version("f", hearth.Exclusive, nil))
	if hearth.CodeOf(err) != hearth.ErrInternal || !strings.Contains(err.Error(), errNoRoot.Error()) {
		t.Error(err)
	}
}

// A driver that has no room says so in words and with a code of its own.
func TestNoRoomForASandbox(t *testing.T) {
	full := fmt.Errorf("start sandbox: %w", hearth.Errorf(hearth.ErrCapacity, "the disk is full"))
	w := newWorker(t, &machine{script: echo, refuse: full}, nil)
	v := version("f", hearth.Exclusive, nil)
	for range 2 { // also while it is not tried again
		_, err := w.call(v)
		if hearth.CodeOf(err) != hearth.ErrCapacity || !strings.Contains(err.Error(), "the disk is full") {
			t.Error(err)
		}
	}
}

func TestTimeOutRetiresAndTheOthersFinish(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{})
	m := &machine{script: func(b *box) {
		var calls int
		b.serve(func(f frame) {
			if calls++; calls > 1 {
				return // never answered
			}
			close(arrived)
			stream := f.stream
			b.tasks.Go(func() {
				<-release
				b.send(frame{kind: frameResult, stream: stream, body: []byte(`"late but fine"`)})
			})
		})
	}}
	w := newWorker(t, m, nil)
	slow := version("f", hearth.Concurrent, func(c *hearth.Config) { c.Timeout = 50 * time.Millisecond })
	patient := version("f", hearth.Concurrent, func(c *hearth.Config) { c.Timeout = time.Minute }) // the same identity, and so the same instance
	var wg sync.WaitGroup
	wg.Go(func() {
		res, err := w.call(patient)
		if err != nil || string(res.Payload) != `"late but fine"` {
			t.Errorf("the other one: %+v, %v", res, err)
		}
	})
	// The first call starts the instance; while it runs the other joins.
	<-arrived
	res, err := w.call(slow)
	if err != nil {
		t.Error(err)
	}
	close(release)
	wg.Wait()
	if doc := failure(t, res); doc.ErrorType != hearth.TypeTimedOut || !strings.HasSuffix(doc.ErrorMessage, "Task timed out after 0.05 seconds") {
		t.Errorf("%s: %s", doc.ErrorType, doc.ErrorMessage)
	}
	if len(m.boxes()) != 1 {
		t.Errorf("%d instances, want one that both share", len(m.boxes()))
	}
	waitUntil(t, func() bool { return len(w.Instances("f")) == 0 })
}

// waitUntil polls for something that has no event.
func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testPatience); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v", testPatience)
}

func TestDrainMovesThoseWhoWait(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	m := &machine{script: func(b *box) {
		<-over // says nothing, so the instance stays in its init
		b.exit(sandbox.Exit{Code: 1})
	}}
	w := newWorker(t, m, func(cfg *Config) { cfg.InitTimeout = time.Minute })
	v := version("f", hearth.Exclusive, nil)
	got := make(chan error, 1)
	go func() {
		_, err := w.call(v)
		got <- err
	}()
	waitUntil(t, func() bool { return w.Stats().Waiting == 1 })
	w.DrainUnless("f", func(string) bool { return false })
	if err := <-got; hearth.CodeOf(err) != hearth.ErrMoved {
		t.Errorf("the one that waited: %v", err)
	}
	if _, err := w.call(v); hearth.CodeOf(err) != hearth.ErrMoved {
		t.Errorf("one that resolved the old version: %v", err)
	}
}

// Inits that hang keep nobody but their own function waiting.
func TestSlowInitsDelayNobodyElse(t *testing.T) {
	over := make(chan struct{})
	m := &machine{script: func(b *box) {
		if strings.Contains(strings.Join(b.spec.Env, " "), "AWS_LAMBDA_FUNCTION_NAME=slow") {
			b.hello()
			<-over
			b.exit(sandbox.Exit{Code: 1})
			return
		}
		echo(b)
	}}
	const hangs = 2 * testPatience
	w := newWorker(t, m, func(cfg *Config) { cfg.MemoryMB, cfg.InitTimeout = 1<<20, hangs })
	slow := version("slow", hearth.Exclusive, func(c *hearth.Config) { c.Timeout = 100 * time.Millisecond })
	var wg sync.WaitGroup
	for range 3 * cap(w.starts) {
		wg.Go(func() { w.call(slow) })
	}
	waitUntil(t, func() bool { return len(w.Instances("slow")) >= w.gates.width })
	begin := time.Now()
	if res, err := w.call(version("fast", hearth.Exclusive, nil)); err != nil || res.FunctionError != "" {
		t.Errorf("%+v, %v", res, err)
	}
	if took := time.Since(begin); took > hangs/2 {
		t.Errorf("a cold start beside hanging inits took %v", took)
	}
	close(over)
	wg.Wait()
}

// Who resolved a name just before an update must not bring the old code back.
func TestVersionsNobodyUsesAreNotStarted(t *testing.T) {
	var used atomic.Bool
	m := &machine{script: echo}
	w := newWorker(t, m, func(cfg *Config) { cfg.InUse = func(*hearth.Version) bool { return used.Load() } })
	v := version("f", hearth.Exclusive, nil)
	if _, err := w.call(v); hearth.CodeOf(err) != hearth.ErrMoved {
		t.Errorf("a version nobody uses: %v", err)
	}
	if len(m.made) != 0 {
		t.Error("a sandbox was made for it")
	}
	used.Store(true)
	next := version("f", hearth.Exclusive, nil)
	next.Identity = "f/2"
	if _, err := w.call(next); err != nil {
		t.Error(err)
	}
}

// A version that was drained and is of use again, as after a restore, serves at once.
func TestAVersionThatComesBack(t *testing.T) {
	var used atomic.Bool
	used.Store(true)
	w := newWorker(t, &machine{script: echo}, func(cfg *Config) { cfg.InUse = func(*hearth.Version) bool { return used.Load() } })
	v := version("f", hearth.Exclusive, nil)
	if _, err := w.call(v); err != nil {
		t.Fatal(err)
	}
	used.Store(false)
	w.DrainUnless("f", func(string) bool { return false })
	if _, err := w.call(v); hearth.CodeOf(err) != hearth.ErrMoved {
		t.Fatalf("drained: %v", err)
	}
	used.Store(true)
	w.call(v) // moved once more; the next try finds it open
	if res, err := w.call(v); err != nil || res.FunctionError != "" {
		t.Errorf("back again: %+v, %v", res, err)
	}
}

func TestAFailedInitShowsItsLog(t *testing.T) {
	w := newWorker(t, &machine{script: func(b *box) {
		b.out.WriteString("cannot open the database\n")
		b.hello()
		b.next()
		b.send(frame{kind: frameInitError, body: []byte(`{"errorType":"Error","errorMessage":"no database"}`)})
		b.exit(sandbox.Exit{Code: 1})
	}}, nil)
	res, err := w.call(version("f", hearth.Exclusive, nil))
	if err != nil || !strings.Contains(string(res.LogTail), "no database") {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestClosingDescriptor3IsNamed(t *testing.T) {
	w := newWorker(t, &machine{script: func(b *box) {
		b.serve(func(frame) { b.shim.Close(); <-b.done })
	}}, nil)
	res, err := w.call(version("f", hearth.Exclusive, nil))
	if err != nil {
		t.Fatal(err)
	}
	if doc := failure(t, res); doc.ErrorType != hearth.TypeProtocol || !strings.Contains(doc.ErrorMessage, "descriptor 3 was closed") {
		t.Errorf("%s: %s", doc.ErrorType, doc.ErrorMessage)
	}
}

// Memory of victims is used only once they are really gone.
func TestEvictionWaitsForTheVictim(t *testing.T) {
	m := &machine{script: echo}
	w := newWorker(t, m, func(cfg *Config) { cfg.MemoryMB = 512 })
	for _, name := range []string{"a", "b", "c", "a", "b", "c"} {
		if res, err := w.call(version(name, hearth.Exclusive, nil)); err != nil || res.FunctionError != "" {
			t.Fatalf("%s: %+v, %v", name, res, err)
		}
	}
	if m.most > 2 {
		t.Errorf("%d sandboxes of 256 MB at once on a node of 512 MB", m.most)
	}
}

// A process may be known to have ended before what it said last has been read.
func TestTheLastLinesOfOneThatLeaves(t *testing.T) {
	m := &machine{script: func(b *box) {
		b.hello()
		for {
			switch f := b.next(); f.kind {
			case frameInit:
				b.send(frame{kind: frameReady, body: []byte(`{}`)})
			case frameInvoke:
				b.send(frame{kind: frameResult, stream: f.stream, body: []byte(`"ok"`)})
			case frameShutdown:
				b.once.Do(func() { close(b.done) })
				<-time.After(50 * time.Millisecond) // whoever does not wait for it is gone by then
				b.send(frame{kind: frameLog, body: []byte("\x01good-bye\n")})
				fallthrough
			case 0:
				b.shim.Close()
				b.out.Close()
				return
			}
		}
	}}
	var log *logs.Logs
	w := newWorker(t, m, func(cfg *Config) { log = cfg.Logs })
	if _, err := w.call(version("f", hearth.Exclusive, nil)); err != nil {
		t.Fatal(err)
	}
	w.DrainUnless("f", func(string) bool { return false })
	waitUntil(t, func() bool { return w.Stats().ReservedMB == 0 })
	entries, err := log.Query(hearth.LogFilter{Function: "f"})
	if err != nil || !slices.ContainsFunc(entries, func(e hearth.LogEntry) bool { return strings.Contains(e.Text, "good-bye") }) {
		t.Errorf("the log has no good-bye: %+v, %v", entries, err)
	}
}

func TestCloseLetsWorkFinish(t *testing.T) {
	release := make(chan struct{})
	m := &machine{script: func(b *box) {
		b.serve(func(f frame) {
			<-release
			b.send(frame{kind: frameResult, stream: f.stream, body: []byte(`"done"`)})
		})
	}}
	w := newWorker(t, m, nil)
	v := version("f", hearth.Exclusive, nil)
	got := make(chan *hearth.Result, 1)
	go func() {
		res, err := w.call(v)
		if err != nil {
			t.Error(err)
		}
		got <- res
	}()
	waitUntil(t, func() bool { return w.Stats().InFlight == 1 })
	closed := make(chan error, 1)
	go func() { closed <- w.Close(context.Background()) }()
	waitUntil(t, func() bool { return w.closing.Load() })
	if _, err := w.call(v); hearth.CodeOf(err) != hearth.ErrShuttingDown {
		t.Errorf("a new call: %v", err)
	}
	close(release)
	if res := <-got; res.FunctionError != "" || string(res.Payload) != `"done"` {
		t.Errorf("the call under way: %s", res.Payload)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	m := &machine{script: func(b *box) { b.serve(func(frame) {}) }} // never answers
	w := newWorker(t, m, nil)
	got := make(chan *hearth.Result, 1)
	go func() {
		res, _ := w.call(version("f", hearth.Exclusive, nil))
		got <- res
	}()
	waitUntil(t, func() bool { return w.Stats().InFlight == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		t.Error(err)
	}
	if doc := failure(t, <-got); doc.ErrorType != hearth.TypeInstanceFailed {
		t.Errorf("%s: %s", doc.ErrorType, doc.ErrorMessage)
	}
}

func TestACallerWhoLeavesTheQueue(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	m := &machine{script: func(b *box) { b.hello(); <-over; b.exit(sandbox.Exit{Code: 1}) }}
	w := newWorker(t, m, func(cfg *Config) { cfg.InitTimeout = time.Minute })
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error, 1)
	go func() {
		_, err := w.invoke(&hearth.Invocation{Context: ctx, ID: "r", Version: version("f", hearth.Exclusive, nil)})
		got <- err
	}()
	waitUntil(t, func() bool { return w.Stats().Waiting == 1 })
	cancel()
	if err := <-got; err != context.Canceled {
		t.Error(err)
	}
	if s := w.Stats(); s.Waiting != 0 {
		t.Errorf("still %d in the queue", s.Waiting)
	}
}

func BenchmarkInvoke(b *testing.B) {
	m := &machine{script: echo}
	w := newWorker(b, m, nil)
	v := version("f", hearth.Exclusive, nil)
	inv := &hearth.Invocation{ID: hearth.NewRequestID(), Version: v, Payload: []byte("{}")}
	b.ReportAllocs()
	done := make(told, 1)
	for b.Loop() {
		w.Start(inv, done)
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// told is a Completion for one invocation after the other.
type told chan error

func (t told) Complete(_ *hearth.Result, err error) { t <- err }
