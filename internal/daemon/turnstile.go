package daemon

import (
	"context"
	"slices"
	"sync"

	"hearth/internal/hearth"
)

// turnstile lets invocations through while the memory that they hold is within a bound,
// first come, first served. One function gets half of it at most, or one invocation: its
// backlog does not block the others'.
type turnstile struct {
	bound int

	mu    sync.Mutex
	used  int
	by    map[string]int // function → what it holds
	queue []*visitor
}

type visitor struct {
	function string
	weight   int
	in       chan struct{} // closed when it is let through
}

func newTurnstile(bound int) *turnstile {
	return &turnstile{bound: max(bound, 1), by: map[string]int{}}
}

// enter waits for its turn. The caller calls leave once it is through. The error is a
// *hearth.Error: ctx has ended.
func (t *turnstile) enter(ctx context.Context, function string, weight int) (leave func(), err error) {
	v := &visitor{function: function, weight: min(weight, t.bound), in: make(chan struct{})}
	t.mu.Lock()
	t.queue = append(t.queue, v)
	t.admitLocked()
	t.mu.Unlock()
	select {
	case <-v.in:
		return func() { t.leave(v) }, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(t.queue, v); at >= 0 {
		t.queue = slices.Delete(t.queue, at, at+1)
		t.admitLocked()
	} else {
		t.releaseLocked(v)
	}
	return nil, hearth.Errorf(hearth.ErrShuttingDown, "the platform is shutting down")
}

func (t *turnstile) leave(v *visitor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releaseLocked(v)
}

func (t *turnstile) releaseLocked(v *visitor) {
	t.used -= v.weight
	if t.by[v.function] -= v.weight; t.by[v.function] == 0 {
		delete(t.by, v.function)
	}
	t.admitLocked()
}

// admitLocked lets in who may. Nobody overtakes one who waits for room, but one who waits
// for others of its own function.
func (t *turnstile) admitLocked() {
	for i := 0; i < len(t.queue); {
		v := t.queue[i]
		if held := t.by[v.function]; held > 0 && held+v.weight > t.bound/2 {
			i++
			continue
		}
		if t.used+v.weight > t.bound {
			return
		}
		t.used += v.weight
		t.by[v.function] += v.weight
		t.queue = slices.Delete(t.queue, i, i+1)
		close(v.in)
	}
}
