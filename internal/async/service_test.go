package async

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

func TestEventSucceeds(t *testing.T) {
	w := up(t, function("f"))
	var got Event
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		got = *e
		return &hearth.Result{Instance: "i7"}, nil
	}
	sent := Event{ID: hearth.NewRequestID(), Function: "f", Qualifier: "prod", Payload: []byte(`{"a":"ü"}`),
		ClientContext: []byte(`{"c":1}`), TraceID: "Root=1", InvokedARN: "arn:f:prod"}
	if err := w.Submit(testContext(t), sent); err != nil {
		t.Fatal(err)
	}
	status := w.reaches(sent.ID, hearth.EventSucceeded)
	if status.Attempt != 1 || status.Instance != "i7" || status.Condition != hearth.ConditionSuccess || status.Qualifier != "prod" ||
		time.Since(status.Accepted) > testTime || status.Error != "" {
		t.Errorf("%+v", status)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", sent) {
		t.Errorf("got %+v, want %+v", got, sent)
	}
	if _, err := w.queue.Next(testContext(t), ">", 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the queue is not empty: %v", err)
	}
}

func TestSubmitRefuses(t *testing.T) {
	w := up(t, function("f"))
	for code, e := range map[hearth.ErrorCode]Event{
		hearth.ErrNotFound: {ID: "1", Function: "g"},
		hearth.ErrInvalid:  {Function: "f"},
		hearth.ErrTooLarge: {ID: "1", Function: "f", Payload: make([]byte, hearth.MaxAsyncPayloadBytes+1)},
	} {
		wantCode(t, w.Submit(testContext(t), e), code)
	}
	_, err := w.Status(testContext(t), "1")
	wantCode(t, err, hearth.ErrNotFound)
	payload := `"` + strings.Repeat("x", hearth.MaxAsyncPayloadBytes-2) + `"`
	w.reaches(w.submit("f", payload), hearth.EventSucceeded)
	if err := w.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.Submit(testContext(t), Event{ID: "1", Function: "f"}), hearth.ErrShuttingDown)
}

// TestRefusalsBackOff: throttled twice, then served; the same id each time.
func TestRefusalsBackOff(t *testing.T) {
	w := up(t, function("f"))
	var times []time.Time
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		times = append(times, time.Now())
		if len(times) < 3 {
			return nil, hearth.Errorf(hearth.ErrReservedLimit, "Rate Exceeded.")
		}
		return &hearth.Result{}, nil
	}
	id := w.submit("f", "{}")
	status := w.reaches(id, hearth.EventRetrying)
	if status.NextAttempt.Sub(status.Changed) != time.Second && status.NextAttempt.Sub(status.Changed).Round(10*time.Millisecond) != time.Second ||
		status.Error == "" || status.Attempt != 1 {
		t.Errorf("%+v", status)
	}
	if b, err := w.Backlog(testContext(t), "f"); err != nil || b.Retrying != 1 || b.Queued != 0 || b.Retries != 1 {
		t.Errorf("%+v, %v", b, err)
	}
	if status := w.reaches(id, hearth.EventSucceeded); status.Attempt != 3 {
		t.Errorf("%+v", status)
	}
	if w.count(id) != 3 || times[1].Sub(times[0]) < time.Second || times[2].Sub(times[1]) < 2*time.Second {
		t.Errorf("%d calls at %v", w.count(id), times)
	}
}

// TestFunctionErrorsAreBuried: with no retries left the event goes to the dead-letter
// store, where it can be read, replayed and purged.
func TestFunctionErrorsAreBuried(t *testing.T) {
	f := function("f")
	f.Async = &hearth.AsyncConfig{Retries: new(int)}
	w := up(t, f)
	var fail sync.Map
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		if _, no := fail.Load(e.ID); no {
			return &hearth.Result{}, nil
		}
		return failed("TypeError", "x is not a function"), nil
	}
	id := w.submit("f", `{"n":1}`)
	status := w.reaches(id, hearth.EventDead)
	if status.Condition != hearth.ConditionExhausted || status.ErrorType != "TypeError" || status.Error != "x is not a function" || status.Attempt != 1 {
		t.Errorf("%+v", status)
	}
	list := w.deadLetters("")
	if len(list) != 1 || list[0].ID != id || list[0].Attempts != 1 || list[0].Size != 7 || list[0].Payload != nil || list[0].Died.IsZero() {
		t.Fatalf("%+v", list)
	}
	d, err := w.DeadLetter(testContext(t), list[0].Key)
	if err != nil || string(d.Payload) != `{"n":1}` || d.Condition != hearth.ConditionExhausted {
		t.Errorf("%+v, %v", d, err)
	}
	fail.Store(id, true)
	if again, err := w.Replay(testContext(t), list[0].Key); err != nil || again != id {
		t.Fatalf("%s, %v", again, err)
	}
	w.reaches(id, hearth.EventSucceeded)
	_, err = w.DeadLetter(testContext(t), list[0].Key)
	wantCode(t, err, hearth.ErrNotFound)
	for range 3 {
		w.reaches(w.submit("f", "1"), hearth.EventDead)
	}
	if n, err := w.PurgeDeadLetters(testContext(t), "g"); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if list, err := w.DeadLetters(testContext(t), "f", list[0].Key, 2); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	if n, err := w.PurgeDeadLetters(testContext(t), "f"); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if list := w.deadLetters(""); len(list) != 0 {
		t.Errorf("%v", list)
	}
}

func TestEventsThatCannotRun(t *testing.T) {
	f, gone := function("f"), function("gone")
	f.Reserved = new(int)
	w := newWorld(t)
	w.functions["f"], w.functions["gone"] = f, gone
	w.open(Config{})
	zero, lost := w.submit("f", "{}"), w.submit("gone", "{}")
	old := record{Event: Event{ID: "old", Function: "f"}, Progress: Progress{Accepted: time.Now().Add(-7 * time.Hour)}}
	if err := w.enqueue(testContext(t), &old, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.queue.Publish(testContext(t), store.Message{Key: "f", Meta: []byte("no JSON"), Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	delete(w.functions, "gone")
	w.Start()
	for id, condition := range map[string]string{
		zero: hearth.ConditionZeroReserved, lost: hearth.ConditionRejected, "old": hearth.ConditionAge,
	} {
		if status := w.reaches(id, hearth.EventDead); status.Condition != condition || status.Attempt != 0 {
			t.Errorf("%+v, want %s", status, condition)
		}
	}
	eventually(t, "all are buried", func() bool { return len(w.deadLetters("")) == 4 })
	if len(w.calls) != 0 {
		t.Errorf("called: %v", w.calls)
	}
	key := w.deadLetters("gone")[0].Key
	_, err := w.Replay(testContext(t), key)
	wantCode(t, err, hearth.ErrNotFound)
}

// TestRestartAmidRetries: what waits for a retry, also one that is minutes away and
// one that came due meanwhile, is there after a restart, with its progress.
func TestRestartAmidRetries(t *testing.T) {
	w := up(t, function("f"))
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) { return failed("E", "no"), nil }
	id := w.submit("f", `"minutes"`)
	first := w.reaches(id, hearth.EventRetrying)
	if d := first.NextAttempt.Sub(first.Changed).Round(time.Second); d != time.Minute {
		t.Errorf("next attempt in %v", d)
	}
	due := record{Event: Event{ID: "due", Function: "f"}, Progress: Progress{Accepted: time.Now(), Attempts: 2, Failures: 1, Refusals: 1}}
	queued := due.status(hearth.EventRetrying, time.Now())
	w.note(&queued)
	w.close()
	w.open(Config{})
	if err := w.waker.put(testContext(t), &due, time.Now().Add(-time.Second), 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	w.close()
	w.invoke = nil
	w.open(Config{})
	w.Start()
	if status := w.reaches("due", hearth.EventSucceeded); status.Attempt != 3 {
		t.Errorf("%+v", status)
	}
	if status := w.reaches(id, hearth.EventRetrying); !status.NextAttempt.Equal(first.NextAttempt) {
		t.Errorf("%+v", status)
	}
	if b, err := w.Backlog(testContext(t), "f"); err != nil || b.Retrying != 1 || b.Running != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestRetriesAfterTheClockWentBack: all that waits in a lane is due after its delay,
// not each event a delay after the one before it.
func TestRetriesAfterTheClockWentBack(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	var ids []string
	for i := range 10 {
		rec := record{Event: Event{ID: fmt.Sprint("e", i), Function: "f"}, Progress: Progress{Accepted: time.Now(), Attempts: 1}}
		if err := w.waker.put(testContext(t), &rec, time.Now().Add(time.Hour), time.Second); err != nil {
			t.Fatal(err)
		}
		queued := rec.status(hearth.EventRetrying, time.Now())
		w.note(&queued)
		ids = append(ids, rec.ID)
	}
	begin := time.Now()
	w.Start()
	for _, id := range ids {
		w.reaches(id, hearth.EventSucceeded)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestBacklogMissesNothing: an event that goes to a lane or back to the queue while the
// counting goes on is in the count.
func TestBacklogMissesNothing(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	rec := record{Event: Event{ID: "mover", Function: "f"}, Progress: Progress{Accepted: time.Now()}}
	at, to := w.queue, w.later
	key := map[*store.Queue]string{w.queue: "f", w.later: laneKey("f", time.Second)}
	seq, err := at.Publish(testContext(t), rec.message(key[at], false))
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		var wg sync.WaitGroup
		wg.Go(func() {
			next, err := to.Publish(testContext(t), rec.message(key[to], false))
			if err == nil {
				err = at.Delete(testContext(t), seq)
			}
			if err != nil {
				t.Error(err)
			}
			seq = next
		})
		b, err := w.Backlog(testContext(t), "f")
		if err != nil || b.Queued+b.Retrying == 0 {
			t.Errorf("%+v, %v", b, err)
		}
		wg.Wait()
		at, to = to, at
	}
}

func TestDestinations(t *testing.T) {
	f, g, sink := function("f"), function("g"), function("sink")
	f.Async = &hearth.AsyncConfig{Retries: new(int), OnSuccess: hearth.FunctionARN("eu-west-1", "123456789012", "sink", ""),
		OnFailure: "sink", DeadLetter: "dlq"}
	g.Async = &hearth.AsyncConfig{Retries: new(int), OnFailure: "nobody"}
	w := up(t, f, g, sink)
	records := make(chan destinationRecord, 10)
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		switch {
		case e.Function == "sink":
			var r destinationRecord
			if err := json.Unmarshal(e.Payload, &r); err != nil {
				t.Error(err)
			}
			records <- r
			return &hearth.Result{}, nil
		case string(e.Payload) == `"good"`:
			return &hearth.Result{Version: "3", Payload: []byte(`{"ok":true}`)}, nil
		}
		return failed("E", "no"), nil
	}
	good := w.submit("f", `"good"`)
	r := <-records
	if r.Version != "1.0" || r.RequestContext.RequestID != good || r.RequestContext.Condition != hearth.ConditionSuccess ||
		r.RequestContext.ApproximateInvokeCount != 1 || string(r.RequestPayload) != `"good"` || string(r.ResponsePayload) != `{"ok":true}` ||
		*r.ResponseContext != (responseContext{200, "3", ""}) || r.RequestContext.FunctionARN != "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST" {
		t.Errorf("%+v", r)
	}
	bad := w.submit("f", `not JSON`)
	r = <-records
	if r.RequestContext.RequestID != bad || r.RequestContext.Condition != hearth.ConditionExhausted || string(r.RequestPayload) != `"not JSON"` ||
		r.ResponseContext.FunctionError != hearth.Unhandled {
		t.Errorf("%+v", r)
	}
	w.reaches(bad, hearth.EventDead)
	if list := w.deadLetters("f"); len(list) != 1 || list[0].ID != bad {
		t.Errorf("%+v", list)
	}
	w.reaches(w.submit("g", `1`), hearth.EventDead) // its destination is not there
	if list := w.deadLetters("g"); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

// TestFailuresAreKept: a failure sent to a subject that no stream keeps is a dead
// letter too, and a success is none.
func TestFailuresAreKept(t *testing.T) {
	sent, kept := function("sent"), function("kept")
	sent.Async = &hearth.AsyncConfig{Retries: new(int), OnFailure: "nats:nobody.listens", OnSuccess: "nats:nobody.listens"}
	kept.Async = &hearth.AsyncConfig{Retries: new(int), DeadLetter: "nats:nobody.listens", OnFailure: "nats:nobody.else"}
	w := up(t, sent, kept)
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		if string(e.Payload) == "good" {
			return &hearth.Result{}, nil
		}
		return failed("E", "no"), nil
	}
	w.reaches(w.submit("sent", "good"), hearth.EventSucceeded)
	for _, name := range []string{"sent", "kept"} {
		id := w.submit(name, "bad")
		w.reaches(id, hearth.EventDead)
		if list := w.deadLetters(name); len(list) != 1 || list[0].ID != id {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// TestOneFunctionInTwoRoles: a function that is both destinations of a failure gets
// both, and so do two qualifiers of one function.
func TestOneFunctionInTwoRoles(t *testing.T) {
	f, g := function("f"), function("g")
	f.Async = &hearth.AsyncConfig{Retries: new(int), OnFailure: "sink", DeadLetter: "sink"}
	g.Async = &hearth.AsyncConfig{Retries: new(int), OnFailure: "sink:prod", DeadLetter: "sink:dev"}
	w := up(t, f, g, function("sink"))
	got := make(chan string, 10)
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		if e.Function != "sink" {
			return failed("E", "no"), nil
		}
		got <- e.Qualifier + " " + strconv.FormatBool(string(e.Payload) == "bad")
		return &hearth.Result{}, nil
	}
	for name, want := range map[string][]string{"f": {" false", " true"}, "g": {"dev true", "prod false"}} {
		w.submit(name, "bad")
		var list []string
		for range 2 {
			select {
			case what := <-got:
				list = append(list, what)
			case <-testContext(t).Done():
				t.Fatalf("%s: only %q came", name, list)
			}
		}
		if slices.Sort(list); !slices.Equal(list, want) {
			t.Errorf("%s: %q, want %q", name, list, want)
		}
	}
}

// TestForwardedTwice: an end that is delivered again, as after a crash, is one event
// with one status.
func TestForwardedTwice(t *testing.T) {
	w := up(t, function("f"), function("sink"))
	rec := record{Event: Event{ID: "first", Function: "f", Payload: []byte("1")}, Progress: Progress{Accepted: time.Now(), Attempts: 1}}
	end := &ending{rec: &rec, now: time.Now(), condition: hearth.ConditionSuccess, result: &hearth.Result{}}
	id := idOf(rec.onceName("to/success/sink"))
	for range 3 {
		if err := w.deliver(testContext(t), "sink", end, roleSuccess); err != nil {
			t.Fatal(err)
		}
		w.reaches(id, hearth.EventSucceeded)
	}
	if b, err := w.Backlog(testContext(t), "sink"); err != nil || b.Accepted != 1 || w.count(id) != 1 {
		t.Errorf("%+v, %v; %d attempts", b, err, w.count(id))
	}
	if n := w.count(id); n != len(w.order) || len(id) != len(hearth.NewRequestID()) {
		t.Errorf("%d attempts of %s, %d in all", n, id, len(w.order))
	}
	for range 2 {
		if err := w.SubmitOnce(testContext(t), Event{ID: "beat", Function: "f"}); err != nil {
			t.Fatal(err)
		}
		w.reaches("beat", hearth.EventSucceeded)
	}
	if b, err := w.Backlog(testContext(t), "f"); err != nil || b.Accepted != 1 {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestRoundAndRound: functions that are each other's destinations come to an end.
func TestRoundAndRound(t *testing.T) {
	f, g := function("f"), function("g")
	f.Async, g.Async = &hearth.AsyncConfig{OnSuccess: "g"}, &hearth.AsyncConfig{OnSuccess: "f"}
	w := up(t, f, g)
	w.submit("f", "1")
	eventually(t, "the round ends", func() bool { return len(w.deadLetters("")) == 1 })
	if n := len(w.order); n != maxHops+1 {
		t.Errorf("%d invocations", n)
	}
}

// TestOutcomeTooLarge: an event that was accepted when the engine took larger ones
// comes to an end, with its payload, even if what is known of it does not fit.
func TestOutcomeTooLarge(t *testing.T) {
	f := function("f")
	f.Async = &hearth.AsyncConfig{Retries: new(int)}
	w := up(t, f, function("again"))
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		return failed("E", strings.Repeat("<", 2*maxErrorBytes)), nil
	}
	for name, spare := range map[string]int{"f": 1000, "again": 0} {
		rec := record{Event: Event{ID: name, Function: name, ClientContext: make([]byte, 3000)}, Progress: Progress{Accepted: time.Now()}}
		rec.Payload = bytes.Repeat([]byte("x"), w.queue.MaxMessage()-spare-len(encodeMeta(rec.meta())))
		if err := w.enqueue(testContext(t), &rec, ""); !errors.Is(err, store.ErrTooLarge) {
			t.Fatalf("there is no room for its errors, but: %v", err)
		}
		queued := rec.status(hearth.EventQueued, time.Now())
		w.note(&queued)
		if _, err := w.queue.Publish(testContext(t), rec.message(name, false)); err != nil {
			t.Fatal(err)
		}
		w.poke(name)
		w.reaches(name, hearth.EventDead)
		list := w.deadLetters(name)
		if len(list) != 1 || list[0].Size != len(rec.Payload) || list[0].Error != "" {
			t.Fatalf("%s: %+v", name, list)
		}
		d, err := w.DeadLetter(testContext(t), list[0].Key)
		if err != nil || !bytes.Equal(d.Payload, rec.Payload) || (len(d.ClientContext) > 0) != (spare > 0) {
			t.Errorf("%s: %d bytes of payload, %d of context, %v", name, len(d.Payload), len(d.ClientContext), err)
		}
	}
}

// TestCloseDrains: what is under way may finish; what does not in time stays queued.
func TestCloseDrains(t *testing.T) {
	w := up(t, function("f"))
	entered, finish := make(chan string, 2), make(chan struct{})
	release := make(chan struct{})
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		entered <- e.ID
		if string(e.Payload) == "slow" {
			<-release
			return &hearth.Result{}, nil
		}
		<-finish
		return &hearth.Result{}, nil
	}
	quick, slow := w.submit("f", "quick"), w.submit("f", "slow")
	<-entered
	<-entered
	ctx, cancel := context.WithCancel(testContext(t))
	closed := make(chan error)
	go func() { closed <- w.Close(ctx) }()
	close(finish)
	w.reaches(quick, hearth.EventSucceeded)
	cancel()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	close(release)
	w.close()
	w.invoke = nil
	w.open(Config{})
	w.Start()
	w.reaches(slow, hearth.EventSucceeded)
	if w.count(quick) != 1 || w.count(slow) != 2 {
		t.Errorf("%v", w.calls)
	}
}

// TestPause: what is under way ends, nothing else begins, and it stays queued until the
// next start.
func TestPause(t *testing.T) {
	w := up(t, function("f"))
	entered, finish := make(chan struct{}), make(chan struct{})
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		close(entered) // panics if there is a second one
		<-finish
		return &hearth.Result{}, nil
	}
	first := w.submit("f", "1")
	<-entered
	w.Pause()
	second := w.submit("f", "2")
	close(finish)
	w.reaches(first, hearth.EventSucceeded)
	w.poke("f")
	w.close()
	if w.count(second) != 0 {
		t.Error("an attempt has begun after Pause")
	}
	w.invoke = nil
	w.open(Config{})
	w.Start()
	w.reaches(second, hearth.EventSucceeded)
}

// TestLongAttemptsKeepTheirLease: an attempt that takes several terms is not made
// twice.
func TestLongAttemptsKeepTheirLease(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{Lease: 300 * time.Millisecond})
	release := make(chan struct{})
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		<-release
		return &hearth.Result{}, nil
	}
	w.Start()
	id := w.submit("f", "1")
	if status := w.reaches(id, hearth.EventRunning); status.Attempt != 1 {
		t.Errorf("%+v", status)
	}
	begin := time.Now()
	eventually(t, "ten terms have passed", func() bool {
		w.poke("f")
		return time.Since(begin) > 3*time.Second
	})
	close(release)
	w.reaches(id, hearth.EventSucceeded)
	if w.count(id) != 1 {
		t.Errorf("%d attempts", w.count(id))
	}
}

// TestStuckFunctionDelaysNobody: one function has thousands queued and never ends an
// attempt; the single event of another is served at once.
func TestStuckFunctionDelaysNobody(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.functions[fmt.Sprint("stuck", i)] = function(fmt.Sprint("stuck", i))
	}
	w.functions["f"] = function("f")
	w.open(Config{Attempts: 32})
	release := make(chan struct{})
	defer close(release)
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		if e.Function != "f" {
			<-release
		}
		return &hearth.Result{}, nil
	}
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			for range 300 {
				w.submit(fmt.Sprint("stuck", i), "1")
			}
		})
	}
	wg.Wait()
	w.Start()
	eventually(t, "the stuck ones have taken what they get", func() bool { return w.gate.Running("") > 16 })
	begin := time.Now()
	w.reaches(w.submit("f", "1"), hearth.EventSucceeded)
	t.Logf("served after %v, with %d attempts stuck", time.Since(begin), w.gate.Running(""))
	if time.Since(begin) > 2*time.Second {
		t.Errorf("served after %v", time.Since(begin))
	}
	b, err := w.Backlogs(testContext(t))
	if err != nil || len(b) != 6 || b[1].Function != "stuck0" || b[1].Queued+uint64(b[1].Running) != 300 || b[1].Oldest.IsZero() {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestFullDisk: a full disk refuses events in words; an event that fails meanwhile
// waits for space with its outcome.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	if err := unix.Mount("tmpfs", w.dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(w.dir, 0); err != nil {
			t.Error(err)
		}
	})
	f := function("f")
	f.Async = &hearth.AsyncConfig{Retries: new(int)}
	w.functions["f"] = f
	w.open(Config{})
	entered, finish := make(chan struct{}), make(chan struct{})
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		close(entered)
		<-finish
		return failed("E", "no"), nil
	}
	w.Start()
	id := w.submit("f", "1")
	<-entered
	filler := filepath.Join(w.dir, "filler")
	var fs unix.Statfs_t
	if err := unix.Statfs(w.dir, &fs); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filler, make([]byte, int(fs.Bavail)*int(fs.Bsize)-(8<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	err := w.Submit(testContext(t), Event{ID: "refused", Function: "f"})
	wantCode(t, err, hearth.ErrCapacity)
	if !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("%v", err)
	}
	_, err = w.Status(testContext(t), "refused")
	wantCode(t, err, hearth.ErrNotFound)
	close(finish)
	if status, err := w.Status(testContext(t), id); err != nil || status.State != hearth.EventRunning {
		t.Errorf("%+v, %v", status, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.reaches(id, hearth.EventDead)
	if w.count(id) != 1 || len(w.deadLetters("f")) != 1 {
		t.Errorf("%d attempts, %+v", w.count(id), w.deadLetters("f"))
	}
}
