package async

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// TestBacklogMissesNothing: an event that goes to a lane or back to the queue while the
// counting goes on is in the count.
func TestBacklogMissesNothing(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	rec := record{Event: Event{ID: "mover", Function: "f"}, Progress: Progress{Accepted: time.Now()}}
	at, to := w.queue.Queue, w.later.Queue
	key := map[*store.Queue]string{w.queue.Queue: "f", w.later.Queue: laneKey("f", time.Second)}
	seq, err := at.Publish(testContext(t), rec.message(w.clock, key[at], false))
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		var wg sync.WaitGroup
		wg.Go(func() {
			next, err := to.Publish(testContext(t), rec.message(w.clock, key[to], false))
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
	for tries := 1; ; tries++ {
		begin := time.Now()
		w.reaches(w.submit("f", "1"), hearth.EventSucceeded)
		took := time.Since(begin)
		t.Logf("served after %v, with %d attempts stuck", took, w.gate.Running(""))
		if took < 2*time.Second {
			break
		}
		if tries == 4 { // each of them
			t.Fatalf("served after %v", took)
		}
	}
	b, err := w.Backlogs(testContext(t))
	if err != nil || len(b) != 6 || b[1].Function != "stuck0" || b[1].Queued+uint64(b[1].Running) != 300 || b[1].Oldest.IsZero() {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestOldest: the event that waits longest may wait for a retry, and is not one that is
// being attempted.
func TestOldest(t *testing.T) {
	w := newWorld(t)
	f := function("f")
	one := 1
	f.Reserved = &one
	w.functions["f"] = f
	w.open(Config{})
	old := time.Now().Add(-3 * time.Hour).Truncate(time.Millisecond)
	rec := record{Event: Event{ID: "waits", Function: "f"}, Progress: Progress{Accepted: old}}
	if err := w.waker.put(testContext(t), &rec, time.Now().Add(time.Hour), 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	if b, err := w.Backlog(testContext(t), "f"); err != nil || !b.Oldest.Equal(old) || b.Queued != 0 {
		t.Errorf("%+v, %v; want %v", b, err, old)
	}
	if err := w.later.Purge(testContext(t), ">", 0); err != nil {
		t.Fatal(err)
	}
	running, release := make(chan struct{}, 2), make(chan struct{})
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		running <- struct{}{}
		<-release
		return &hearth.Result{}, nil
	}
	w.Start()
	w.submit("f", "1")
	<-running
	begin := time.Now()
	second := w.submit("f", "2")
	if b, err := w.Backlog(testContext(t), "f"); err != nil || b.Running != 1 || b.Oldest.Before(begin.Truncate(time.Millisecond)) {
		t.Errorf("%+v, %v; want nothing before %v", b, err, begin)
	}
	close(release)
	w.reaches(second, hearth.EventSucceeded)
	if b, err := w.Backlog(testContext(t), "f"); err != nil || !b.Oldest.IsZero() {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestTallyForgets: functions that are gone take no room, and their sum stays.
func TestTallyForgets(t *testing.T) {
	var tl tally
	now := time.Unix(1_000_000, 0)
	for i := range 100 {
		c := tl.of(fmt.Sprint("f", i))
		c.accepted.add(now)
		c.dead.Add(1)
	}
	gone := func(name string) bool { return name != "f7" }
	tl.forget(now.Add(10*time.Second), gone) // too early: it was busy just now
	if n := len(names(&tl)); n != 100 {
		t.Errorf("%d left", n)
	}
	for range 2 {
		now = now.Add(10 * time.Minute)
		tl.forget(now, gone)
		if left := names(&tl); len(left) != 1 || left[0] != "f7" {
			t.Errorf("%v", left)
		}
		if sum := tl.sum(now); sum != (Stats{Accepted: 100, Dead: 100}) {
			t.Errorf("%+v", sum)
		}
	}
}

func names(tl *tally) (list []string) {
	tl.functions.Range(func(name, _ any) bool {
		list = append(list, name.(string))
		return true
	})
	return list
}
