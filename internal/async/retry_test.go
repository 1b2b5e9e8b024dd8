package async

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// TestRefusalsBackOff: throttled twice, then served; the same id each time.
func TestRefusalsBackOff(t *testing.T) {
	for range 4 {
		if refusalsBackOff(t) {
			return
		}
	}
	t.Error("never was the first retry looked at before it was over")
}

// refusalsBackOff tells whether what lasts a second was looked at in time.
func refusalsBackOff(t *testing.T) (inTime bool) {
	w := up(t, function("f"))
	var times []time.Time
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		times = append(times, time.Now())
		if len(times) < 3 {
			return nil, hearth.Errorf(hearth.ErrReservedLimit, "Rate Exceeded.")
		}
		return &hearth.Result{}, nil
	}
	begin := time.Now()
	id := w.submit("f", "{}")
	status := w.reaches(id, hearth.EventRetrying)
	b, err := w.Backlog(testContext(t), "f")
	inTime = time.Since(begin) < time.Second
	if inTime && (status.NextAttempt.Sub(status.Changed).Round(10*time.Millisecond) != time.Second || status.Error == "" || status.Attempt != 1) {
		t.Errorf("%+v", status)
	}
	if inTime && (err != nil || b.Retrying != 1 || b.Queued != 0 || b.Retries != 1) {
		t.Errorf("%+v, %v", b, err)
	}
	if status := w.reaches(id, hearth.EventSucceeded); status.Attempt != 3 {
		t.Errorf("%+v", status)
	}
	if w.count(id) != 3 || times[1].Sub(times[0]) < time.Second || times[2].Sub(times[1]) < 2*time.Second {
		t.Errorf("%d calls at %v", w.count(id), times)
	}
	return inTime
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
	old := record{Event: Event{ID: "old", Function: "f"}, Progress: Progress{Accepted: time.Now().Add(-7 * time.Hour), Born: time.Now().Add(-7 * time.Hour)}}
	if err := w.enqueue(testContext(t), &old, "", true); err != nil {
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
	const events = 40
	for i := range events {
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
	if took := time.Since(begin); took > events*time.Second/2 {
		t.Errorf("it took %v", took)
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
		rec := record{Event: Event{ID: name, Function: name, ClientContext: make([]byte, 3000)},
			// An age of some minutes has as many digits a moment later.
			Progress: Progress{Accepted: time.Now(), Born: time.Now().Add(-150 * time.Second)}}
		rec.Payload = bytes.Repeat([]byte("x"), w.queue.MaxMessage()-spare-len(encodeMeta(rec.meta(w.clock))))
		if err := w.enqueue(testContext(t), &rec, "", true); !errors.Is(err, store.ErrTooLarge) {
			t.Fatalf("there is no room for its errors, but: %v", err)
		}
		queued := rec.status(hearth.EventQueued, time.Now())
		w.note(&queued)
		if _, err := w.queue.Publish(testContext(t), rec.message(w.clock, name, false)); err != nil {
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

// TestPlatformWasDown: an event that no attempt was made at, because the platform was
// down or its clock was wrong, is attempted however old it is.
func TestPlatformWasDown(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	before := newClock(time.Now()) // of a run that has ended
	rec := record{Event: Event{ID: "old", Function: "f"}, Progress: Progress{Accepted: time.Now().Add(-9 * time.Hour)}}
	if _, _, err := w.queue.put(testContext(t), rec.message(before, "f", false), rec.ID); err != nil {
		t.Fatal(err)
	}
	w.Start()
	w.reaches("old", hearth.EventSucceeded)
}

// TestLostUnderTheAttempt: when the invoker does not find something of a function that
// is there, the event is tried again; it was never executed.
func TestLostUnderTheAttempt(t *testing.T) {
	w := up(t, function("f"))
	first := true
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		if first {
			first = false
			return nil, hearth.Errorf(hearth.ErrNotFound, "the code is gone")
		}
		return &hearth.Result{}, nil
	}
	id := w.submit("f", "1")
	if status := w.reaches(id, hearth.EventSucceeded); status.Attempt != 2 {
		t.Errorf("%+v", status)
	}
	if list := w.deadLetters(""); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// TestFailedReplay: a dead letter that cannot be submitted again stays what it is.
func TestFailedReplay(t *testing.T) {
	w := up(t, function("f"))
	rec := record{Event: Event{ID: "large", Function: "f"}, Progress: Progress{Accepted: time.Now()}}
	rec.Payload = bytes.Repeat([]byte("x"), w.queue.MaxMessage()-500)
	if err := w.bury(testContext(t), &ending{rec: &rec, now: time.Now(), condition: hearth.ConditionExhausted}); err != nil {
		t.Fatal(err)
	}
	dead := rec.status(hearth.EventDead, time.Now())
	w.note(&dead)
	key := w.deadLetters("f")[0].Key
	_, err := w.Replay(testContext(t), key)
	wantCode(t, err, hearth.ErrTooLarge)
	if status, err := w.Status(testContext(t), "large"); err != nil || status.State != hearth.EventDead {
		t.Errorf("%+v, %v", status, err)
	}
	if list := w.deadLetters("f"); len(list) != 1 || list[0].Key != key {
		t.Errorf("%+v", list)
	}
}

// TestWakerBringsBatches: many events that are due at once come back at once.
func TestWakerBringsBatches(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	const many = wakeBatch + 40
	var ids []string
	for i := range many {
		rec := record{Event: Event{ID: fmt.Sprint("e", i), Function: "f"}, Progress: Progress{Accepted: time.Now(), Attempts: 1}}
		if err := w.waker.put(testContext(t), &rec, time.Now().Add(-time.Second), time.Second); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, rec.ID)
	}
	w.waker.mu.Lock()
	w.waker.agenda = newAgenda()
	w.waker.mu.Unlock()
	w.waker.scan()
	for _, want := range []uint64{wakeBatch, many} {
		if !w.waker.step() {
			t.Fatal("nothing is due")
		}
		b, err := w.Backlog(testContext(t), "f")
		if err != nil || b.Queued != want || b.Retrying != many-want {
			t.Errorf("%+v, %v; want %d of %d", b, err, want, many)
		}
	}
	w.Start()
	for _, id := range ids {
		if status := w.reaches(id, hearth.EventSucceeded); status.Attempt != 2 || w.count(id) != 1 {
			t.Errorf("%+v, %d calls", status, w.count(id))
		}
	}
}
