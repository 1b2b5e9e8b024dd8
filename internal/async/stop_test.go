package async

import (
	"context"
	"testing"
	"time"

	"hearth/internal/hearth"
)

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
