package process

import (
	"context"
	"fmt"

	"hearth/internal/sandbox"
)

var _ sandbox.Preparer = (*Driver)(nil)

// StartBlank starts a process without code: see sandbox.Preparer.
func (d *Driver) StartBlank(ctx context.Context, spec sandbox.Spec) (sandbox.Blank, error) {
	if spec.CodeDir != "" {
		return nil, fmt.Errorf("start sandbox %s: a blank one has no code", spec.ID)
	}
	b, err := d.startBox(ctx, spec)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Specialise has nothing to bring: a process sees the host's files, and CodeDir tells
// where the code is. See sandbox.Blank.
func (b *box) Specialise(ctx context.Context, a sandbox.Assignment) error {
	if err := a.Check(); err != nil {
		return fmt.Errorf("specialise sandbox %s: %w", b.id, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.codeDir, b.limit = a.CodeDir, int64(a.MemoryMB)<<20
	return nil
}
