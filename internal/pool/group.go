package pool

import (
	"errors"
	"sync"
	"time"

	"hearth/internal/hearth"
)

// ErrClosed: the version has been drained (updated or deleted). Resolve the name again.
var ErrClosed = errors.New("this version has been drained")

// Group is everything about the instances of one version.
type Group struct {
	pool    *Pool
	version *hearth.Version
	number  uint64 // order of creation
	// Copied from the version's configuration.
	slots     int
	memoryMB  int
	keepAlive time.Duration
	// freezeAfter is how long an instance is idle before it is frozen; 0 means never.
	freezeAfter time.Duration

	mu       sync.Mutex // guards all below, and the instances' and queued waiters' fields
	avail    stack      // warm instances with a free slot that are not frozen
	frozen   stack      // frozen ones: they serve only while avail is empty
	queue    waiters    // not empty only while avail and frozen are
	warm     int        // instances that take leases, free or full, frozen or not
	starting int        // starts asked for and not yet ended
	begun    int        // of those, the ones that have an instance
	inFlight int        // leases
	promise  promise    // of provisioned instances
	closed   bool
	closedAt time.Time
	// instances are all that hold memory, also draining and dead ones, by age.
	instances []*Instance
	made      uint64
	// failure is the last failed start, nil once one has succeeded.
	failure *StartError
	epoch   int // counts failed starts that were begun knowing all earlier ones
	// shortUntil is when room may be asked for again; short is set while the group stands
	// in the pool's line.
	shortUntil time.Time
	short      *Shortage
	count      Counters
	timer      timer // when to look at the queue
}

// Version is the version that the group's instances are bound to.
func (g *Group) Version() *hearth.Version { return g.version }

// MemoryMB is what one instance reserves, in MB.
func (g *Group) MemoryMB() int { return g.memoryMB }

// Slots is how many leases one instance may have.
func (g *Group) Slots() int { return g.slots }

// Lease is one slot of one instance, held by one invocation. It must be released
// exactly once, also when the instance has been lost or retired meanwhile.
type Lease struct {
	Instance *Instance // nil: no lease
	Seq      uint64    // number of the invocation within the instance, from 1
	Cold     bool      // it waited for this very instance to start
	Thaw     bool      // the instance is frozen, or about to be: have it thawed
}

// Grant is a lease for a waiter that had been queued.
type Grant struct {
	Waiter *Waiter // nil: no grant
	Lease  Lease
}

// Outcome is what the caller must now do, after a change to one instance.
type Outcome struct {
	Grants  []Grant   // answer these waiters: they have a slot
	Start   int       // start so many instances of the same group
	Destroy bool      // destroy the instance's sandbox, then release its reservation
	Fail    []*Waiter // answer these waiters with Err
	Err     error
}

// Acquire takes a slot on the version's hottest instance, on a frozen one if there is
// no other: then the lease says Thaw. Without a free slot it queues w; the answer then comes from another method, here or on another goroutine.
// If start is set the caller must also start an instance of this group, whoever serves
// w in the end (late binding, design.md 7).
//
// Errors: ErrClosed; a *StartError while starts keep failing and no instance lives; a
// *hearth.Error with ErrCapacity when the queue is full.
func (g *Group) Acquire(now time.Time, w *Waiter) (lease Lease, start bool, err error) {
	g.mu.Lock()
	if inst := g.avail.top; inst != nil {
		lease = g.leaseLocked(inst, false)
		g.mu.Unlock()
		return lease, false, nil
	}
	if inst := g.frozen.top; inst != nil {
		g.thawLocked(now, inst)
		lease = g.leaseLocked(inst, false)
		g.mu.Unlock()
		lease.Thaw = true
		return lease, false, nil
	}
	start, err = g.enqueueLocked(now, w)
	g.mu.Unlock()
	return Lease{}, start, err
}

func (g *Group) leaseLocked(inst *Instance, cold bool) Lease {
	inst.inFlight++
	inst.seq++
	g.inFlight++
	if inst.inFlight == g.slots {
		g.avail.remove(inst)
	}
	return Lease{Instance: inst, Seq: inst.seq, Cold: cold}
}

func (g *Group) enqueueLocked(now time.Time, w *Waiter) (start bool, err error) {
	switch {
	case g.closed:
		return false, ErrClosed
	case g.deadLocked() && g.failure != nil && now.Before(g.failure.Next):
		g.count.Refused++
		return false, g.failure
	case g.queue.len >= g.pool.cfg.QueueLength:
		g.count.Refused++
		return false, hearth.Errorf(hearth.ErrCapacity,
			"function %s is at capacity: %d invocations are running and %d are waiting, and no more may wait; try again later, or let more share an instance",
			g.version.Function, g.inFlight, g.queue.len)
	}
	w.since = now
	g.queue.push(g, w)
	g.count.Queued++
	if g.queue.len == 1 {
		g.leaveLineLocked() // those who stood there have gone
		g.lookLocked(now.Add(g.pool.cfg.QueueTimeout))
	}
	return g.startLocked(now, 1) == 1, nil
}

// deadLocked: nothing lives that could serve, now or soon.
func (g *Group) deadLocked() bool { return g.warm == 0 && g.starting == 0 }

// startLocked decides how many instances to start now, at most limit, and counts them
// as starting. If more are wanted but must wait, it arranges for a look at that time.
func (g *Group) startLocked(now time.Time, limit int) (n int) {
	for n < limit && !g.closed {
		at, wanted := g.nextStartLocked()
		if !wanted {
			break
		}
		if now.Before(at) {
			g.lookLocked(at)
			break
		}
		if g.failure != nil && g.starting > 0 {
			break // one attempt at a time until one succeeds
		}
		g.starting++
		g.count.Starts++
		n++
	}
	return n
}

// nextStartLocked tells whether another instance is wanted, by those who wait or by
// the promise, and the earliest time for it.
func (g *Group) nextStartLocked() (at time.Time, wanted bool) {
	if startMore(g.queue.len, g.starting*g.slots) {
		at, wanted = g.notBeforeLocked(), true
	}
	if g.lackingLocked() > 0 {
		if promised := g.promiseNotBeforeLocked(); !wanted || promised.Before(at) {
			at, wanted = promised, true
		}
	}
	return at, wanted
}

// notBeforeLocked is the earliest time for another start; the zero time is now.
func (g *Group) notBeforeLocked() (at time.Time) {
	at = g.shortUntil
	if g.failure != nil && g.failure.Next.After(at) {
		at = g.failure.Next
	}
	return at
}

// lookLocked makes Expire look at the queue at the given time or earlier.
func (g *Group) lookLocked(at time.Time) { g.pool.due.lower(&g.timer, at) }

// Release gives the slot back. If next.Waiter is set, the slot has passed to that
// waiter, and the caller must answer it. If destroy is set, this was the last lease
// of a retired instance and the caller must destroy it.
func (l Lease) Release(now time.Time) (next Grant, destroy bool) {
	inst := l.Instance
	g := inst.group
	g.mu.Lock()
	if inst.inFlight == 0 {
		g.mu.Unlock()
		panic("pool: lease released twice")
	}
	inst.inFlight--
	g.inFlight--
	inst.lastUsed = now
	idle := false
	switch inst.phase {
	case warm:
		if g.queue.len > 0 {
			next = Grant{Waiter: g.queue.pop(), Lease: g.leaseLocked(inst, false)}
		} else if inst.inFlight == g.slots-1 {
			g.avail.push(inst, g.pool.cfg.Order)
		}
		idle = inst.inFlight == 0
	case draining:
		if inst.inFlight == 0 {
			inst.phase = dead
			destroy = true
		}
	}
	g.mu.Unlock()
	if idle {
		g.pool.nudge(now)
	}
	return next, destroy
}

// Drain closes the group because its version has been updated or deleted, or the
// platform stops. Idle instances are dead at once and returned; busy ones finish
// their leases and are then destroyed as after Retire; starting ones are destroyed
// when they get ready. The queued waiters are returned, oldest first, for the caller
// to send to the version's successor or to refuse. Draining again returns nothing.
func (g *Group) Drain(now time.Time) (destroy []*Instance, moved []*Waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, nil
	}
	g.closed, g.closedAt = true, now
	for _, inst := range g.instances {
		if inst.phase == warm && g.retireLocked(inst, hearth.EndDrained) {
			destroy = append(destroy, inst)
		}
	}
	g.leaveLineLocked()
	g.lookLocked(now.Add(closedGrace))
	return destroy, g.queue.all()
}

// Reopen takes back Drain, for a version that is of use again, as after a restore. The
// instances that were drained stay so. It does nothing, and returns false, to a group
// that has not been drained or has been forgotten meanwhile; Pool.Group then has the
// one to use.
func (g *Group) Reopen() bool {
	g.pool.mu.Lock()
	defer g.pool.mu.Unlock()
	if g.pool.closed || (*g.pool.index.Load())[g.version.ID()] != g {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.closed
	g.closed = false
	return was
}

// stack lists a version's warm instances that have a free slot. Its top serves next.
// An instance enters when its first slot is freed, and stays where it is until it is
// full: the top fills up while those below run dry.
type stack struct {
	top, bottom *Instance
	len         int
}

func (s *stack) push(inst *Instance, order Order) {
	inst.in = s
	s.len++
	inst.above, inst.below = nil, nil
	switch {
	case s.top == nil:
		s.top, s.bottom = inst, inst
	case order == Queue:
		inst.above, s.bottom.below = s.bottom, inst
		s.bottom = inst
	default:
		inst.below, s.top.above = s.top, inst
		s.top = inst
	}
}

func (s *stack) remove(inst *Instance) {
	if inst.in != s {
		return
	}
	inst.in = nil
	s.len--
	if inst.above == nil {
		s.top = inst.below
	} else {
		inst.above.below = inst.below
	}
	if inst.below == nil {
		s.bottom = inst.above
	} else {
		inst.below.above = inst.above
	}
	inst.above, inst.below = nil, nil
}
