package pool

import (
	"errors"
	"slices"
	"time"

	"hearth/internal/hearth"
)

// ErrNeverFits is in the chain of Reserve's error when the version needs more memory
// than the whole node has.
var ErrNeverFits = errors.New("larger than the node")

// Reservation is a hold on memory, from before a sandbox exists until after it has
// been destroyed.
type Reservation struct {
	pool *Pool
	inst *Instance // set once, by Starting

	// Guarded by the pool's lock.
	mb       int // less than it was when another reservation has taken it over
	released bool
}

// Reserve holds the memory that one more instance of g needs. If too little is free
// it evicts idle instances of other groups, least recently used first, but only if
// that is enough. Provisioned ones go last, and only for invocations that wait. The
// caller must destroy the victims before it uses the memory: what it takes of theirs
// passes to the new reservation, so that never more is reserved than there is. Their
// own reservations must be released as usual. A victim may already be under
// destruction; then the caller has to wait for that.
//
// Errors: ErrClosed, or a *hearth.Error with ErrCapacity, with ErrNeverFits in its
// chain if waiting would be in vain.
func (p *Pool) Reserve(g *Group) (*Reservation, []*Instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reserveLocked(g)
}

func (p *Pool) reserveLocked(g *Group) (*Reservation, []*Instance, error) {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	need, total := g.memoryMB, p.cfg.MemoryMB
	switch {
	case closed:
		return nil, nil, ErrClosed
	case need > total:
		return nil, nil, hearth.Errorf(hearth.ErrCapacity,
			"an instance of function %s needs %d MB, but this node has only %d MB in all; lower the function's memory or give Hearth more (--memory)",
			g.version.Function, need, total).WithCause(ErrNeverFits)
	}
	var victims []*Instance
	if short := p.reservedMB + p.spareMB + need - total; short > 0 {
		var evictable int
		if victims, evictable = p.evictLocked(short, g); victims == nil {
			return nil, nil, hearth.Errorf(hearth.ErrCapacity,
				"an instance of function %s needs %d MB, but of this node's %d MB only %d are free and %d more could be freed by evicting idle instances; try again later",
				g.version.Function, need, total, total-p.reservedMB-p.spareMB, evictable)
		}
	}
	p.reservedMB += need
	return &Reservation{pool: p, mb: need}, victims, nil
}

// Release gives the memory back; call it once the sandbox has been destroyed, or when
// none was made. Calling it again is harmless.
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
	}
	p.reservedMB -= r.mb
	r.mb = 0
}

// candidate is an instance whose memory could be taken, as it was a moment ago.
type candidate struct {
	inst     *Instance
	lastUsed time.Time
	dying    bool
	promised bool
}

// evictLocked takes so many MB from instances of groups other than g, for the caller
// to account for. If they cannot be had it takes nothing, returns no victims, and
// tells how many could.
func (p *Pool) evictLocked(short int, g *Group) (victims []*Instance, evictable int) {
	for {
		var found []candidate
		found, evictable = p.candidatesLocked(g)
		if evictable < short {
			return nil, evictable
		}
		slices.SortFunc(found, evictBefore)
		n := 0
		for mb := 0; mb < short; n++ {
			mb += found[n].inst.res.mb
		}
		if p.condemnLocked(found[:n]) {
			return p.takeLocked(found[:n], short), evictable
		}
		// One of them went to work meanwhile: look again. Every round that fails means
		// that an invocation was served, so this is no busy loop.
	}
}

// candidatesLocked finds what could be evicted for g's sake and sums up its memory.
func (p *Pool) candidatesLocked(g *Group) (found []candidate, mb int) {
	g.mu.Lock()
	urgent := g.queue.len > 0 // a promise is not broken to keep another
	g.mu.Unlock()
	for _, other := range p.groupsLocked() {
		other.mu.Lock()
		for _, inst := range other.instances {
			dying := inst.phase == dead
			idle := inst.phase == warm && inst.inFlight == 0 && other != g && (urgent || !inst.promised)
			if inst.res.mb > 0 && (dying || idle) {
				found = append(found, candidate{inst, inst.lastUsed, dying, inst.promised})
				mb += inst.res.mb
			}
		}
		other.mu.Unlock()
	}
	return found, mb
}

// condemnLocked takes all of the candidates out of service, or none if one of them is
// not idle any more. It holds several groups' locks at once; nobody else does, and it
// holds the pool's, so no two can wait for each other.
func (p *Pool) condemnLocked(found []candidate) bool {
	held := make([]*Group, 0, len(found))
	defer func() {
		for _, g := range held {
			g.mu.Unlock()
		}
	}()
	for _, c := range found {
		if g := c.inst.group; !slices.Contains(held, g) {
			g.mu.Lock()
			held = append(held, g)
		}
		if c.inst.phase != dead && (c.inst.phase != warm || c.inst.inFlight > 0) {
			return false
		}
	}
	for _, c := range found {
		if c.inst.phase == warm {
			c.inst.group.retireLocked(c.inst, hearth.EndEvicted)
			c.inst.group.count.Evicted++
		}
	}
	return true
}

func (p *Pool) takeLocked(found []candidate, short int) (victims []*Instance) {
	for _, c := range found {
		part := min(short, c.inst.res.mb)
		c.inst.res.mb -= part
		p.reservedMB -= part
		short -= part
		victims = append(victims, c.inst)
	}
	return victims
}
