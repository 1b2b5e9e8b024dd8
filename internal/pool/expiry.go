package pool

import (
	"container/heap"
	"sync"
	"time"

	"hearth/internal/hearth"
)

// Refusal answers a waiter that has waited too long.
type Refusal struct {
	Waiter *Waiter
	Err    error
}

// Expired is what time alone has decided.
type Expired struct {
	Reaped  []*Instance // idle longer than their keep-alive: destroy them
	Frozen  []*Instance // idle for a while: freeze them, unless they are thawed again
	Refused []Refusal
	Start   []*Group // start one instance of each; a group may be named several times
}

// Expire looks at everything that is due at now. Call it at NextExpiry, and at least
// every second or so, as that time may come closer.
func (p *Pool) Expire(now time.Time) (exp Expired) {
	for t := range p.due.take(now) {
		switch {
		case t.inst != nil:
			switch t.inst.group.rest(now, t.inst) {
			case reaped:
				exp.Reaped = append(exp.Reaped, t.inst)
			case frozen:
				exp.Frozen = append(exp.Frozen, t.inst)
			}
		case t.group.look(now, &exp):
			p.remove(t.group)
		}
	}
	return exp
}

// NextExpiry is when Expire will have something to look at; false if never, as things
// stand. There need not be anything to do then: an instance's time is only moved on
// when it comes, so that serving an invocation touches no shared heap.
func (p *Pool) NextExpiry() (time.Time, bool) { return p.due.next() }

// look refuses waiters that have waited too long and starts what was put off. It
// returns true if the group has been drained long ago and is empty.
func (g *Group) look(now time.Time, exp *Expired) (gone bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		if now.Before(g.closedAt.Add(closedGrace)) || len(g.instances)+g.starting+g.inFlight > 0 {
			g.lookLocked(now.Add(closedGrace))
			return false
		}
		return true
	}
	for g.queue.len > 0 && !now.Before(g.lastLocked(g.queue.head)) {
		g.count.Refused++
		exp.Refused = append(exp.Refused, Refusal{g.queue.pop(), g.tooLongLocked()})
	}
	if g.queue.len == 0 {
		g.leaveLineLocked()
	}
	for range g.startLocked(now, startsAtOnce) {
		exp.Start = append(exp.Start, g)
	}
	if g.queue.len > 0 {
		g.lookLocked(g.lastLocked(g.queue.head))
	}
	return false
}

// tooLongLocked is what those are told who have waited too long.
func (g *Group) tooLongLocked() error {
	if g.short != nil && g.warm+g.begun == 0 {
		return g.short.Err
	}
	return hearth.Errorf(hearth.ErrCapacity, "function %s is at capacity: no slot became free within %v; try again later",
		g.version.Function, g.pool.cfg.QueueTimeout)
}

// lastLocked is when a waiter is refused: later than usual while an instance starts that
// was prolonged.
func (g *Group) lastLocked(w *Waiter) time.Time {
	last := w.since.Add(g.pool.cfg.QueueTimeout)
	for _, inst := range g.instances {
		if inst.phase == starting && inst.prolonged.After(last) {
			last = inst.prolonged
		}
	}
	return last
}

// timer is an entry of the expiry heap, part of the instance or group it is about. It
// may come before its owner's real time, never after.
type timer struct {
	inst  *Instance // one of the two is set
	group *Group

	// Guarded by the heap's lock.
	at    time.Time
	seq   uint64 // equal times go in the order of their setting
	index int    // in the heap, from 1; 0 = not in it
}

// expiries is a heap of timers. Its lock is a leaf.
type expiries struct {
	mu   sync.Mutex
	seq  uint64
	heap timerHeap
}

// lower puts t into the heap, or moves it if it stands there for a later time.
func (e *expiries) lower(t *timer, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.index > 0 && !at.Before(t.at) {
		return
	}
	e.seq++
	t.at, t.seq = at, e.seq
	if t.index > 0 {
		heap.Fix(&e.heap, t.index-1)
		return
	}
	heap.Push(&e.heap, t)
}

func (e *expiries) remove(t *timer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.index > 0 {
		heap.Remove(&e.heap, t.index-1)
	}
}

// take removes the timers that are due at now, one by one, earliest first. Those that
// are set again meanwhile for a time not after now are not taken a second time.
func (e *expiries) take(now time.Time) func(yield func(*timer) bool) {
	return func(yield func(*timer) bool) {
		e.mu.Lock()
		var due []*timer
		for len(e.heap) > 0 && !e.heap[0].at.After(now) {
			due = append(due, heap.Pop(&e.heap).(*timer))
		}
		e.mu.Unlock()
		for _, t := range due {
			if !yield(t) {
				return
			}
		}
	}
}

func (e *expiries) next() (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heap) == 0 {
		return time.Time{}, false
	}
	return e.heap[0].at, true
}

// timerHeap implements heap.Interface.
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if c := h[i].at.Compare(h[j].at); c != 0 {
		return c < 0
	}
	return h[i].seq < h[j].seq
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h) + 1
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	return t
}
