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
	const term, tries = time.Second, 4
	for range tries {
		attempts, stood := longAttempt(t, term)
		if attempts == 1 {
			return
		}
		if stood < term/4 {
			t.Fatalf("%d attempts", attempts)
		}
		t.Logf("%d attempts, but this process stood still for %v: once more", attempts, stood)
	}
	t.Fatalf("this process stands still too often for a term of %v", term)
}

// longAttempt tells how many attempts were made within four terms, and for how long this
// process got nowhere meanwhile: then it has lost its lease with good reason.
func longAttempt(t *testing.T, term time.Duration) (attempts int, stood time.Duration) {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{Lease: term})
	release := make(chan struct{})
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		<-release
		return &hearth.Result{}, nil
	}
	w.Start()
	begin := time.Now()
	id, last := w.submit("f", "1"), begin
	w.reaches(id, hearth.EventRunning)
	eventually(t, "several terms have passed", func() bool {
		w.poke("f")
		stood = max(stood, time.Since(last))
		last = time.Now()
		return last.Sub(begin) > 4*term
	})
	close(release)
	w.reaches(id, hearth.EventSucceeded)
	return w.count(id), stood
}
