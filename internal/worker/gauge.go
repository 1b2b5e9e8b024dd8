package worker

import (
	"sync/atomic"
	"time"
)

// How old the memory figure of a REPORT line may be. Reading it costs some 65 µs, and 170
// where the kernel has not looked at the instance for a while: more than all else that
// Hearth does about a small invocation.
const (
	// sampleEvery and sampleLeast bound the age that the invocation itself asks for: a
	// tenth of what it took, and sampleEvery if that was quick.
	sampleEvery = time.Second
	sampleLeast = 20 * time.Millisecond
	quick       = 5 * time.Millisecond
	// samplesPerSecond bounds how many are read on a node where so many instances are in
	// use that each call finds an old figure: some 2 % of a processor. What is over that
	// is put off, but not for longer than sampleOldest, and never for an invocation that
	// took long, as those are what memory is sized by.
	samplesPerSecond = 100
	sampleOldest     = 10 * time.Second
	long             = time.Second
)

// gauge is the high-water mark of an instance's memory, and how old it is.
type gauge struct {
	at    atomic.Int64 // Unix time of the reading, in ns
	bytes atomic.Int64
}

// due tells whether the memory is to be read now, for the report of an instance's
// invocation number seq, which took so long. Of several who ask at once one is told so.
func (g *gauge) due(now time.Time, seq uint64, took time.Duration, b *budget) bool {
	at, t := g.at.Load(), now.UnixNano()
	age := time.Duration(t - at)
	switch {
	case age < -sampleEvery: // somebody has set the clock back
	case age < figureAge(seq, took):
		return false
	case seq == 1, took >= long, age >= sampleOldest:
	case !b.take(now):
		return false
	}
	return g.at.CompareAndSwap(at, t)
}

// figureAge is how old the figure may be if there is nothing else to do: quick invocations
// are many, and memory is sized by what the long ones and the first need.
func figureAge(seq uint64, took time.Duration) time.Duration {
	switch {
	case seq == 1:
		return 0
	case took < quick:
		return sampleEvery
	default:
		return min(max(took/10, sampleLeast), sampleEvery)
	}
}

func (g *gauge) peakMB() int { return mb(g.bytes.Load()) }

// measure reads the instance's memory. What cannot be read stays as it was.
func (inst *instance) measure() {
	if stats, err := inst.sb.Stats(); err == nil {
		inst.gauge.bytes.Store(stats.PeakMemoryBytes)
	}
}

// budget is how many samples may be taken: samplesPerSecond, and what a tenth of a second
// has saved may be taken at once. The zero value is full.
type budget struct {
	next atomic.Int64 // Unix time in ns from which on one more may be taken
}

// take takes one sample out of the budget, unless it is empty.
func (b *budget) take(now time.Time) bool {
	const gap, saved = int64(time.Second / samplesPerSecond), int64(time.Second / 10)
	t := now.UnixNano()
	for {
		next := b.next.Load()
		if next > t && next <= t+gap { // later ones are of a clock that was set back
			return false
		}
		if b.next.CompareAndSwap(next, max(min(next, t), t-saved)+gap) {
			return true
		}
	}
}
