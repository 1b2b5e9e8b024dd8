package pool

import "time"

// promise is a group's provisioned concurrency: so many instances are started before
// anybody asks for them, are not reaped, are evicted last, and are replaced when they
// die. It is guarded by the group's lock.
type promise struct {
	want int // instances
	have int // promised instances that start or are warm
	// attempts that were refused memory in a row; again not before next.
	refusals int
	next     time.Time
	err      error // of the last refusal; nil once one was granted
	// losses are provisioned instances that died young, one after the other.
	losses   int
	lastLoss time.Time
}

// Provision promises so many instances, instead of what was promised before, and tells
// how many must be started now. The first instances of a group are the provisioned ones,
// whoever asked for them. Those that are too many then become ordinary ones.
func (g *Group) Provision(now time.Time, instances int) (start int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.promise.want = instances
	for i := len(g.instances) - 1; i >= 0 && g.promise.have > instances; i-- {
		inst := g.instances[i]
		if inst.promised {
			g.unpromiseLocked(inst)
			if inst.phase == warm {
				g.pool.due.lower(&inst.timer, now.Add(g.restLocked()))
			}
		}
	}
	if g.promise.want == 0 {
		g.promise = promise{}
	}
	return g.startLocked(now, startsAtOnce)
}

// Refill starts what the promise lacks; call it when an instance of the group has gone.
func (g *Group) Refill(now time.Time) (start int) {
	g.pool.nudge(now) // there is room
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.startLocked(now, startsAtOnce)
}

// Provisioned is how a group stands with its promise.
type Provisioned struct {
	Want  int   // instances that were promised
	Have  int   // of those, the ones that are starting or there
	Ready int   // of those, the ones that can serve
	Err   error // why the last attempt to start one failed; nil if it did not
}

// Provisioned tells how the group stands with its promise.
func (g *Group) Provisioned() Provisioned {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := Provisioned{Want: g.promise.want, Have: g.promise.have, Err: g.promise.err}
	for _, inst := range g.instances {
		if inst.promised && inst.phase == warm {
			p.Ready++
		}
	}
	if g.failure != nil {
		p.Err = g.failure
	}
	return p
}

// Provisioned tells whether the instance counts for its group's promise.
func (inst *Instance) Provisioned() bool {
	inst.group.mu.Lock()
	defer inst.group.mu.Unlock()
	return inst.promised
}

// lackingLocked is how many starts the promise needs beside those that were asked for.
func (g *Group) lackingLocked() int {
	return g.promise.want - g.promise.have - (g.starting - g.begun)
}

// promiseNotBeforeLocked is the earliest time for a start that only the promise needs.
func (g *Group) promiseNotBeforeLocked() time.Time {
	if g.failure != nil && g.failure.Next.After(g.promise.next) {
		return g.failure.Next
	}
	return g.promise.next
}

// promiseLocked counts an instance that begins to start for the promise, if it lacks one.
func (g *Group) promiseLocked(inst *Instance) {
	if !g.closed && g.promise.have < g.promise.want {
		inst.promised = true
		g.promise.have++
		g.promise.refusals, g.promise.err = 0, nil
	}
}

func (g *Group) unpromiseLocked(inst *Instance) {
	if inst.promised {
		inst.promised = false
		g.promise.have--
	}
}

// short notes that there was no memory for one more instance.
func (p *promise) short(now time.Time, err error) {
	if p.want == 0 {
		return
	}
	p.refusals++
	p.err = err
	p.next = now.Add(min(backoff(p.refusals), refillRetry))
}

// kept notes that an instance is ready.
func (p *promise) kept() { p.err = nil }

// lost notes that a provisioned instance died by itself. The first is replaced at once;
// if those that replace it die young as well, the pauses get longer. Instances that
// were there when another died count as one loss with it.
func (p *promise) lost(now time.Time, inst *Instance) {
	if !inst.started.After(p.lastLoss) && !p.lastLoss.IsZero() {
		return
	}
	if now.Sub(inst.ready) >= steady {
		p.losses = 0
	}
	if p.losses > 0 {
		p.next = now.Add(backoff(p.losses))
	}
	p.losses++
	p.lastLoss = now
}
