// Package events keeps the last things that happened to functions and instances,
// and lets many followers read along. It is a bounded ring in memory: emitting never
// blocks and never fails, and a follower that is too slow loses the oldest events
// and is told how many.
package events

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"hearth/internal/hearth"
)

// Size is how many events a Ring keeps.
const Size = 4096

// KindLost marks a gap: a follower was too slow, or asked for events that are no
// longer kept. Its Seq is that of the last event lost, its Detail says how many.
const KindLost = "events.lost"

// Filter selects events; zero fields select everything.
type Filter struct {
	Function string
	Instance string
	Kind     string // a whole kind, or a prefix up to a dot: "instance" has "instance.ready"
}

func (f *Filter) match(e *hearth.Event) bool {
	return (f.Function == "" || f.Function == e.Function) &&
		(f.Instance == "" || f.Instance == e.Instance) &&
		(f.Kind == "" || hasKind(e.Kind, f.Kind))
}

func hasKind(kind, want string) bool {
	return len(kind) >= len(want) && kind[:len(want)] == want && (len(kind) == len(want) || kind[len(want)] == '.')
}

// Ring keeps the last Size events. Its methods may be called from many goroutines.
// It starts none, so there is nothing to close.
type Ring struct {
	mu    sync.Mutex
	last  uint64 // Seq of the newest event; 0 before the first
	slots [Size]hearth.Event
	news  chan struct{} // closed by the next Emit; nil when nobody waits
}

// New returns an empty Ring.
func New() *Ring { return &Ring{} }

// Emit adds e. It sets Seq, which grows by one with each event from 1 on, and Time
// if that is zero. It never blocks on a follower.
func (r *Ring) Emit(e hearth.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	r.last++
	e.Seq = r.last
	r.slots[e.Seq%Size] = e
	if r.news != nil {
		close(r.news)
		r.news = nil
	}
}

// Last is the Seq of the newest event, 0 when there is none.
func (r *Ring) Last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Since returns the events after seq that filter selects, oldest first; 0 asks for
// all that are kept. If events after seq are gone already, the first one returned is
// a KindLost marker, whatever the filter.
func (r *Ring) Since(seq uint64, filter Filter) []hearth.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq == 0 {
		seq = r.oldestLocked() - 1
	}
	var batch []hearth.Event
	for seq < r.last {
		var part []hearth.Event
		part, seq = r.partLocked(seq, filter)
		batch = append(batch, part...)
	}
	return batch
}

// oldestLocked is the Seq of the oldest event kept, 1 before the first.
func (r *Ring) oldestLocked() uint64 {
	if r.last > Size {
		return r.last - Size + 1
	}
	return 1
}

// partSize bounds how many events are looked at while an emitter may be waiting.
const partSize = 256

// partLocked returns what filter selects of the next events after seq, and the Seq
// up to which it has looked.
func (r *Ring) partLocked(seq uint64, filter Filter) ([]hearth.Event, uint64) {
	var part []hearth.Event
	if oldest := r.oldestLocked(); seq+1 < oldest {
		part = append(part, lost(seq, oldest, r.slots[oldest%Size].Time))
		seq = oldest - 1
	}
	end := min(seq+partSize, r.last)
	for seq < end {
		seq++
		if e := &r.slots[seq%Size]; filter.match(e) {
			part = append(part, *e)
		}
	}
	return part, seq
}

func lost(seq, oldest uint64, at time.Time) hearth.Event {
	return hearth.Event{
		Seq: oldest - 1, Time: at, Kind: KindLost,
		Detail: fmt.Sprintf("%d events were dropped before they were read", oldest-1-seq),
	}
}

// Follow yields the events after seq that filter selects, first those that are kept
// and then each new one, until ctx is done or the caller breaks off; 0 begins with
// the oldest kept. It runs in the caller's goroutine and blocks while there is
// nothing new. A caller that is too slow gets a KindLost marker in place of what it
// has missed, whatever the filter. A seq beyond the newest event, as after a
// restart, counts as the newest.
func (r *Ring) Follow(ctx context.Context, seq uint64, filter Filter) iter.Seq[hearth.Event] {
	return func(yield func(hearth.Event) bool) {
		next := r.begin(seq)
		for ctx.Err() == nil {
			var part []hearth.Event
			var news <-chan struct{}
			part, next, news = r.take(next, filter)
			for _, e := range part {
				if ctx.Err() != nil || !yield(e) {
					return
				}
			}
			if news == nil {
				continue
			}
			select {
			case <-news:
			case <-ctx.Done():
			}
		}
	}
}

// begin is the Seq after which to follow.
func (r *Ring) begin(seq uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq == 0 {
		return r.oldestLocked() - 1
	}
	return min(seq, r.last)
}

// take returns some of what is new after seq and the place to go on from; when there
// is nothing, a channel that the next Emit closes.
func (r *Ring) take(seq uint64, filter Filter) ([]hearth.Event, uint64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq == r.last {
		if r.news == nil {
			r.news = make(chan struct{})
		}
		return nil, seq, r.news
	}
	part, next := r.partLocked(seq, filter)
	return part, next, nil
}
