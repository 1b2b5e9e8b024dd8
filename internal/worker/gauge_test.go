package worker

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// spent is a budget that has nothing left at a time.
func spent(at time.Time) *budget {
	b := &budget{}
	for b.take(at) {
	}
	return b
}

func TestWhenMemoryIsRead(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name  string
		age   time.Duration
		seq   uint64
		took  time.Duration
		spent bool
		want  bool
	}{
		{"the first invocation", time.Millisecond, 1, time.Millisecond, true, true},
		{"a quick one soon after", 999 * time.Millisecond, 2, time.Millisecond, false, false},
		{"a quick one later", time.Second, 2, time.Millisecond, false, true},
		{"when many are read", time.Second, 2, time.Millisecond, true, false},
		{"when many are read, at last", sampleOldest, 2, time.Millisecond, true, true},
		{"a slower one soon after", 29 * time.Millisecond, 2, 300 * time.Millisecond, false, false},
		{"a slower one later", 30 * time.Millisecond, 2, 300 * time.Millisecond, false, true},
		{"a slower one when many are read", 30 * time.Millisecond, 2, 300 * time.Millisecond, true, false},
		{"one just above quick", 20 * time.Millisecond, 2, quick, false, true},
		{"a long one when many are read", 100 * time.Millisecond, 2, time.Second, true, true},
		{"a very long one", time.Second, 2, time.Hour, true, true},
		{"one that ended just before another was read", -time.Microsecond, 2, time.Millisecond, false, false},
		{"after the clock was set back", -time.Hour, 2, time.Millisecond, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &budget{}
			if c.spent {
				b = spent(now)
			}
			g := &gauge{}
			g.at.Store(now.Add(-c.age).UnixNano())
			if got := g.due(now, c.seq, c.took, b); got != c.want {
				t.Errorf("due: %v", got)
			}
			if c.want && g.due(now, 2, time.Millisecond, &budget{}) {
				t.Error("due again at once")
			}
		})
	}
}

// However many ask, so many are read in a second and hardly more; what nobody takes is
// saved for a moment only.
func TestBudgetOfSamples(t *testing.T) {
	b, now := &budget{}, time.Now()
	count := func(d time.Duration) (n int) {
		for end := now.Add(d); now.Before(end); now = now.Add(100 * time.Microsecond) {
			if b.take(now) {
				n++
			}
		}
		return n
	}
	const second, saved = samplesPerSecond, samplesPerSecond / 10
	if n := count(4 * time.Second); n < 4*second || n > 4*second+saved+1 {
		t.Errorf("%d samples in four seconds", n)
	}
	now = now.Add(time.Hour)
	if n := count(time.Second); n < second || n > second+saved+1 {
		t.Errorf("%d samples in a second after an hour of rest", n)
	}
	now = now.Add(-time.Hour) // somebody sets the clock back
	if n := count(time.Second); n < second-1 || n > second+saved+1 {
		t.Errorf("%d samples in a second after the clock was set back", n)
	}
}

func TestOneReadsForAll(t *testing.T) {
	g, now := &gauge{}, time.Now()
	var told atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if g.due(now, 2, time.Millisecond, &budget{}) {
				told.Add(1)
			}
		})
	}
	wg.Wait()
	if told.Load() != 1 {
		t.Errorf("%d were told to read", told.Load())
	}
}
