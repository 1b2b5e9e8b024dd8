package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// spareBytes of the disk are never written to. The engine shuts itself down for good
// when a write finds no space, so it must not come to that.
const spareBytes = 16 << 20

// room fails with ErrFull if n bytes more would leave the disk too full. It costs
// one system call, about a microsecond.
func (s *Store) room(n int) error {
	if s.srv == nil {
		return nil // the cluster looks after its own disks
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.cfg.Dir, &fs); err != nil {
		return fmt.Errorf("store: cannot ask for the free space of %s: %w", s.cfg.Dir, err)
	}
	free := fs.Bavail * uint64(fs.Bsize)
	if free < spareBytes+uint64(n) {
		return fmt.Errorf("%w: %s has %d MiB free, and %d MiB are kept as a reserve: free some space", ErrFull, s.cfg.Dir, free>>20, spareBytes>>20)
	}
	return nil
}
