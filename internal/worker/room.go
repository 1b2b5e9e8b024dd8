package worker

import (
	"errors"
	"sync"
	"time"

	"hearth/internal/pool"
	"hearth/internal/sandbox"
)

// reserve holds the room for one more instance, memory and disk, and waits until those
// that had to make room are gone. A blank sandbox that becomes the instance brings what it
// has; the one that is returned is nil if it has itself had to make room meanwhile.
func (w *Worker) reserve(g *pool.Group, blank *blank) (*pool.Reservation, *blank, error) {
	// Who resolved a name just before an update may have made a group that the update
	// did not see.
	if v := g.Version(); w.cfg.InUse != nil && !w.cfg.InUse(v) {
		destroy, moved := g.Drain(time.Now())
		w.ended(destroy, moved, errMoved)
	}
	disk, err := w.disk(g.Version().Config.TmpMB)
	if err != nil {
		return nil, blank, err
	}
	var res *pool.Reservation
	var victims pool.Victims
	if blank != nil {
		res, victims, err = w.pool.ReserveOver(g, blank.spare, disk)
		if errors.Is(err, pool.ErrSpareTaken) {
			blank = nil
		}
	}
	if blank == nil {
		res, victims, err = w.pool.Reserve(g, disk)
	}
	if err != nil {
		return nil, blank, err
	}
	w.evict(victims)
	return res, blank, nil
}

// refit makes room again for an instance whose room on the disk others have taken. It
// returns false if nothing can be done, as far as is known.
func (w *Worker) refit(inst *instance) bool {
	disk, err := w.disk(inst.version.Config.TmpMB)
	if err != nil {
		return false
	}
	victims, err := w.pool.Refit(inst.pooled.Group(), disk)
	if err != nil || len(victims.Instances)+len(victims.Spares) == 0 {
		return false
	}
	w.evict(victims)
	return true
}

// evict destroys those who make room, all at once, and waits until they are gone.
func (w *Worker) evict(victims pool.Victims) {
	for _, v := range victims.Instances {
		w.destroy(v)
	}
	var removals sync.WaitGroup
	for _, s := range victims.Spares {
		removals.Go(func() { w.blanks.evict(s.Value.(*blank)) })
	}
	removals.Wait()
	for _, v := range victims.Instances {
		<-v.Value.(*instance).gone
	}
}

// disk is how the disk stands for one more sandbox with a /tmp of so many MiB.
func (w *Worker) disk(tmpMB int) (pool.Disk, error) {
	roomy, ok := w.cfg.Driver.(sandbox.Roomy)
	if !ok {
		return pool.Disk{}, nil
	}
	room, err := roomy.Room(tmpMB)
	return pool.Disk(room), err
}
