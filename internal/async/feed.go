package async

import (
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// scanEvery is how often all lines are looked at, for what no poke has told of: events
// whose lease has ended, and what other nodes have submitted.
const scanEvery = 5 * time.Second

// tidyEvery is how many scans there are between two times of tidying up.
const tidyEvery = 12

// poke says that a function's line may have something, and begins what may begin.
func (s *Service) poke(function string) {
	s.gate.Poke(function)
	s.dispatch()
}

// dispatch gives turns for as long as the gate allows.
func (s *Service) dispatch() {
	for !s.stopping.Load() && !s.paused.Load() {
		turn, ok := s.gate.Next(s.terms)
		if !ok {
			return
		}
		if !s.begin(func() { s.takeTurn(turn) }) {
			s.gate.Pulled(turn, turn.Permits) // stays in the ring until Start
			for range turn.Permits {
				s.gate.Done(turn)
			}
			return
		}
	}
}

// terms is what an attempt of the function's $LATEST costs at the gate. What events of
// other versions cost is known when they have been read: see Gate.Weigh.
func (s *Service) terms(function string) Terms {
	f, v, err := s.deps.Functions.Resolve(function, "")
	if err != nil {
		return Terms{} // its events will be buried, which costs nothing
	}
	t := Terms{MemoryMB: shareMB(&v.Config)}
	if f.Reserved != nil {
		t.Most = max((*f.Reserved+1)/2, 1)
	}
	return t
}

// takeTurn pulls what the turn permits and attempts it.
func (s *Service) takeTurn(turn Turn) {
	list, err := s.pull(turn)
	if err != nil {
		if !s.stopping.Load() {
			s.cfg.Log.Warn("async: cannot read the queue, will try again", "function", turn.Function, "error", err)
		}
	}
	jobs := make([]*job, 0, len(list))
	for i, d := range list {
		j := s.read(turn, d)
		var fits bool
		if j.turn, fits = s.gate.Weigh(turn, j.memoryMB(), i > 0); fits {
			jobs = append(jobs, j)
			continue
		}
		s.release(d)
		s.gate.Done(turn)
	}
	s.gate.Pulled(turn, len(list))
	if pause, ok := s.lines.pulled(turn.Function, list, turn.Permits); ok {
		s.begin(func() { s.lookAgain(turn.Function, pause) })
	}
	s.dispatch()
	for _, j := range jobs {
		if s.paused.Load() || !s.begin(func() { s.attempt(j) }) {
			s.release(j.delivery)
			s.gate.Done(j.turn)
		}
	}
}

// lookAgain pokes a function's line after a pause.
func (s *Service) lookAgain(function string, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.lines.looking(function)
		s.poke(function)
	case <-s.stop:
	}
}

func (s *Service) pull(turn Turn) ([]*store.Delivery, error) {
	p, err := s.line(s.ctx, turn.Function)
	if err != nil {
		return nil, err
	}
	return p.Pull(s.ctx, turn.Permits)
}

// release gives an event back to the queue as it is.
func (s *Service) release(d *store.Delivery) {
	if err := d.Release(0); err != nil {
		s.cfg.Log.Warn("async: an event stays under lease until that ends", "error", err)
	}
}

// scan looks at all lines now and then.
func (s *Service) scan() {
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		if counts, err := s.queue.Counts(s.ctx, ">"); err == nil {
			for function := range counts {
				s.gate.Poke(function)
			}
			s.dispatch()
		} else if s.ctx.Err() == nil {
			s.cfg.Log.Warn("async: cannot look at the queue, will try again", "error", err)
		}
		s.lines.forget(time.Now())
		if n%tidyEvery == 0 {
			s.tidy()
		}
		select {
		case <-tick.C:
		case <-s.stop:
			return
		}
	}
}

// tidy drops what is kept of events and functions that are gone.
func (s *Service) tidy() {
	for _, q := range []*indexed{&s.queue, &s.later} {
		if err := q.trim(s.ctx); err != nil && s.ctx.Err() == nil {
			s.cfg.Log.Warn("async: an index of events is not trimmed", "error", err)
		}
	}
	s.tally.forget(time.Now(), func(function string) bool {
		_, _, err := s.deps.Functions.Resolve(function, "")
		return hearth.CodeOf(err) == hearth.ErrNotFound
	})
}

// holds are the events that this node has under lease.
type holds struct {
	mu   sync.Mutex
	list map[*hold]bool
	byID map[string]*hold
}

// hold is one event under lease.
type hold struct {
	delivery *store.Delivery

	// Guarded by holds.mu.
	lease  lease
	status hearth.EventStatus
}

func (h *holds) take(d *store.Delivery, l lease, status hearth.EventStatus) *hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.list == nil {
		h.list, h.byID = map[*hold]bool{}, map[string]*hold{}
	}
	held := &hold{delivery: d, lease: l, status: status}
	h.list[held] = true
	h.byID[status.ID] = held
	return held
}

func (h *holds) drop(held *hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.list, held)
	if h.byID[held.status.ID] == held {
		delete(h.byID, held.status.ID)
	}
}

func (h *holds) status(id string) (hearth.EventStatus, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.byID[id]
	if held == nil {
		return hearth.EventStatus{}, false
	}
	return held.status, true
}

// change edits a hold under the lock.
func (h *holds) change(held *hold, edit func(*hold)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	edit(held)
}

// lost tells whether the event may be somebody else's by now.
func (h *holds) lost(held *hold, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return held.lease.expired(now)
}

// beats returns the deliveries that a heartbeat is due for.
func (h *holds) beats(now time.Time) []*store.Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*store.Delivery
	for held := range h.list {
		if held.lease.tick(now) {
			list = append(list, held.delivery)
		}
	}
	return list
}

// heartbeat keeps the leases of what is under way, until Close has waited for that.
func (s *Service) heartbeat() {
	tick := time.NewTicker(s.cfg.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		for _, d := range s.holds.beats(time.Now()) {
			if err := d.Extend(); err != nil {
				s.cfg.Log.Warn("async: heartbeat", "error", err)
			}
		}
	}
}
