package pool

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

// start goes on with a start that the pool has asked for.
func (m *model) start(*rapid.T) {
	g := m.group()
	if g.pending == 0 {
		m.t.Skip("no start asked for")
	}
	m.startOne(g)
}

func (m *model) startOne(g *modelGroup) {
	free := m.total
	for _, mb := range m.ledger {
		free -= mb
	}
	evictable, evictableMB := m.evictable(g)
	res, victims, err := m.p.Reserve(g.Group)
	g.pending--
	if err != nil {
		if !g.closed && g.memoryMB <= m.total && free+evictableMB >= g.memoryMB {
			m.t.Fatalf("%s: refused with %d MB free and %d evictable: %v", g.version.Function, free, evictableMB, err)
		}
		if errors.Is(err, ErrNeverFits) != (!g.closed && g.memoryMB > m.total) {
			m.t.Fatalf("%s: %v", g.version.Function, err)
		}
		m.failed(g, g.StartAborted(m.now, err))
		return
	}
	m.evicted(victims, evictable, g.memoryMB-free)
	m.ledger[res] = g.memoryMB
	i := &modelInstance{phase: starting, res: res, lastUsed: m.now, promised: !g.closed && g.promised() < g.want}
	i.Instance = g.Starting(m.now, fmt.Sprint(g.version.Function, g.made), i, res)
	g.all = append(g.all, i)
}

// evictable are the instances that may be evicted for g, in the order in which they
// should go: the dying, then the idle ones of others by their last use, then by age; the promised
// ones last, and only for those who wait.
func (m *model) evictable(g *modelGroup) (found []*modelInstance, mb int) {
	for _, other := range m.groups {
		for _, i := range other.all {
			idle := other != g && i.phase == warm && i.leases == 0 && (len(g.queue) > 0 || !i.promised)
			if m.ledger[i.res] > 0 && (i.phase == dead || idle) {
				found = append(found, i)
				mb += m.ledger[i.res]
			}
		}
	}
	slices.SortStableFunc(found, func(a, b *modelInstance) int {
		if dyingA, dyingB := a.phase == dead, b.phase == dead; dyingA != dyingB {
			if dyingA {
				return -1
			}
			return 1
		}
		if a.promised != b.promised {
			if b.promised {
				return -1
			}
			return 1
		}
		return a.lastUsed.Compare(b.lastUsed)
	})
	return found, mb
}

// evicted checks that just enough were evicted, the right ones, and moves their memory.
func (m *model) evicted(victims []*Instance, evictable []*modelInstance, short int) {
	for n, v := range victims {
		if short <= 0 {
			m.t.Fatalf("%d victims too many", len(victims)-n)
		}
		i := evictable[n]
		if i.Instance != v {
			m.t.Fatalf("victim %d is %s, want %s", n, v.ID, i.ID)
		}
		taken := min(short, m.ledger[i.res])
		m.ledger[i.res] -= taken
		short -= taken
		if i.phase == warm {
			m.retire(m.of(i), i)
		}
	}
	if short > 0 {
		m.t.Fatalf("%d MB short after %d victims", short, len(victims))
	}
}

func (m *model) of(i *modelInstance) *modelGroup {
	for _, g := range m.groups {
		if slices.Contains(g.all, i) {
			return g
		}
	}
	panic("an instance of no group")
}

func (m *model) ready(*rapid.T) {
	g, i := m.some("instance", func(i *modelInstance) bool { return i.phase == starting })
	m.readyOne(g, i)
}

func (m *model) readyOne(g *modelGroup, i *modelInstance) {
	out := i.Ready(m.now)
	i.lastUsed = m.now
	if g.closed {
		i.phase, i.promised = dead, false
		if !out.Destroy || len(out.Grants) > 0 {
			m.t.Fatalf("ready in a drained group: %+v", out)
		}
		return
	}
	i.phase = warm
	g.avail = append(g.avail, i)
	if want := min(len(g.queue), g.slots); len(out.Grants) != want || out.Destroy {
		m.t.Fatalf("%d grants, want %d: %+v", len(out.Grants), want, out)
	}
	for _, grant := range out.Grants {
		m.granted(g, grant, true)
	}
	m.starts(g, out.Start)
}

func (m *model) startFails(*rapid.T) {
	g, i := m.some("instance", func(i *modelInstance) bool { return i.phase == starting })
	out := i.StartFailed(m.now, Failure{Err: errors.New("init failed")})
	i.phase, i.promised = dead, false
	if !out.Destroy || len(out.Grants) > 0 {
		m.t.Fatalf("after a failed start: %+v", out)
	}
	m.failed(g, out)
	m.starts(g, out.Start)
}

func (m *model) retires(*rapid.T) {
	g, i := m.some("instance", func(i *modelInstance) bool { return i.phase == warm })
	out := i.Retire(m.now, hearth.EndTimedOut)
	m.retire(g, i)
	if out.Destroy != (i.phase == dead) {
		m.t.Fatalf("retired with %d leases: %+v", i.leases, out)
	}
	m.starts(g, out.Start)
}

func (m *model) lost(*rapid.T) {
	g, i := m.some("instance", func(i *modelInstance) bool { return i.phase == warm || i.phase == draining })
	out := i.Lost(m.now, hearth.EndCrashed)
	if m.retire(g, i); !out.Destroy {
		m.t.Fatal("a lost instance is not to be destroyed")
	}
	i.phase = dead
	m.starts(g, out.Start)
}

func (m *model) destroy(*rapid.T) {
	g, i := m.some("instance", func(i *modelInstance) bool { return i.phase == dead })
	m.destroyOne(g, i)
}

func (m *model) destroyOne(g *modelGroup, i *modelInstance) {
	i.res.Release()
	i.res.Release()
	delete(m.ledger, i.res)
	g.all = slices.DeleteFunc(g.all, func(a *modelInstance) bool { return a == i })
	m.starts(g, g.Refill(m.now))
}

// provision changes the promise: the oldest instances keep it.
func (m *model) provision(*rapid.T) {
	g := m.group()
	g.want = rapid.IntRange(0, 3).Draw(m.t, "provisioned")
	n := g.Provision(m.now, g.want)
	for i := len(g.all) - 1; i >= 0 && g.promised() > g.want; i-- {
		g.all[i].promised = false
	}
	m.starts(g, n)
}

func (m *model) drain(*rapid.T) {
	if rapid.IntRange(0, 9).Draw(m.t, "really") > 0 {
		m.t.Skip("not yet")
	}
	m.drainOne(m.group())
}

func (m *model) drainOne(g *modelGroup) {
	destroy, moved := g.Drain(m.now)
	if g.closed && len(destroy)+len(moved) > 0 {
		m.t.Fatal("drained twice")
	}
	g.closed = true
	for _, i := range g.all {
		if i.phase != warm {
			continue
		}
		m.retire(g, i)
		if slices.Contains(destroy, i.Instance) != (i.phase == dead) {
			m.t.Fatalf("drained with %d leases: %v", i.leases, destroy)
		}
	}
	for n, w := range moved {
		if w != &g.queue[0].Waiter {
			m.t.Fatalf("moved waiter %d is out of order", n)
		}
		m.answered(g, w)
	}
	if len(g.queue) > 0 {
		m.t.Fatal("drained, and somebody still waits")
	}
}

// freezes checks that exactly those are frozen that have been idle long enough.
func (m *model) freezes(g *modelGroup, frozen []*Instance) {
	for _, f := range frozen {
		at := slices.IndexFunc(g.avail, func(i *modelInstance) bool { return i.Instance == f })
		if f.group != g.Group {
			continue
		}
		if at < 0 {
			m.t.Fatalf("%s is frozen although it does not serve", f.ID)
		}
		i := g.avail[at]
		if i.leases > 0 || g.version.Config.NoFreeze || m.now.Before(i.lastUsed.Add(15*time.Second)) {
			m.t.Fatalf("%s is frozen too early: %+v", i.ID, i)
		}
		g.avail, g.frozen = slices.Delete(g.avail, at, at+1), append(g.frozen, i)
	}
	for _, i := range g.avail {
		if !g.version.Config.NoFreeze && i.leases == 0 && !m.now.Before(i.lastUsed.Add(15*time.Second)) {
			m.t.Fatalf("%s is not frozen although idle since %v", i.ID, i.lastUsed)
		}
	}
}

func (m *model) timePasses(*rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 40_000).Draw(m.t, "ms")) * time.Millisecond)
	exp := m.p.Expire(m.now)
	for _, g := range m.groups {
		for _, i := range g.all {
			due := i.phase == warm && i.leases == 0 && !i.promised && !m.now.Before(i.lastUsed.Add(time.Minute))
			if due != slices.Contains(exp.Reaped, i.Instance) {
				m.t.Fatalf("%s: reaped %v, want %v", i.ID, !due, due)
			}
			if due {
				m.retire(g, i)
			}
		}
		m.freezes(g, exp.Frozen)
		for len(g.queue) > 0 && !m.now.Before(g.queue[0].since.Add(20*time.Second)) {
			if len(exp.Refused) == 0 || !slices.ContainsFunc(exp.Refused, func(r Refusal) bool { return r.Waiter == &g.queue[0].Waiter }) {
				m.t.Fatalf("%s: waiting since %v and not refused", g.version.Function, g.queue[0].since)
			}
			m.answered(g, &g.queue[0].Waiter)
		}
	}
	for _, r := range exp.Refused {
		if w := r.Waiter.Value.(*modelWaiter); w.answers != 1 || m.now.Before(w.since.Add(20*time.Second)) {
			m.t.Fatalf("refused too early: %+v", w)
		}
	}
	for _, start := range exp.Start {
		at := slices.IndexFunc(m.groups, func(g *modelGroup) bool { return g.Group == start })
		m.starts(m.groups[at], 1)
	}
	if next, ok := m.p.NextExpiry(); ok && !next.After(m.now) {
		m.t.Fatalf("next look at %v, and it is %v", next, m.now)
	}
}
