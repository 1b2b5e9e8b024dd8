package pool

import (
	"errors"
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
	ledger map[*Reservation]room
	spares []*modelSpare // by age
	line   []*modelGroup // that wait for room, in the order in which they were refused
	total  room
}

type modelSpare struct {
	*Spare
	kind  int
	room  room
	taken bool
}

type modelGroup struct {
	*Group
	need    room
	queue   []*modelWaiter
	avail   []*modelInstance // the last one serves next
	frozen  []*modelInstance // the last one is thawed next, once avail is empty
	want    int              // instances that were promised
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
	promised bool
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
	m := &model{t: t, now: epoch, ledger: map[*Reservation]room{}, total: room{1000, 1000}}
	m.p = New(Config{MemoryMB: m.total.memory, QueueLength: 5, QueueTimeout: 20 * time.Second, FreezeAfter: 15 * time.Second})
	for _, v := range []*hearth.Version{
		version("one", hearth.Exclusive, 1, 200),
		version("three", hearth.Concurrent, 3, 300),
		version("big", hearth.Concurrent, 2, 700),
		version("huge", hearth.Exclusive, 1, 1001),
	} {
		v.Config.KeepAlive = time.Minute
		v.Config.NoFreeze = v.Function == "big"
		disk := map[string]int{"one": 400, "three": 200, "big": 100, "huge": 100}[v.Function]
		m.groups = append(m.groups, &modelGroup{Group: m.p.Group(v), need: room{v.Config.MemoryMB, disk}})
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
	if g.queue = slices.Delete(g.queue, at, at+1); len(g.queue) == 0 {
		m.leaveLine(g)
	}
	return mw
}

// leased checks that the pool chose the instance that the model would have chosen.
func (m *model) leased(g *modelGroup, l Lease, cold bool) {
	thaw := len(g.avail) == 0 && len(g.frozen) > 0
	if thaw {
		last := len(g.frozen) - 1
		g.avail, g.frozen = append(g.avail, g.frozen[last]), g.frozen[:last]
	}
	if l.Thaw != thaw {
		m.t.Fatalf("%s: lease says thaw=%v, want %v", g.version.Function, l.Thaw, thaw)
	}
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
		if starting := g.pending + g.in(starting); starting*g.slots >= len(g.queue) && g.lacking() <= 0 {
			m.t.Fatalf("%s: a start for %d waiting although %d with %d slots each are starting", g.version.Function, len(g.queue), starting, g.slots)
		}
		g.pending++
	}
}

// lacking is how many starts the promise needs beside those that were asked for.
func (g *modelGroup) lacking() int { return g.want - g.promised() - g.pending }

func (g *modelGroup) promised() (n int) {
	for _, i := range g.all {
		if i.promised {
			n++
		}
	}
	return n
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
	if g.in(warm)+g.in(starting)+g.pending == 0 && len(g.queue) > 0 && !slices.Contains(m.line, g) {
		m.t.Fatalf("%s: %d still wait although nothing lives", g.version.Function, len(g.queue))
	}
}

func (m *model) leaveLine(g *modelGroup) {
	m.line = slices.DeleteFunc(m.line, func(other *modelGroup) bool { return other == g })
}

func (m *model) retire(g *modelGroup, i *modelInstance) {
	g.avail = slices.DeleteFunc(g.avail, func(a *modelInstance) bool { return a == i })
	g.frozen = slices.DeleteFunc(g.frozen, func(a *modelInstance) bool { return a == i })
	i.phase, i.promised = draining, false
	if i.leases == 0 {
		i.phase = dead
	}
}

func (m *model) acquire(*rapid.T) {
	g := m.group()
	w := &modelWaiter{since: m.now}
	w.Value = w
	free := len(g.avail)+len(g.frozen) > 0
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

// check holds the pool to its promises after every step.
func (m *model) check(*rapid.T) {
	var reserved, spare room
	for _, r := range m.ledger {
		reserved = reserved.plus(r)
	}
	for _, s := range m.spares {
		spare = spare.plus(s.room)
	}
	stats := m.p.Stats()
	if stats.ReservedMB != reserved.memory || stats.DiskMB != reserved.disk || reserved.memory > m.total.memory {
		m.t.Fatalf("%d MB and %d MB of disk are reserved, want %v of at most %v", stats.ReservedMB, stats.DiskMB, reserved, m.total)
	}
	if free := m.p.FreeMB(); free != m.total.memory-reserved.memory-spare.memory {
		m.t.Fatalf("%d MB are free, want %d", free, m.total.memory-reserved.memory-spare.memory)
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
			if slices.Contains(g.frozen, i) {
				state = hearth.Frozen
			}
			if i.Frozen() != (state == hearth.Frozen) || i.Provisioned() != i.promised {
				m.t.Fatalf("%s is %s and promised=%v, want %s and %v", i.ID, i.Info().State, i.Provisioned(), state, i.promised)
			}
			if info := i.Info(); info.State != state || info.InFlight != i.leases || info.Invocations != i.seq {
				m.t.Fatalf("%s is %+v, want %s with %d leases", i.ID, info, state, i.leases)
			}
		}
		m.checkPromise(g)
		if len(g.queue) == 0 {
			continue
		}
		if len(g.avail)+len(g.frozen) > 0 {
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

// checkPromise: whatever a promise lacks is on its way, or will be looked at in time.
func (m *model) checkPromise(g *modelGroup) {
	if p := g.Provisioned(); p.Want != g.want || p.Have != g.promised() || g.promised() > g.want {
		m.t.Fatalf("%s: the promise is %+v, want %d of %d", g.version.Function, p, g.promised(), g.want)
	}
	if g.lacking() <= 0 || g.closed || g.pending+g.in(starting) > 0 || g.in(dead) > 0 {
		return // Refill comes when those have gone
	}
	if next, ok := m.p.NextExpiry(); !ok || next.After(m.now.Add(maxBackoff)) {
		m.t.Fatalf("%s: nobody fills the promise", g.version.Function)
	}
}

// finish brings everything to its end: nothing may be left.
func (m *model) finish() {
	for len(m.spares) > 0 {
		m.releaseSpare(0)
	}
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
	if stats := m.p.Stats(); stats.ReservedMB+stats.DiskMB != 0 || m.p.spare != (room{}) || m.p.unborn != (room{}) || stats.Instances+stats.InFlight+stats.Waiting+stats.Starting != 0 {
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
			"provision":  m.provision,
			"spare":      m.spare,
			"resize":     m.resize,
			"spareGoes":  m.spareGoes,
			"disk":       m.diskChanges,
			"timePasses": m.timePasses,
			"":           m.check,
		})
		m.finish()
	})
}
