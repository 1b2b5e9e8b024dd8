package async

import (
	"context"

	"hearth/internal/hearth"
)

// Bury puts a letter of somebody else into the dead-letter store, for those who make
// attempts of their own. When it returns nil the letter is synced to disk. The same
// letter given twice within two minutes is stored once.
//
// Errors are *hearth.Error: ErrTooLarge, ErrCapacity (the disk is full), ErrShuttingDown,
// ErrInternal.
func (s *Service) Bury(ctx context.Context, d hearth.DeadLetter) error {
	rec := &record{
		Event:     Event{ID: d.ID, Function: d.Function, Qualifier: d.Qualifier, Payload: d.Payload},
		Progress:  Progress{Accepted: d.Accepted, Attempts: d.Attempts, Failures: d.Attempts},
		ErrorType: clip(d.ErrorType, maxErrorTypeBytes), Error: clip(d.Error, maxErrorBytes),
	}
	return storeError(s.bury(ctx, &ending{rec: rec, now: d.Died, condition: d.Condition}), "keep a dead letter")
}
