package async

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hearth/internal/async/ledger"
	"hearth/internal/hearth"
)

// TestStatusOfWhatIsQueued: every event that waits has a status, in the queue and in a
// lane, whatever the ledger has forgotten, and also after the index was lost.
func TestStatusOfWhatIsQueued(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	var ids []string
	for range 20 {
		ids = append(ids, w.submit("f", "1"))
	}
	late := record{Event: Event{ID: "late", Function: "f"}, Progress: Progress{Accepted: time.Now(), Attempts: 2}, Error: "no"}
	if err := w.waker.put(testContext(t), &late, time.Now().Add(time.Hour), time.Hour); err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(w.dir, "events")
	info, err := os.Stat(events)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, info.Size()} { // the ledger forgets everything
		if err := os.Truncate(events, size); err != nil {
			t.Fatal(err)
		}
	}
	check := func() bool {
		for _, id := range ids {
			status, err := w.Status(testContext(t), id)
			if err != nil || status.State != hearth.EventQueued || status.Function != "f" || time.Since(status.Accepted) > testTime {
				t.Logf("%+v, %v", status, err)
				return false
			}
		}
		status, err := w.Status(testContext(t), "late")
		if err != nil || status.State != hearth.EventRetrying || status.Attempt != 2 || !status.NextAttempt.Equal(late.Due) || status.Error != "no" {
			t.Logf("%+v, %v", status, err)
			return false
		}
		return true
	}
	if !check() {
		t.Fatal("the status of a queued event is not known")
	}
	w.close()
	for _, name := range []string{"events", "events.queue", "events.later"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.open(Config{})
	w.Pause()
	w.Start()
	eventually(t, "the indexes are complete", check)
	_, err = w.Status(testContext(t), "nobody")
	wantCode(t, err, hearth.ErrNotFound)
}

// TestAcceptingTellsTheLedgerNothing: an entry there costs a page of disk, for something
// that the queue knows.
func TestAcceptingTellsTheLedgerNothing(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	id := w.submit("f", "1")
	if status, err := w.ledger.Get(id); err == nil {
		t.Errorf("%+v", status)
	}
}

// TestDeathUnderAnAttempt: an event whose attempt the platform has not outlived waits
// before the next one, longer each time: it may be the cause.
func TestDeathUnderAnAttempt(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	running, release := make(chan struct{}), make(chan struct{})
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		close(running)
		<-release
		return &hearth.Result{}, nil
	}
	w.Start()
	id := w.submit("f", "1")
	<-running
	path := filepath.Join(w.dir, "events.begun")
	atDeath, err := os.ReadFile(path) // as it is while the attempt runs
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if err := w.Close(ctx); err != nil { // gives the attempt up; the event stays queued
		t.Fatal(err)
	}
	close(release)
	w.close()
	if err := os.WriteFile(path, atDeath, 0o600); err != nil {
		t.Fatal(err)
	}
	w.invoke = nil
	w.open(Config{})
	w.Start()
	status := w.reaches(id, hearth.EventRetrying)
	if status.Attempt != 1 || status.ErrorType != typeDied || status.NextAttempt.Sub(status.Changed).Round(100*time.Millisecond) != time.Second {
		t.Errorf("%+v", status)
	}
	if status := w.reaches(id, hearth.EventSucceeded); status.Attempt != 2 || w.count(id) != 2 {
		t.Errorf("%+v, %d calls", status, w.count(id))
	}
	w.close()
	begun, found, err := ledger.OpenBegun(path)
	if err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
	if err := begun.Close(); err != nil {
		t.Error(err)
	}
	w.open(Config{})
}

// TestMarksOfOthers: what is noted as under way and is no longer in the queue is
// forgotten.
func TestMarksOfOthers(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	id := w.submit("f", "1")
	for _, m := range []ledger.Mark{ledger.MarkOf(1, "another"), ledger.MarkOf(77, "gone")} {
		if err := w.begun.Begin(m); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
	w.open(Config{})
	w.Start()
	if status := w.reaches(id, hearth.EventSucceeded); status.Attempt != 1 {
		t.Errorf("%+v", status)
	}
	var left []any
	w.died.Range(func(mark, _ any) bool {
		left = append(left, mark)
		return true
	})
	if !slices.Equal(left, nil) {
		t.Errorf("%v", left)
	}
}

// TestReindex: events that a restore has put into the queues have a status.
func TestReindex(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	w.Pause()
	w.Start()
	rec := record{Event: Event{ID: "restored", Function: "f"}, Progress: Progress{Accepted: time.Now()}}
	if _, err := w.queue.Publish(testContext(t), rec.message(w.clock, "f", false)); err != nil {
		t.Fatal(err)
	}
	_, err := w.Status(testContext(t), "restored")
	wantCode(t, err, hearth.ErrNotFound)
	w.Reindex()
	eventually(t, "its status is known", func() bool {
		status, err := w.Status(testContext(t), "restored")
		return err == nil && status.State == hearth.EventQueued
	})
}
