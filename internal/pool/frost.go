package pool

import (
	"time"

	"hearth/internal/hearth"
)

// What rest decides.
type decision uint8

const (
	stays decision = iota
	reaped
	frozen
)

// rest looks at an instance that may have been idle for long: it ends after its
// keep-alive, unless it is provisioned, and is frozen before that. Otherwise another
// look is arranged for the earliest time at which one of both can be.
func (g *Group) rest(now time.Time, inst *Instance) decision {
	g.mu.Lock()
	defer g.mu.Unlock()
	if inst.phase != warm {
		return stays
	}
	if inst.inFlight > 0 {
		g.pool.due.lower(&inst.timer, now.Add(max(g.restLocked(), busyLook)))
		return stays
	}
	reap, freeze := inst.lastUsed.Add(g.keepAlive), inst.lastUsed.Add(g.freezeAfter)
	if inst.promised { // once it counts for nothing, there is another look
		reap = now.Add(max(g.keepAlive, promiseLook))
	}
	if !reap.After(now) {
		g.count.Reaped++
		g.retireLocked(inst, hearth.EndReaped)
		return reaped
	}
	if g.freezeAfter == 0 || inst.in == &g.frozen {
		g.pool.due.lower(&inst.timer, reap)
		return stays
	}
	if freeze.After(now) {
		g.pool.due.lower(&inst.timer, earlier(reap, freeze))
		return stays
	}
	g.avail.remove(inst)
	g.frozen.push(inst, Stack)
	g.count.Frozen++
	g.pool.due.lower(&inst.timer, reap)
	return frozen
}

// restLocked is after how much idleness there may be something to do about an instance.
func (g *Group) restLocked() time.Duration {
	if g.freezeAfter > 0 {
		return min(g.keepAlive, g.freezeAfter)
	}
	return g.keepAlive
}

// thawLocked makes a frozen instance one of those that serve.
func (g *Group) thawLocked(now time.Time, inst *Instance) {
	g.frozen.remove(inst)
	g.avail.push(inst, Stack)
	g.count.Thawed++
	g.pool.due.lower(&inst.timer, now.Add(g.restLocked()))
}

// Frozen tells whether the instance is to stand still, now. Who carries that out asks
// again before every step, because an invocation may have come meanwhile.
func (inst *Instance) Frozen() bool {
	inst.group.mu.Lock()
	defer inst.group.mu.Unlock()
	return inst.in == &inst.group.frozen
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
