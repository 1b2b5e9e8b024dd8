package scratch

import (
	"fmt"
	"math"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"hearth/internal/hearth"
)

// What a disk keeps for everything else of the platform and of the host: a twentieth
// of it, within these bounds, in bytes.
const (
	minReserve = 256 * mib
	maxReserve = 2048 * mib
)

// reserveOf is how much of a file system of total bytes volumes may never have.
func reserveOf(total int64) int64 {
	return min(max(total/20, minReserve), maxReserve)
}

// disk hands out the space of the file system that the images are on, as memory is
// handed out: before a volume is made, all that it may ever need is put aside. So the
// sum of what was promised always fits, and a function that fills its /tmp meets its
// own limit, never the end of the host's disk. (Others may still fill the disk; the
// reserve is for them.)
type disk struct {
	dir string

	mu     sync.Mutex
	claims map[*claim]struct{}
}

// claim is the promise to one volume.
type claim struct {
	disk *disk
	// Guarded by disk.mu. Of size bytes, those that img has been given by the host
	// are no longer free, and so no longer promised.
	size int64
	img  *os.File // nil until there is one
}

// claim promises size bytes. When they cannot be had it fails with a *hearth.Error
// (ErrCapacity) that says what there is.
func (d *disk) claim(size int64) (*claim, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u, err := d.usageLocked()
	if err != nil {
		return nil, err
	}
	if size > u.free-u.promised-u.reserve {
		return nil, u.full(d.dir, size)
	}
	c := &claim{disk: d, size: size}
	d.claims[c] = struct{}{}
	return c, nil
}

// usage is how a disk stands, in bytes.
type usage struct {
	free     int64
	reserve  int64 // of that, what is kept
	promised int64 // of that, what the volumes may still take
	taken    int64 // what they have taken of what they were promised, not free any more
}

func (d *disk) usage() (usage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.usageLocked()
}

func (d *disk) usageLocked() (u usage, err error) {
	total, free, err := space(d.dir)
	if err != nil {
		return usage{}, err
	}
	u.free, u.reserve = free, reserveOf(total)
	for c := range d.claims {
		has := int64(0)
		if c.img != nil {
			info, err := c.img.Stat()
			if err != nil {
				return usage{}, err
			}
			has = info.Sys().(*syscall.Stat_t).Blocks * 512 // stat(2)
		}
		u.promised += max(c.size-has, 0)
		u.taken += min(c.size, has)
	}
	return u, nil
}

// full is the refusal of size bytes.
func (u usage) full(dir string, size int64) error {
	return hearth.Errorf(hearth.ErrCapacity,
		"no room for a temporary directory: it needs %d MB of the disk of %s, which has %d MB free; of these %d MB are promised to other instances and %d MB are kept for the host; "+
			"free some space, give functions less ephemeral storage (512 MB is the least), or keep Hearth's data on a larger disk (hearth up --data)",
		upMB(size), dir, u.free/mib, upMB(u.promised), u.reserve/mib)
}

// hold makes img, which the claim closes, the one that uses up the promise.
func (c *claim) hold(img *os.File) error {
	info, err := img.Stat()
	if err != nil {
		img.Close()
		return err
	}
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	c.img, c.size = img, info.Size()
	return nil
}

// release takes the promise back. Call it when the image is gone but for the hold of
// this claim. Releasing twice is harmless.
func (c *claim) release() {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	if c.img != nil {
		c.img.Close()
		c.img = nil
	}
	delete(c.disk.claims, c)
}

// space is the size of the file system at dir and what is left of it, in bytes.
func space(dir string) (total, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	if st.Blocks == 0 { // a tmpfs without a limit
		return math.MaxInt64 / 2, math.MaxInt64 / 2, nil // sums of it must not overflow
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}

func upMB(bytes int64) int64 { return (bytes + mib - 1) / mib }
