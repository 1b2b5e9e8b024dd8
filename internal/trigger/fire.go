package trigger

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hearth/internal/hearth"
)

// Submissions wait for the disk, which takes many at once gladly.
const parallel = 16

// Pauses after an event was not accepted.
const (
	firstPause = time.Second
	mostPause  = time.Minute
)

// fire runs everything that is due, and returns when it is in the queue.
func (s *Service) fire(ctx context.Context, now time.Time) {
	var tasks sync.WaitGroup
	room := make(chan struct{}, parallel)
	for _, e := range s.all() {
		at := e.at()
		if due := !at.IsZero() && !at.After(now); !due && !e.unsaved {
			continue
		}
		room <- struct{}{}
		tasks.Go(func() {
			s.fireOne(ctx, e, now)
			<-room
		})
	}
	tasks.Wait()
}

// fireOne submits the entry's runs and then writes the next due time: dying in between
// means the same runs again, with the same ids.
func (s *Service) fireOne(ctx context.Context, e *entry, now time.Time) {
	defer s.save(ctx, e)
	if at := e.at(); at.IsZero() || at.After(now) {
		return
	}
	run, next, dropped := plan(e.schedule, e.trigger.Missed, e.due, now)
	for _, due := range run {
		if err := s.submit(ctx, e, due); err != nil {
			e.pause = min(max(2*e.pause, firstPause), mostPause)
			e.retryAt = now.Add(e.pause)
			if ctx.Err() == nil {
				s.cfg.Log.Warn("trigger: run not accepted; it is tried again", "trigger", e.key(), "due", due, "in", e.pause, "error", err)
			}
			return
		}
	}
	if dropped {
		s.deps.Events.Emit(hearth.Event{Kind: "trigger.missed", Function: e.function.Name, Reason: "some runs were left out",
			Detail: fmt.Sprintf("trigger %s: due since %s; made up for: %d", e.trigger.Name, e.due.Format(time.RFC3339), len(run))})
	}
	e.due, e.retryAt, e.pause, e.unsaved = next, time.Time{}, 0, true
}

// submit has one run accepted. An error means that it is to be tried again.
func (s *Service) submit(ctx context.Context, e *entry, due time.Time) error {
	id := idOf(e.function, e.trigger.Name, due)
	err := s.deps.Submitter.Submit(ctx, Event{ID: id, Function: e.function.Name, Payload: s.cfg.payload(e.function, &e.trigger, id, due)})
	switch hearth.CodeOf(err) {
	case hearth.ErrNotFound: // it has been deleted; we are about to hear of it
		return nil
	case hearth.ErrTooLarge, hearth.ErrInvalid: // no better next time
		s.cfg.Log.Error("trigger: run refused", "trigger", e.key(), "due", due, "error", err)
		return nil
	}
	return err
}
