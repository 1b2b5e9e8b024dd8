package pool

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"hearth/internal/hearth"
)

type phase uint8

const (
	starting phase = iota
	warm           // idle or busy
	draining       // finishing its leases
	dead           // must be destroyed, or is being destroyed
)

// Instance is one instance as the pool sees it.
type Instance struct {
	// ID and Value are the caller's: Value leads from a lease to the live instance
	// without a lookup.
	ID    string
	Value any

	group   *Group
	number  uint64 // order of creation within the group
	res     *Reservation
	started time.Time
	epoch   int // the group's, when it started

	// Guarded by the group's lock.
	phase        phase
	reason       string
	inFlight     int
	seq          uint64 // invocations accepted so far
	ready        time.Time
	prolonged    time.Time // when it must be ready, while it starts; zero if nobody said
	lastUsed     time.Time
	promised     bool   // it counts for the group's promise
	in           *stack // of the group: avail, frozen, or nil
	above, below *Instance
	timer        timer // its keep-alive or its freezing, or earlier
}

// Failure is why an instance did not start.
type Failure struct {
	// Doc is the failure document that the init ended with; nil when the platform
	// itself failed.
	Doc []byte
	Log []byte // what the instance logged, its end
	Err error
}

// StartError refuses invocations of a version whose instances fail to start. It is
// never changed once handed out.
type StartError struct {
	Failure
	Attempts int       // failed in a row
	Next     time.Time // when the next start may be tried
}

func (e *StartError) Error() string {
	return fmt.Sprintf("the instance failed to start (%d in a row, next try at %s): %v",
		e.Attempts, e.Next.UTC().Format("15:04:05.000Z"), e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// Group is the instance's group.
func (inst *Instance) Group() *Group { return inst.group }

// Reservation is the memory that the instance holds.
func (inst *Instance) Reservation() *Reservation { return inst.res }

// Starting tells that the instance with this id is being made, after the pool asked
// for a start and Reserve granted res. It must end in Ready or StartFailed.
func (g *Group) Starting(now time.Time, id string, value any, res *Reservation) *Instance {
	inst := &Instance{ID: id, Value: value, group: g, res: res, started: now, lastUsed: now}
	inst.timer.inst = inst
	g.pool.mu.Lock()
	defer g.pool.mu.Unlock()
	res.inst, g.pool.unborn = inst, g.pool.unborn.minus(res.room)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.made++
	inst.number = g.made
	inst.epoch = g.epoch
	g.begun++
	g.promiseLocked(inst)
	g.shortUntil = time.Time{}
	g.leaveLineLocked()
	g.instances = append(g.instances, inst)
	return inst
}

// StartAborted tells that a start that the pool asked for will not take place, with
// the reason, as when Reserve refused. Queued waiters stay while another instance
// lives or starts, and while they may hope for room: they do if what starts now has enough
// of it, and from then on until their time is up. Otherwise they fail with err.
func (g *Group) StartAborted(now time.Time, err error) Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.starting--
	g.promise.short(now, err)
	var short *Shortage
	if errors.As(err, &short) {
		err = short.Err
	}
	if !g.hopeLocked(short) && g.deadLocked() {
		g.shortUntil = time.Time{}
		out := g.failLocked(err)
		out.Start = g.startLocked(now, startsAtOnce) // none; arranges the next look
		return out
	}
	g.shortUntil = now.Add(shortRetry)
	if g.queue.len > 0 || g.lackingLocked() > 0 {
		g.lookLocked(g.shortUntil)
	}
	return Outcome{}
}

// hopeLocked puts the group in the line for room if waiting makes sense, and tells whether
// it stands there.
func (g *Group) hopeLocked(s *Shortage) bool {
	if s == nil || g.closed || g.queue.len == 0 {
		g.leaveLineLocked()
		return false
	}
	if s.soon || g.short != nil || g.warm+g.begun > 0 {
		g.standLocked(s)
	}
	return g.short != nil
}

func (g *Group) failLocked(err error) Outcome {
	g.leaveLineLocked()
	g.count.Refused += uint64(g.queue.len)
	return Outcome{Fail: g.queue.all(), Err: err}
}

// Ready tells that the instance has initialised. Its slots go to the longest waiting
// invocations. If the group has been drained meanwhile it must be destroyed instead.
func (inst *Instance) Ready(now time.Time) (out Outcome) {
	g := inst.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if inst.phase != starting {
		return Outcome{}
	}
	g.starting--
	g.begun--
	g.failure = nil
	inst.ready, inst.lastUsed = now, now
	if g.closed {
		inst.phase, inst.reason = dead, hearth.EndDrained
		g.unpromiseLocked(inst)
		return Outcome{Destroy: true}
	}
	g.promise.kept()
	inst.phase = warm
	g.warm++
	g.avail.push(inst, g.pool.cfg.Order)
	for g.queue.len > 0 && inst.inFlight < g.slots {
		out.Grants = append(out.Grants, Grant{Waiter: g.queue.pop(), Lease: g.leaseLocked(inst, true)})
	}
	g.count.Cold += uint64(len(out.Grants))
	g.pool.due.lower(&inst.timer, now.Add(g.restLocked()))
	out.Start = g.startLocked(now, startsAtOnce)
	return out
}

// StartFailed tells that the instance did not initialise. The next start of this
// version has to wait: 1 s, then 2 s, … 60 s. Waiters stay queued while another
// instance lives or starts; otherwise they fail with a *StartError. Starts that were
// under way side by side count as one failure.
func (inst *Instance) StartFailed(now time.Time, failure Failure) Outcome {
	inst.group.mu.Lock()
	defer inst.group.mu.Unlock()
	if inst.phase != starting {
		return Outcome{}
	}
	return inst.group.startFailedLocked(now, inst, failure)
}

// Prolong gives a starting instance until a later time to become ready: those who wait
// are not refused before. It is false when nobody wants the instance any more.
func (inst *Instance) Prolong(until time.Time) bool {
	g := inst.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if inst.phase != starting || g.closed {
		return false
	}
	inst.prolonged = until
	return true
}

func (g *Group) startFailedLocked(now time.Time, inst *Instance, failure Failure) Outcome {
	g.starting--
	g.begun--
	inst.phase, inst.reason = dead, hearth.EndInitError
	g.unpromiseLocked(inst)
	if g.closed {
		return Outcome{Destroy: true}
	}
	g.rememberLocked(now, inst, failure)
	var out Outcome
	if g.deadLocked() {
		out = g.failLocked(g.failure)
	}
	out.Start = g.startLocked(now, startsAtOnce) // none; arranges the next look
	out.Destroy = true
	return out
}

func (g *Group) rememberLocked(now time.Time, inst *Instance, failure Failure) {
	e := &StartError{Failure: failure, Attempts: 1}
	last := g.failure
	switch {
	case last == nil:
	case inst.epoch == g.epoch:
		e.Attempts = last.Attempts + 1
	default: // begun beside one that has failed already
		e.Attempts, e.Next = last.Attempts, last.Next
		g.failure = e
		return
	}
	e.Next = now.Add(backoff(e.Attempts))
	g.epoch++
	g.failure = e
}

// Retire tells that the instance must take no more invocations, for instance after a
// time-out. Its leases may finish. Destroy is set if it has none; otherwise the last
// Release says so. The reason is one of hearth's End… words.
func (inst *Instance) Retire(now time.Time, reason string) (out Outcome) {
	g := inst.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if inst.phase != warm {
		return Outcome{}
	}
	out.Destroy = g.retireLocked(inst, reason)
	out.Start = g.startLocked(now, startsAtOnce)
	return out
}

// retireLocked takes a warm instance out of service and says whether it must be
// destroyed now.
func (g *Group) retireLocked(inst *Instance, reason string) (destroy bool) {
	g.avail.remove(inst)
	g.frozen.remove(inst)
	g.unpromiseLocked(inst)
	g.warm--
	g.pool.due.remove(&inst.timer)
	inst.reason = reason
	inst.phase = draining
	if inst.inFlight == 0 {
		inst.phase = dead
	}
	return inst.phase == dead
}

// Lost tells that the instance has gone by itself: crashed, out of memory, or thrown
// out for breaking the protocol. Its leases must still be released. Destroy is set
// unless somebody has already been told to.
func (inst *Instance) Lost(now time.Time, reason string) (out Outcome) {
	g := inst.group
	g.mu.Lock()
	defer g.mu.Unlock()
	switch inst.phase {
	case dead:
		return Outcome{}
	case starting:
		return g.startFailedLocked(now, inst, Failure{Err: errors.New("the instance ended during its init: " + reason)})
	case warm:
		if inst.promised {
			g.promise.lost(now, inst)
		}
		g.retireLocked(inst, reason)
	}
	inst.phase, inst.reason = dead, reason
	out.Destroy = true
	out.Start = g.startLocked(now, startsAtOnce)
	return out
}

// Reason is why the instance came to its end, one of hearth's End… words; "" while it
// lives.
func (inst *Instance) Reason() string {
	inst.group.mu.Lock()
	defer inst.group.mu.Unlock()
	return inst.reason
}

// forget drops an instance whose memory has been given back.
func (g *Group) forget(inst *Instance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if inst.phase != dead {
		panic("pool: memory of a live instance released")
	}
	g.instances = slices.DeleteFunc(g.instances, func(i *Instance) bool { return i == inst })
}

// Info is the pool's part of what people see of an instance.
func (inst *Instance) Info() hearth.InstanceInfo {
	g := inst.group
	g.mu.Lock()
	defer g.mu.Unlock()
	return hearth.InstanceInfo{
		ID:          inst.ID,
		Function:    g.version.Function,
		Version:     g.version.Number,
		Revision:    g.version.Revision,
		State:       inst.stateLocked(),
		Model:       g.version.Config.Model,
		Slots:       g.slots,
		InFlight:    inst.inFlight,
		Invocations: inst.seq,
		MemoryMB:    g.memoryMB,
		Started:     inst.started,
		LastUsed:    inst.lastUsed,
		Provisioned: inst.promised,
	}
}

func (inst *Instance) stateLocked() hearth.State {
	switch {
	case inst.phase == starting:
		return hearth.Starting
	case inst.phase == draining:
		return hearth.Draining
	case inst.phase == dead:
		return hearth.Dead
	case inst.inFlight > 0:
		return hearth.Busy
	case inst.in == &inst.group.frozen:
		return hearth.Frozen
	default:
		return hearth.Idle
	}
}
