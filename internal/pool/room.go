package pool

import (
	"errors"

	"hearth/internal/hearth"
)

// room is what an instance holds of the node, in MiB: memory, and disk for its /tmp. Both
// are promised before a sandbox exists and taken from idle instances in the same way.
type room struct{ memory, disk int }

func (r room) plus(s room) room  { return room{r.memory + s.memory, r.disk + s.disk} }
func (r room) minus(s room) room { return room{r.memory - s.memory, r.disk - s.disk} }

// least is the part of r that s covers.
func (r room) least(s room) room { return room{min(r.memory, s.memory), min(r.disk, s.disk)} }

// lacking is what of r is more than nothing.
func (r room) lacking() room { return room{max(r.memory, 0), max(r.disk, 0)} }

func (r room) none() bool { return r.memory <= 0 && r.disk <= 0 }

// enough tells that nothing of r is less than nothing.
func (r room) enough() bool { return r.memory >= 0 && r.disk >= 0 }

// Disk is the disk that one more instance, or one more sandbox that waits, may need, and
// how it stands with it. The zero Disk is for those that need none.
type Disk struct {
	NeedMB int
	// TotalMB is what all sandboxes together may need as things stand, those that are
	// there included. It changes with what others write to the disk.
	TotalMB int
	Full    error // what to tell people when that is not enough; a *hearth.Error
}

var (
	// ErrNeverFits is in the chain of Reserve's error when the version needs more memory
	// than the whole node has.
	ErrNeverFits = errors.New("larger than the node")
	// ErrSpareTaken is ReserveOver's error when the room of the sandbox has been given to
	// another instance.
	ErrSpareTaken = errors.New("the sandbox has to make room for an instance")
)

// Shortage is why there is no room for one more instance now. Its words are those of Err.
type Shortage struct {
	Err  error // a *hearth.Error with ErrCapacity
	need room
	// soon: what is starting holds so much that it would be enough once that is idle.
	soon bool
}

func (s *Shortage) Error() string { return s.Err.Error() }
func (s *Shortage) Unwrap() error { return s.Err }

// Reservation is a hold on room, from before a sandbox exists until after it has been
// destroyed.
type Reservation struct {
	pool *Pool

	// Guarded by the pool's lock.
	inst     *Instance // nil until Starting
	room     room      // less than it was when another reservation has taken it over
	released bool
}

// Victims are who must be destroyed before reserved room may be used.
type Victims struct {
	Instances []*Instance
	Spares    []*Spare
}

// Reserve holds the room that one more instance of g needs. If too little is free it
// evicts sandboxes that wait and then idle instances of other groups, least recently used
// first, but only if that is enough. Provisioned ones go last, and only for invocations
// that wait. The caller must destroy the victims before it uses the room: what it takes of
// theirs passes to the new reservation, so that never more is reserved than there is.
// Their own reservations must be released as usual. A victim may already be under
// destruction; then the caller has to wait for that.
//
// Groups that were refused and still wait come first, in their order, as far as there is
// enough for them.
//
// Errors, for StartAborted: ErrClosed; a *Shortage; or a *hearth.Error with ErrCapacity if
// waiting would be in vain, with ErrNeverFits in its chain if it always will be.
func (p *Pool) Reserve(g *Group, disk Disk) (*Reservation, Victims, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reserveLocked(g, disk)
}

func (p *Pool) reserveLocked(g *Group, disk Disk) (*Reservation, Victims, error) {
	g.mu.Lock()
	closed := g.closed
	if g.queue.len == 0 {
		g.leaveLineLocked() // nobody waits any more
	}
	g.mu.Unlock()
	need := room{g.memoryMB, disk.NeedMB}
	switch {
	case closed:
		return nil, Victims{}, ErrClosed
	case need.memory > p.cfg.MemoryMB:
		return nil, Victims{}, hearth.Errorf(hearth.ErrCapacity,
			"an instance of function %s needs %d MB, but this node has only %d MB in all; lower the function's memory or give Hearth more (--memory)",
			g.version.Function, need.memory, p.cfg.MemoryMB).WithCause(ErrNeverFits)
	case need.disk > 0 && need.disk > disk.TotalMB:
		return nil, Victims{}, disk.Full
	}
	short := p.shortLocked(need, disk)
	victims, err := p.makeRoomLocked(g, need, short, disk.Full)
	if err != nil {
		return nil, Victims{}, err
	}
	p.reserved, p.unborn = p.reserved.plus(need), p.unborn.plus(need)
	return &Reservation{pool: p, room: need}, victims, nil
}

// shortLocked is how much too little is free for need; less than nothing if there is more.
// Of a disk that is not needed there is enough.
func (p *Pool) shortLocked(need room, disk Disk) room {
	short := p.reserved.plus(p.spare).plus(need).minus(room{p.cfg.MemoryMB, disk.TotalMB})
	if need.disk == 0 {
		short.disk = min(short.disk, 0)
	}
	return short
}

// makeRoomLocked evicts what is short, or says why it cannot.
func (p *Pool) makeRoomLocked(g *Group, need, short room, full error) (Victims, error) {
	before := p.line.before(g)
	if short.none() && len(before) == 0 {
		return Victims{}, nil
	}
	for {
		c := p.censusLocked(g)
		if err := p.refuseLocked(g, need, short, c, before, full); err != nil {
			return Victims{}, err
		}
		chosen := choose(c.found, short)
		if p.condemnLocked(chosen) {
			return p.takeLocked(chosen, short.lacking()), nil
		}
		// One of them went to work meanwhile: look again. Every round that fails means
		// that an invocation was served, so this is no busy loop.
	}
}

// refuseLocked decides whether what is free and what could be is enough, after those who
// come before g have had theirs.
func (p *Pool) refuseLocked(g *Group, need, short room, c census, before []*Group, full error) error {
	there := c.evictable.minus(short).plus(need)
	left := there
	for _, other := range before {
		if rest := left.minus(other.waitsFor()); rest.enough() {
			left = rest
		}
	}
	if left.minus(need).enough() {
		return nil
	}
	s := &Shortage{Err: full, need: need, soon: there.plus(c.starting).minus(need).enough()}
	if left.memory < need.memory {
		s.Err = hearth.Errorf(hearth.ErrCapacity,
			"an instance of function %s needs %d MB, but of this node's %d MB only %d are free and %d more could be freed by evicting idle instances; try again later",
			g.version.Function, need.memory, p.cfg.MemoryMB, p.cfg.MemoryMB-p.reserved.memory-p.spare.memory, c.evictable.memory)
	}
	return s
}

// Refit finds room again for what has been reserved, for g, when the disk has turned out
// to have less than was thought. It returns who must be destroyed first: nobody if nothing
// is short as far as is known. The error is a *Shortage.
func (p *Pool) Refit(g *Group, disk Disk) (Victims, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	short := room{disk: p.reserved.disk + p.spare.disk - disk.TotalMB}
	if disk.NeedMB == 0 || short.none() {
		return Victims{}, nil
	}
	return p.makeRoomLocked(g, room{}, short, disk.Full)
}

// Release gives the room back; call it once the sandbox has been destroyed, or when none
// was made. Calling it again is harmless.
func (r *Reservation) Release() {
	p := r.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.released {
		return
	}
	r.released = true
	if r.inst != nil {
		r.inst.group.forget(r.inst)
	} else {
		p.unborn = p.unborn.minus(r.room)
	}
	p.reserved = p.reserved.minus(r.room)
	r.room = room{}
}
