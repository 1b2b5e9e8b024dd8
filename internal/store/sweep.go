package store

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// strayAge is how old the chunks of an unfinished Put must be before they are swept
// from an external engine, where the Put of another node may still go on.
const strayAge = 24 * time.Hour

// sweep removes chunks that no metadata speaks for.
func (b *Blobs) sweep(ctx context.Context) error {
	state, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(b.chunkSubject(">")))
	if err != nil || len(state.State.Subjects) == 0 {
		return err
	}
	objects, err := b.objects(ctx) // after the chunks: metadata comes last
	if err != nil {
		return err
	}
	for _, o := range objects {
		delete(state.State.Subjects, b.chunkSubject(o.NUID))
	}
	for subject := range state.State.Subjects {
		stray, err := b.isStray(ctx, subject)
		if err != nil {
			return err
		}
		if !stray {
			continue
		}
		if err := b.stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return err
		}
	}
	return nil
}

// isStray tells whether nobody can be writing to this chunk subject any more.
func (b *Blobs) isStray(ctx context.Context, subject string) (bool, error) {
	if b.store.srv != nil {
		return true, nil // nobody else has the directory, and we have not begun
	}
	m, err := b.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && time.Since(m.Time) > strayAge, err
}
