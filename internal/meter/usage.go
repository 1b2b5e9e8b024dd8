package meter

import (
	"slices"
	"sync"
	"time"
)

// Usage is what one instance has used, as far as any rule asks.
type Usage struct {
	MemoryMB int           // configured
	PeakMB   int           // high-water mark; 0 = unknown
	CPU      time.Duration // processor time
	Life     time.Duration // from its start until its last execution ended
	Requests uint64        // executions that have ended
	// Sum adds up the executions' durations; the other two do so after rounding each
	// up, By1ms with the init in the first.
	Sum     time.Duration
	By1ms   time.Duration
	By100ms time.Duration
	// Merged is the time during which at least one execution ran. The other two add up
	// these windows after rounding each up to 1 ms, and to at least 100 ms.
	Merged      time.Duration
	MergedBy1ms time.Duration
	MergedMin   time.Duration
	Windows     uint64
}

// Instance notes an instance's executions. Its methods may be called from many
// goroutines and allocate nothing.
type Instance struct {
	memoryMB int
	started  time.Time
	init     time.Duration

	mu       sync.Mutex
	sum      Usage  // of what has ended
	window   window // the current one, or the last
	inFlight int
}

// window is a time during which at least one execution ran.
type window struct{ from, to time.Time }

// NewInstance meters an instance with so much memory configured, that was started at
// that time and took so long to initialise.
func NewInstance(memoryMB int, started time.Time, init time.Duration) *Instance {
	return &Instance{memoryMB: memoryMB, started: started, init: init}
}

// Begin notes that an execution starts. Executions that touch or overlap share a
// window. Times should come in order; what they are out of order, windows are off.
func (i *Instance) Begin(start time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.inFlight == 0 && (i.window.to.IsZero() || start.After(i.window.to)) {
		i.sum.close(i.window)
		i.window = window{from: start, to: start}
	}
	i.inFlight++
}

// End notes that an execution, of which Begin was told, has ended.
func (i *Instance) End(start, end time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.inFlight == 0 {
		panic("meter: an execution ended that never began")
	}
	i.inFlight--
	if end.After(i.window.to) {
		i.window.to = end
	}
	d := max(end.Sub(start), 0)
	billed := d
	if i.sum.Requests == 0 {
		billed += i.init
	}
	i.sum.Requests++
	i.sum.Sum += d
	i.sum.By1ms += roundUp(billed, time.Millisecond)
	i.sum.By100ms += roundUp(d, 100*time.Millisecond)
}

// Reading is what the sandbox says about itself.
type Reading struct {
	CPU    time.Duration
	PeakMB int
}

// Usage is what the instance has used until now. Executions that still run count in
// the merged windows and in the life only.
func (i *Instance) Usage(now time.Time, r Reading) Usage {
	i.mu.Lock()
	defer i.mu.Unlock()
	u, w := i.sum, i.window
	if i.inFlight > 0 && now.After(w.to) {
		w.to = now
	}
	u.close(w)
	u.MemoryMB, u.PeakMB, u.CPU = i.memoryMB, r.PeakMB, r.CPU
	if !w.to.IsZero() {
		u.Life = max(w.to.Sub(i.started), 0)
	}
	return u
}

// close adds a window that no execution will prolong any more. The zero window is none.
func (u *Usage) close(w window) {
	if w.to.IsZero() {
		return
	}
	d := w.to.Sub(w.from)
	u.Windows++
	u.Merged += d
	u.MergedBy1ms += roundUp(d, time.Millisecond)
	u.MergedMin += max(d, 100*time.Millisecond)
}

func roundUp(d, unit time.Duration) time.Duration {
	return (d + unit - 1).Truncate(unit)
}

// Execution is one that has ended.
type Execution struct{ Start, End time.Time }

// Replay meters executions that are known beforehand, in any order.
func (i *Instance) Replay(executions []Execution) {
	type moment struct {
		at  time.Time
		end bool
		of  Execution
	}
	var moments []moment
	for _, e := range executions {
		moments = append(moments, moment{e.Start, false, e}, moment{e.End, true, e})
	}
	slices.SortStableFunc(moments, func(a, b moment) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		switch { // an execution of no length begins before it ends
		case a.end == b.end:
			return 0
		case b.end:
			return -1
		default:
			return 1
		}
	})
	for _, m := range moments {
		if m.end {
			i.End(m.of.Start, m.of.End)
		} else {
			i.Begin(m.of.Start)
		}
	}
}
