package oci

import (
	"context"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/sandbox"
	"hearth/internal/sandbox/scratch"
)

// leaveTimeout bounds the wait for sandboxes that have ended to be removed, which takes
// milliseconds. It is only met when an owner forgets to Destroy one.
const leaveTimeout = 2 * time.Second

// makeTmp makes a sandbox's /tmp. Where the disk has no room left it waits for those
// sandboxes that are on their way out, so that one may take the place of another.
func (d *Driver) makeTmp(ctx context.Context, id string, mb, uid, gid int) (*scratch.Volume, error) {
	patience := time.NewTimer(leaveTimeout)
	defer patience.Stop()
	for {
		leaver := d.leaver() // before the try: what leaves meanwhile is seen by one of both
		v, err := d.scratch.Make(id, mb, uid, gid)
		if err == nil || leaver == nil || hearth.CodeOf(err) != hearth.ErrCapacity {
			return v, err
		}
		select {
		case <-leaver.gone:
		case <-patience.C:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Room tells how the disk stands for one more /tmp: see sandbox.Roomy.
func (d *Driver) Room(tmpMB int) (room sandbox.Room, err error) {
	room.NeedMB, room.TotalMB, room.Full, err = d.scratch.Room(tmpMB)
	return room, err
}

// leaver returns a sandbox that has ended or is being destroyed, or nil.
func (d *Driver) leaver() *box {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.boxes {
		if b.leaving.Load() {
			return b
		}
	}
	return nil
}
