package async

import (
	"container/heap"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Events that wait for a retry are in lanes on disk, one for each delay and function.
// All events of a lane wait equally long, so each lane is in the order of due times
// by itself: to know what is due, the first event of each lane is enough. Memory thus
// holds one small entry per lane, not per event, and nothing has to be sorted, loaded
// or kept alive; a restart only looks at the first of each lane again.

// laneKey names the lane of a function's events that wait for delay, whole seconds.
func laneKey(function string, delay time.Duration) string {
	return strconv.Itoa(int(delay/time.Second)) + "." + function
}

func parseLaneKey(key string) (function string, delay time.Duration, err error) {
	seconds, function, ok := strings.Cut(key, ".")
	n, err := strconv.Atoi(seconds)
	if !ok || err != nil || n < 0 {
		return "", 0, fmt.Errorf("async: %q is no lane", key)
	}
	return function, time.Duration(n) * time.Second, nil
}

// horizon is what is known of a lane without the time of day, which may go back: what
// is in a lane now is due after the lane's delay, whatever the clock says then.
type horizon struct {
	seq uint64    // all events up to this one...
	at  time.Time // ...are due by then; monotonic
}

// wait is for how long a lane's first event has still to wait, which is due in left by
// the time of day. If it is beyond the horizon, the horizon moves to last, the newest
// event of the lane now.
func (h *horizon) wait(now time.Time, seq uint64, left, delay time.Duration, last func() (uint64, error)) (time.Duration, error) {
	if left <= 0 {
		return 0, nil
	}
	if seq > h.seq {
		newest, err := last()
		if err != nil {
			return 0, err
		}
		h.seq, h.at = max(newest, seq), now.Add(delay)
	}
	return max(min(left, h.at.Sub(now)), 0), nil
}

// agenda knows when to look at each lane. It is passive; its times are those of one
// monotonic clock.
type agenda struct {
	heap  laneHeap
	lanes map[string]*laneEntry
}

type laneEntry struct {
	key   string
	at    time.Time
	sight horizon
	index int
}

func newAgenda() *agenda { return &agenda{lanes: map[string]*laneEntry{}} }

// see says that a lane has something, to be looked at no later than at. Sight is what
// is known of it.
func (a *agenda) see(key string, at time.Time, sight horizon) {
	if e := a.lanes[key]; e == nil {
		a.put(key, at, sight)
	}
}

// put sets when to look at a lane, and what is known of it.
func (a *agenda) put(key string, at time.Time, sight horizon) {
	if e := a.lanes[key]; e != nil {
		e.at, e.sight = at, sight
		heap.Fix(&a.heap, e.index)
		return
	}
	e := &laneEntry{key: key, at: at, sight: sight}
	a.lanes[key] = e
	heap.Push(&a.heap, e)
}

// take removes and returns the lane that is to be looked at next, if its time has come.
func (a *agenda) take(now time.Time) (laneEntry, bool) {
	if len(a.heap) == 0 || a.heap[0].at.After(now) {
		return laneEntry{}, false
	}
	e := heap.Pop(&a.heap).(*laneEntry)
	delete(a.lanes, e.key)
	return *e, true
}

// next is the time of the next look.
func (a *agenda) next() (time.Time, bool) {
	if len(a.heap) == 0 {
		return time.Time{}, false
	}
	return a.heap[0].at, true
}

// laneHeap implements heap.Interface.
type laneHeap []*laneEntry

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *laneHeap) Push(x any) {
	e := x.(*laneEntry)
	e.index = len(*h)
	*h = append(*h, e)
}
func (h *laneHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
