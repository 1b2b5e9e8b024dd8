package pool

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

// The model is the pool written naively: slices, no locks, no heap, everything looked
// up by walking. It plays the caller too, and checks every decision.
type model struct {
	t      *rapid.T
	p      *Pool
	now    time.Time
	groups []*modelGroup
	ledger map[*Reservation]int
	total  int
}

type modelGroup struct {
	*Group
	queue   []*modelWaiter
	avail   []*modelInstance // the last one serves next
	all     []*modelInstance // that hold memory
	pending int              // starts that were asked for and have not been begun
	closed  bool
	leases  []modelLease
}

type modelInstance struct {
	*Instance
	phase    phase
	leases   int
	seq      uint64
	lastUsed time.Time
	res      *Reservation
}

type modelLease struct {
	Lease
	of *modelInstance
}

type modelWaiter struct {
	Waiter
	since   time.Time
	answers int
}

func newModel(t *rapid.T) *model {
	m := &model{t: t, now: epoch, ledger: map[*Reservation]int{}, total: 1000}
	m.p = New(Config{MemoryMB: m.total, QueueLength: 5, QueueTimeout: 20 * time.Second})
	for _, v := range []*hearth.Version{
		version("one", hearth.Exclusive, 1, 200),
		version("three", hearth.Concurrent, 3, 300),
		version("big", hearth.Concurrent, 2, 700),
		version("huge", hearth.Exclusive, 1, 1001),
	} {
		v.Config.KeepAlive = time.Minute
		m.groups = append(m.groups, &modelGroup{Group: m.p.Group(v)})
	}
	return m
}

func (m *model) group() *modelGroup { return rapid.SampledFrom(m.groups).Draw(m.t, "group") }

// some picks one of the instances that fit, or skips the step.
func (m *model) some(what string, fits func(*modelInstance) bool) (*modelGroup, *modelInstance) {
	type pair struct {
		g *modelGroup
		i *modelInstance
	}
	var found []pair
	for _, g := range m.groups {
		for _, i := range g.all {
			if fits(i) {
				found = append(found, pair{g, i})
			}
		}
	}
	if len(found) == 0 {
		m.t.Skip("no such instance")
	}
	p := found[rapid.IntRange(0, len(found)-1).Draw(m.t, what)]
	return p.g, p.i
}

func (m *model) answered(g *modelGroup, w *Waiter) *modelWaiter {
	mw := w.Value.(*modelWaiter)
	if mw.answers++; mw.answers > 1 {
		m.t.Fatalf("a waiter of %s was answered twice", g.version.Function)
	}
	at := slices.Index(g.queue, mw)
	if at < 0 {
		m.t.Fatalf("a waiter of %s that was not queued was answered", g.version.Function)
	}
	g.queue = slices.Delete(g.queue, at, at+1)
	return mw
}

// leased checks that the pool chose the instance that the model would have chosen.
func (m *model) leased(g *modelGroup, l Lease, cold bool) {
	if len(g.avail) == 0 {
		m.t.Fatalf("%s: a lease although no slot is free", g.version.Function)
	}
	i := g.avail[len(g.avail)-1]
	if i.Instance != l.Instance {
		m.t.Fatalf("%s: lease on %s, want the hottest, %s", g.version.Function, l.Instance.ID, i.ID)
	}
	i.leases++
	i.seq++
	if i.phase != warm || i.leases > g.slots || l.Seq != i.seq || l.Cold != cold {
		m.t.Fatalf("%s: bad lease %+v of %+v", g.version.Function, l, i)
	}
	if i.leases == g.slots {
		g.avail = g.avail[:len(g.avail)-1]
	}
	g.leases = append(g.leases, modelLease{l, i})
}

// granted checks that a slot went to the one who has waited longest.
func (m *model) granted(g *modelGroup, grant Grant, cold bool) {
	if len(g.queue) == 0 || grant.Waiter != &g.queue[0].Waiter {
		m.t.Fatalf("%s: granted to one who was not first", g.version.Function)
	}
	m.answered(g, grant.Waiter)
	m.leased(g, grant.Lease, cold)
}

func (m *model) starts(g *modelGroup, n int) {
	for range n {
		if starting := g.pending + g.in(starting); starting*g.slots >= len(g.queue) {
			m.t.Fatalf("%s: a start for %d waiting although %d with %d slots each are starting", g.version.Function, len(g.queue), starting, g.slots)
		}
		g.pending++
	}
}

func (g *modelGroup) in(p phase) (n int) {
	for _, i := range g.all {
		if i.phase == p {
			n++
		}
	}
	return n
}

func (m *model) failed(g *modelGroup, out Outcome) {
	if len(out.Fail) > 0 {
		if g.in(warm)+g.in(starting)+g.pending > 0 {
			m.t.Fatalf("%s: waiters failed although something lives", g.version.Function)
		}
		if out.Err == nil {
			m.t.Fatal("waiters failed without an error")
		}
	}
	for _, w := range out.Fail {
		m.answered(g, w)
	}
	if g.in(warm)+g.in(starting)+g.pending == 0 && len(g.queue) > 0 {
		m.t.Fatalf("%s: %d still wait although nothing lives", g.version.Function, len(g.queue))
	}
}

func (m *model) retire(g *modelGroup, i *modelInstance) {
	g.avail = slices.DeleteFunc(g.avail, func(a *modelInstance) bool { return a == i })
	i.phase = draining
	if i.leases == 0 {
		i.phase = dead
	}
}

func (m *model) acquire(*rapid.T) {
	g := m.group()
	w := &modelWaiter{since: m.now}
	w.Value = w
	free := len(g.avail) > 0
	lease, start, err := g.Acquire(m.now, &w.Waiter)
	switch {
	case err != nil:
		var failed *StartError
		full := len(g.queue) == 5
		backing := errors.As(err, &failed) && g.in(warm)+g.in(starting)+g.pending == 0 && m.now.Before(failed.Next)
		if free || !(full && hearth.CodeOf(err) == hearth.ErrCapacity || g.closed && errors.Is(err, ErrClosed) || backing) {
			m.t.Fatalf("%s: refused: %v", g.version.Function, err)
		}
	case lease.Instance != nil:
		m.leased(g, lease, false)
	case free:
		m.t.Fatalf("%s: queued although a slot is free", g.version.Function)
	default:
		g.queue = append(g.queue, w)
		if start {
			m.starts(g, 1)
		}
	}
}

func (m *model) release(*rapid.T) {
	g := m.group()
	if len(g.leases) == 0 {
		m.t.Skip("no lease")
	}
	m.releaseOne(g, rapid.IntRange(0, len(g.leases)-1).Draw(m.t, "lease"))
}

func (m *model) releaseOne(g *modelGroup, n int) {
	l := g.leases[n]
	g.leases = slices.Delete(g.leases, n, n+1)
	i := l.of
	next, destroy := l.Release(m.now)
	i.leases--
	i.lastUsed = m.now
	if i.phase == warm && i.leases == g.slots-1 {
		g.avail = append(g.avail, i)
	}
	wantDestroy := i.phase == draining && i.leases == 0
	if wantDestroy {
		i.phase = dead
	}
	if destroy != wantDestroy {
		m.t.Fatalf("Release says destroy=%v, want %v", destroy, wantDestroy)
	}
	if wantGrant := i.phase == warm && len(g.queue) > 0; wantGrant != (next.Waiter != nil) {
		m.t.Fatalf("Release grants %v, want %v", next.Waiter != nil, wantGrant)
	}
	if next.Waiter != nil {
		m.granted(g, next, false)
	}
}

func (m *model) abandon(*rapid.T) {
	g := m.group()
	if len(g.queue) == 0 {
		m.t.Skip("nobody waits")
	}
	w := rapid.SampledFrom(g.queue).Draw(m.t, "waiter")
	if !w.Abandon() {
		m.t.Fatal("a queued waiter could not abandon")
	}
	m.answered(g, &w.Waiter)
	if w.Abandon() {
		m.t.Fatal("abandoned twice")
	}
}

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
	i := &modelInstance{phase: starting, res: res, lastUsed: m.now}
	i.Instance = g.Starting(m.now, fmt.Sprint(g.version.Function, g.made), i, res)
	g.all = append(g.all, i)
}

// evictable are the instances that may be evicted for g, in the order in which they
// should go: the dying, then the idle ones of others by their last use, then by age.
func (m *model) evictable(g *modelGroup) (found []*modelInstance, mb int) {
	for _, other := range m.groups {
		for _, i := range other.all {
			idle := other != g && i.phase == warm && i.leases == 0
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
		i.phase = dead
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
	i.phase = dead
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

func (m *model) timePasses(*rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 40_000).Draw(m.t, "ms")) * time.Millisecond)
	exp := m.p.Expire(m.now)
	for _, g := range m.groups {
		for _, i := range g.all {
			due := i.phase == warm && i.leases == 0 && !m.now.Before(i.lastUsed.Add(time.Minute))
			if due != slices.Contains(exp.Reaped, i.Instance) {
				m.t.Fatalf("%s: reaped %v, want %v", i.ID, !due, due)
			}
			if due {
				m.retire(g, i)
			}
		}
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

// check holds the pool to its promises after every step.
func (m *model) check(*rapid.T) {
	reserved := 0
	for _, mb := range m.ledger {
		reserved += mb
	}
	stats := m.p.Stats()
	if stats.ReservedMB != reserved || reserved > m.total {
		m.t.Fatalf("%d MB are reserved, want %d of at most %d", stats.ReservedMB, reserved, m.total)
	}
	var instances, leases, waiting int
	for _, g := range m.groups {
		waiting += len(g.queue)
		leases += len(g.leases)
		instances += len(g.all)
		for _, i := range g.all {
			state := map[phase]hearth.State{starting: hearth.Starting, warm: hearth.Idle, draining: hearth.Draining, dead: hearth.Dead}[i.phase]
			if i.phase == warm && i.leases > 0 {
				state = hearth.Busy
			}
			if info := i.Info(); info.State != state || info.InFlight != i.leases || info.Invocations != i.seq {
				m.t.Fatalf("%s is %+v, want %s with %d leases", i.ID, info, state, i.leases)
			}
		}
		if len(g.queue) == 0 {
			continue
		}
		if len(g.avail) > 0 {
			m.t.Fatalf("%s: somebody waits although a slot is free", g.version.Function)
		}
		// Nobody waits for ever: the next look comes no later than the head's time is up.
		next, ok := m.p.NextExpiry()
		if limit := g.queue[0].since.Add(20 * time.Second); !ok || next.After(limit) {
			m.t.Fatalf("%s: nobody looks at the queue before %v (%v)", g.version.Function, next, limit)
		}
	}
	if stats.Instances != instances || stats.InFlight != leases || stats.Waiting != waiting {
		m.t.Fatalf("stats are %+v, want %d instances, %d leases, %d waiting", stats, instances, leases, waiting)
	}
}

// finish brings everything to its end: nothing may be left.
func (m *model) finish() {
	for _, g := range m.groups {
		m.drainOne(g)
		for g.pending > 0 {
			m.startOne(g)
		}
		for len(g.leases) > 0 {
			m.releaseOne(g, 0)
		}
		for len(g.all) > 0 {
			if i := g.all[0]; i.phase == starting {
				m.readyOne(g, i)
			}
			m.destroyOne(g, g.all[0])
		}
	}
	m.now = m.now.Add(2 * closedGrace)
	m.p.Expire(m.now)
	m.p.Expire(m.now.Add(2 * closedGrace))
	if stats := m.p.Stats(); stats.ReservedMB != 0 || stats.Instances+stats.InFlight+stats.Waiting+stats.Starting != 0 {
		m.t.Fatalf("left over: %+v", stats)
	}
	if groups := m.p.Groups(); len(groups) > 0 {
		m.t.Fatalf("%d groups are left", len(groups))
	}
}

func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"acquire": m.acquire, "acquire2": m.acquire, "acquire3": m.acquire,
			"release": m.release, "release2": m.release,
			"abandon": m.abandon,
			"start":   m.start, "start2": m.start,
			"ready": m.ready, "ready2": m.ready,
			"startFails": m.startFails,
			"retires":    m.retires,
			"lost":       m.lost,
			"destroy":    m.destroy,
			"drain":      m.drain,
			"timePasses": m.timePasses,
			"":           m.check,
		})
		m.finish()
	})
}
