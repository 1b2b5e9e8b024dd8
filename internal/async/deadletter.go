package async

import (
	"context"
	"errors"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// maxListed bounds one answer of DeadLetters.
const maxListed = 1000

// bury puts an event into the dead-letter store, where it stays until a person
// replays or removes it.
func (s *Service) bury(ctx context.Context, e *ending) error {
	meta := e.rec.meta(s.clock)
	meta.Died, meta.Condition = millis(e.now), e.condition
	_, err := s.dead.Publish(ctx, store.Message{
		Key: e.rec.Function, Once: e.rec.onceName("dead"), Meta: encodeMeta(meta), Data: e.rec.Payload,
	})
	return err
}

func (s *Service) deadLetterOf(m *store.Stored) (hearth.DeadLetter, record, error) {
	rec, meta, err := s.clock.decodeRecord(m.Key, m)
	if err != nil {
		return hearth.DeadLetter{}, rec, err
	}
	return hearth.DeadLetter{
		Key: m.Seq, ID: rec.ID, Function: rec.Function, Qualifier: rec.Qualifier,
		Accepted: rec.Accepted, Died: fromMillis(meta.Died), Attempts: rec.Attempts,
		Condition: meta.Condition, ErrorType: rec.ErrorType, Error: rec.Error, Size: len(rec.Payload),
	}, rec, nil
}

// DeadLetters lists dead letters, oldest first, without their payloads: those of a
// function, or of all if it is empty, with keys above after, at most limit (1,000 at
// the most, and if it is 0).
func (s *Service) DeadLetters(ctx context.Context, function string, after uint64, limit int) ([]hearth.DeadLetter, error) {
	if limit <= 0 || limit > maxListed {
		limit = maxListed
	}
	key, err := lineOf(function)
	if err != nil {
		return nil, err
	}
	list := []hearth.DeadLetter{}
	for len(list) < limit {
		m, err := s.dead.Next(ctx, key, after+1)
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, storeError(err, "read the dead letters")
		}
		after = m.Seq
		d, _, err := s.deadLetterOf(&m)
		if err != nil {
			s.cfg.Log.Error("async: unreadable dead letter", "error", err)
			continue
		}
		list = append(list, d)
	}
	return list, nil
}

// DeadLetter returns one dead letter with its payload.
func (s *Service) DeadLetter(ctx context.Context, key uint64) (hearth.DeadLetter, error) {
	d, rec, err := s.readDeadLetter(ctx, key)
	d.Payload, d.ClientContext = rec.Payload, rec.ClientContext
	return d, err
}

func (s *Service) readDeadLetter(ctx context.Context, key uint64) (hearth.DeadLetter, record, error) {
	m, err := s.dead.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return hearth.DeadLetter{}, record{}, hearth.Errorf(hearth.ErrNotFound, "There is no dead letter %d: it was replayed or removed.", key)
	}
	if err != nil {
		return hearth.DeadLetter{}, record{}, storeError(err, "read a dead letter")
	}
	d, rec, err := s.deadLetterOf(&m)
	if err != nil {
		return d, rec, hearth.Errorf(hearth.ErrInternal, "Dead letter %d cannot be read; it can be deleted.", key).WithCause(err)
	}
	return d, rec, nil
}

// Replay submits a dead letter again, with the same request id and a new life, and
// then removes it. The function must be there.
func (s *Service) Replay(ctx context.Context, key uint64) (id string, err error) {
	_, rec, err := s.readDeadLetter(ctx, key)
	if err != nil {
		return "", err
	}
	if _, _, err := s.deps.Functions.Resolve(rec.Function, rec.Qualifier); err != nil {
		return "", err
	}
	// A new life is later than the one before, also when the clock went back meanwhile.
	accepted := time.Now()
	if old := rec.Accepted.Add(time.Millisecond); accepted.Before(old) {
		accepted = old
	}
	again := record{Event: rec.Event, Progress: Progress{Accepted: accepted}}
	if err := s.enqueue(ctx, &again, "", true); err != nil {
		return "", storeError(err, "replay dead letter of "+rec.Function)
	}
	s.emit("async.replayed", &again, "", "")
	return rec.ID, s.DeleteDeadLetter(ctx, key)
}

// DeleteDeadLetter removes one dead letter. It is no error if it is not there.
func (s *Service) DeleteDeadLetter(ctx context.Context, key uint64) error {
	return storeError(s.dead.Delete(ctx, key), "delete a dead letter")
}

// lineOf is the key of a function's line, that of all lines if it is empty.
func lineOf(function string) (string, error) {
	if function == "" {
		return ">", nil
	}
	return function, hearth.ValidateName(function)
}

// PurgeDeadLetters removes the dead letters of a function, or of all if it is empty,
// and says how many there were.
func (s *Service) PurgeDeadLetters(ctx context.Context, function string) (n int, err error) {
	key, err := lineOf(function)
	if err != nil {
		return 0, err
	}
	counts, err := s.dead.Counts(ctx, key)
	if err == nil && len(counts) > 0 {
		for _, c := range counts {
			n += int(c)
		}
		err = s.dead.Purge(ctx, key, 0)
	}
	return n, storeError(err, "purge the dead letters")
}
