package pool

import (
	"sync/atomic"
	"time"
)

// Waiter is an invocation's place in a version's queue. Embed it in the call object:
// queueing allocates nothing. The zero Waiter is ready for use; it may be used again
// once its answer has come.
type Waiter struct {
	// Value is the caller's own, untouched by the pool.
	Value any

	// group is the one it waits in, nil when it waits nowhere. It changes under that
	// group's lock only.
	group      atomic.Pointer[Group]
	next, prev *Waiter // guarded by the group's lock
	since      time.Time
}

// Since is when it was queued last. Call it only after the answer has come.
func (w *Waiter) Since() time.Time { return w.since }

// Abandon takes w out of its queue because the caller gave up. It returns false when
// w is not queued any more: its answer is on its way, must be waited for, and a grant
// must be released.
func (w *Waiter) Abandon() bool {
	for {
		g := w.group.Load()
		if g == nil {
			return false
		}
		g.mu.Lock()
		if w.group.Load() == g {
			g.queue.remove(w)
			g.count.Abandoned++
			g.mu.Unlock()
			return true
		}
		g.mu.Unlock() // it moved to another version meanwhile
	}
}

// waiters is a first-in, first-out list of Waiters.
type waiters struct {
	head, tail *Waiter
	len        int
}

func (q *waiters) push(g *Group, w *Waiter) {
	w.next, w.prev = nil, q.tail
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.len++
	w.group.Store(g)
}

func (q *waiters) remove(w *Waiter) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
	q.len--
	w.group.Store(nil)
}

func (q *waiters) pop() *Waiter {
	w := q.head
	q.remove(w)
	return w
}

// all empties the list and returns what was in it, oldest first.
func (q *waiters) all() []*Waiter {
	if q.len == 0 {
		return nil
	}
	ws := make([]*Waiter, 0, q.len)
	for q.head != nil {
		ws = append(ws, q.pop())
	}
	return ws
}
