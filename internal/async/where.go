package async

import (
	"context"
	"errors"
	"fmt"

	"hearth/internal/async/ledger"
	"hearth/internal/hearth"
	"hearth/internal/store"
)

// indexed is a queue whose messages can be found by the ids of their events.
type indexed struct {
	*store.Queue
	index    *ledger.Index
	complete bool // false: it was made anew, and Start has it filled
}

// open opens the index.
func (q *indexed) open(ctx context.Context, path string) (err error) {
	if q.index, q.complete, err = ledger.OpenIndex(path); err != nil || q.complete {
		return err
	}
	if _, err = q.Next(ctx, ">", 0); errors.Is(err, store.ErrNotFound) { // nothing is missing
		q.complete = true
		return q.index.Complete()
	}
	return err
}

// put publishes an event, and tells whether the engine knew it already by its name.
func (q *indexed) put(ctx context.Context, m store.Message, id string) (seq uint64, duplicate bool, err error) {
	seq, duplicate, err = q.PublishOnce(ctx, m)
	if err != nil {
		return 0, false, err
	}
	_ = q.index.Put(seq, id) // a courtesy: that it fails stops nothing
	return seq, duplicate, nil
}

// gone notes that a message has left the queue.
func (q *indexed) gone(seq uint64) { _ = q.index.Remove(seq) }

// trim gives back the room of what is gone.
func (q *indexed) trim(ctx context.Context) error {
	first, err := q.First(ctx)
	if err != nil {
		return err
	}
	return q.index.Trim(first)
}

// openFiles opens what is kept beside the store; all of it can be lost without losing
// an event.
func (s *Service) openFiles(ctx context.Context) (err error) {
	if s.ledger, err = ledger.Open(s.cfg.StatusFile); err != nil {
		return err
	}
	if err = s.queue.open(ctx, s.cfg.StatusFile+".queue"); err != nil {
		return err
	}
	if err = s.later.open(ctx, s.cfg.StatusFile+".later"); err != nil {
		return err
	}
	begun, found, err := ledger.OpenBegun(s.cfg.StatusFile + ".begun")
	if err != nil {
		return err
	}
	s.begun = begun
	return s.mourn(ctx, found)
}

// mourn remembers the attempts that were under way when the platform died, of events
// that are still in the queue.
func (s *Service) mourn(ctx context.Context, found []ledger.Mark) error {
	for _, mark := range found {
		m, err := s.queue.Get(ctx, mark.Seq)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			rec, _, err := s.clock.decodeRecord(m.Key, &m)
			if err == nil && ledger.MarkOf(mark.Seq, rec.ID) == mark {
				s.died.Store(mark, true)
				continue
			}
		}
		if err := s.begun.End(mark); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) closeFiles() error {
	var errs []error
	if s.ledger != nil {
		errs = append(errs, s.ledger.Close())
	}
	for _, x := range []*ledger.Index{s.queue.index, s.later.index} {
		if x != nil {
			errs = append(errs, x.Close())
		}
	}
	if s.begun != nil {
		errs = append(errs, s.begun.Close())
	}
	return errors.Join(errs...)
}

// Reindex finds out anew where each event waits, after somebody else has filled the
// queues. It does not wait for that.
func (s *Service) Reindex() {
	s.begin(func() { s.completeIndexes(true) })
}

// completeIndexes fills indexes that were lost, or are older than the queue, while all
// else goes on. It takes a minute for a million events.
func (s *Service) completeIndexes(all bool) {
	for _, q := range []*indexed{&s.queue, &s.later} {
		if q.complete && !all {
			continue
		}
		err := q.index.Doubt()
		if err == nil {
			err = s.fill(q)
		}
		if err != nil {
			if !s.stopping.Load() {
				s.cfg.Log.Warn("async: the status of some events cannot be told until the next start", "error", err)
			}
			return
		}
	}
}

func (s *Service) fill(q *indexed) error {
	for seq := uint64(0); !s.stopping.Load(); seq++ {
		m, err := q.Next(s.ctx, ">", seq)
		if errors.Is(err, store.ErrNotFound) {
			return q.index.Complete()
		}
		if err != nil {
			return err
		}
		seq = m.Seq
		if rec, _, err := s.clock.decodeRecord(m.Key, &m); err == nil {
			if err := q.index.Put(m.Seq, rec.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// note writes a status down. It is a courtesy: that it fails stops nothing.
func (s *Service) note(status *hearth.EventStatus) {
	if err := s.ledger.Put(status); err != nil {
		s.cfg.Log.Warn("async: status file", "error", err)
	}
}

// Status tells where an event stands: of every event that is queued, being attempted or
// waiting for a retry, and of those that have ended recently: about 100,000 are kept.
// The error is a *hearth.Error with ErrNotFound for an event that is not known (any
// more). It reads some files, for a few milliseconds when a million events are queued.
func (s *Service) Status(ctx context.Context, id string) (hearth.EventStatus, error) {
	// An event that moves while it is looked for is found the second time.
	for range 2 {
		status, found, err := s.find(ctx, id)
		if err != nil {
			return status, hearth.Errorf(hearth.ErrInternal, "The status of the event cannot be read.").WithCause(err)
		}
		if found {
			return status, nil
		}
	}
	return hearth.EventStatus{}, hearth.Errorf(hearth.ErrNotFound, "No event has the id %s, or it has ended and been forgotten: about the last 100,000 are kept.", clip(id, maxIDLen))
}

func (s *Service) find(ctx context.Context, id string) (status hearth.EventStatus, found bool, err error) {
	if status, ok := s.holds.status(id); ok {
		return status, true, nil
	}
	status, err = s.ledger.Get(id)
	if err == nil {
		return status, true, nil
	}
	if !errors.Is(err, ledger.ErrNotFound) {
		return status, false, err
	}
	if status, found, err = s.findIn(ctx, &s.queue, id, hearth.EventQueued); found || err != nil {
		return status, found, err
	}
	return s.findIn(ctx, &s.later, id, hearth.EventRetrying)
}

// findIn looks for an event in a queue, where it has a state.
func (s *Service) findIn(ctx context.Context, q *indexed, id string, state hearth.EventState) (status hearth.EventStatus, found bool, err error) {
	found, err = q.index.Find(id, func(seq uint64) (bool, error) {
		m, err := q.Get(ctx, seq)
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		function := m.Key
		if state == hearth.EventRetrying {
			if function, _, err = parseLaneKey(m.Key); err != nil {
				return false, nil
			}
		}
		rec, _, err := s.clock.decodeRecord(function, &m)
		if err != nil || rec.ID != id {
			return false, nil
		}
		status = rec.status(state, m.Time)
		status.NextAttempt = rec.Due
		return true, nil
	})
	if err != nil {
		err = fmt.Errorf("async: find an event: %w", err)
	}
	return status, found, err
}
