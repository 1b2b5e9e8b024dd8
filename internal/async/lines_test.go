package async

import (
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// An event that was acknowledged, and that a pull does not find yet, is found long
// before the next scan.
func TestLookAgain(t *testing.T) {
	for range 4 {
		took := lookAgain(t)
		if took < scanEvery {
			return
		}
		t.Logf("it took %v: the scan may have found it", took)
	}
	t.Error("each time it took as long as to the next scan")
}

// lookAgain tells how long after the start the event was found.
func lookAgain(t *testing.T) time.Duration {
	w := newWorld(t)
	w.functions["f"] = function("f")
	w.open(Config{})
	w.Start()
	began := time.Now()
	last := w.submit("f", "1")
	w.reaches(last, hearth.EventSucceeded)

	rec := record{Event: Event{ID: hearth.NewRequestID(), Function: "f", Payload: []byte("2")}, Progress: Progress{Accepted: time.Now()}}
	w.lines.mu.Lock()
	next := w.lines.open["f"].wrote + 1
	w.lines.mu.Unlock()
	w.lines.wrote("f", next)
	w.poke("f")
	eventually(t, "a pull has found nothing", func() bool {
		w.lines.mu.Lock()
		defer w.lines.mu.Unlock()
		return w.lines.open["f"].looks > 2
	})
	seq, err := w.queue.Publish(testContext(t), rec.message(w.clock, "f", false)) // and nobody pokes
	if err != nil || seq != next {
		t.Fatalf("%d, %v, want %d", seq, err, next)
	}
	eventually(t, "the event is attempted", func() bool { return w.count(rec.ID) == 1 })
	return time.Since(began)
}

// Events that somebody else has taken are not looked for for ever.
func TestLooksAreFew(t *testing.T) {
	var l lines
	l.wrote("f", 7)
	looks, all := 0, time.Duration(0)
	for {
		pause, again := l.pulled("f", nil, 1)
		if !again {
			break
		}
		if _, twice := l.pulled("f", nil, 1); twice {
			t.Fatal("two looks at once")
		}
		looks, all = looks+1, all+pause
		l.looking("f")
	}
	if looks != mostLooks || all < time.Second || all > scanEvery {
		t.Errorf("%d looks in %v", looks, all)
	}
	l.wrote("f", 8)
	if _, again := l.pulled("f", nil, 1); !again {
		t.Error("what is new is not looked for")
	}
	l.looking("f")
	found := []*store.Delivery{{Stored: store.Stored{Seq: 8}}}
	if _, again := l.pulled("f", found, 2); again {
		t.Error("what was found is looked for")
	}
	l.wrote("f", 9)
	if _, again := l.pulled("f", found, 1); again {
		t.Error("a line with a turn to come is looked at besides")
	}
}
