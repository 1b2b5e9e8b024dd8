package registry

import (
	"context"
	"fmt"
)

// TableName is that of the table with the functions, in the store.
const TableName = tableName

// HoldCode keeps all code, also what nobody needs any more, until release: so that what
// is read of the functions first, and of the code afterwards, fits together. Release
// removes what is not needed; it blocks for as long as that takes.
func (r *Registry) HoldCode() (release func()) { return r.code.hold() }

// Heard blocks until this node knows everything that was written to the table of
// functions up to revision, by whomever.
func (r *Registry) Heard(ctx context.Context, revision uint64) error {
	r.mu.Lock()
	if revision <= r.watermark {
		r.mu.Unlock()
		return nil
	}
	heard := r.waiting[revision]
	if heard == nil {
		heard = make(chan struct{})
		r.waiting[revision] = heard
	}
	r.mu.Unlock()
	select {
	case <-heard:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("registry: waiting for changes: %w", ctx.Err())
	}
}
