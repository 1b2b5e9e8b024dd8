package registry

import (
	"context"
	"slices"
	"sync"

	"hearth/internal/hearth"
)

// Change is a step of one function. Old is nil when it is new, New when it is gone.
// When changes follow each other fast, one Change may stand for several.
type Change struct{ Old, New *hearth.Function }

// subscribers are called in order from one goroutine.
type subscribers struct {
	mu      sync.Mutex
	subs    []*subscriber
	pending []Change
	wake    chan struct{} // has room for one
}

type subscriber struct{ call func(Change) }

func (s *subscribers) init() { s.wake = make(chan struct{}, 1) }

// Subscribe has fn called for every change from now on, in order, after the cache has
// the new value. All subscribers share one goroutine, so fn should be quick; it may
// use the registry, but not Close it. After cancel no call begins, though one that is
// under way may still go on.
func (r *Registry) Subscribe(fn func(Change)) (cancel func()) {
	s := &subscriber{fn}
	r.subs.mu.Lock()
	defer r.subs.mu.Unlock()
	r.subs.subs = append(r.subs.subs, s)
	return func() {
		r.subs.mu.Lock()
		defer r.subs.mu.Unlock()
		r.subs.subs = slices.DeleteFunc(slices.Clone(r.subs.subs), func(other *subscriber) bool { return other == s })
	}
}

// queue never blocks. Without subscribers there is nothing to remember.
func (s *subscribers) queue(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.subs) == 0 {
		return
	}
	s.pending = append(s.pending, c)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// deliver calls the subscribers until ctx is done.
func (s *subscribers) deliver(ctx context.Context) {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			c, ok := s.take()
			if !ok {
				break
			}
			s.call(ctx, c)
		}
	}
}

func (s *subscribers) take() (Change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		s.pending = nil
		return Change{}, false
	}
	c := s.pending[0]
	s.pending = s.pending[1:]
	return c, true
}

func (s *subscribers) call(ctx context.Context, c Change) {
	s.mu.Lock()
	subs := slices.Clone(s.subs)
	s.mu.Unlock()
	for _, sub := range subs {
		if ctx.Err() == nil && s.has(sub) {
			sub.call(c)
		}
	}
}

func (s *subscribers) has(sub *subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.subs, sub)
}
