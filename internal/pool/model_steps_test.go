package pool

import (
	"cmp"
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
	mine := m.someSpare()
	was := m.free() // before the spare becomes an instance, or stays
	if mine != nil && !mine.taken {
		was = was.plus(mine.room)
	}
	found, evictable := m.evictable(g, mine)
	fits, soon := m.fits(g, was.plus(evictable))
	disk := m.disk(g.need.disk)
	res, victims, err := m.reserve(g, mine, disk)
	if errors.Is(err, ErrSpareTaken) {
		return // the caller starts again without it
	}
	g.pending--
	if err != nil {
		if !g.closed && fits {
			m.t.Fatalf("%s: refused with %v free and %v evictable: %v", g.version.Function, was, evictable, err)
		}
		if errors.Is(err, ErrNeverFits) != (!g.closed && g.memoryMB > m.total.memory) {
			m.t.Fatalf("%s: %v", g.version.Function, err)
		}
		m.refused(g, soon, err)
		return
	}
	if !fits || g.closed {
		m.t.Fatalf("%s: granted with %v free and %v evictable", g.version.Function, was, evictable)
	}
	if mine != nil {
		m.spares = slices.DeleteFunc(m.spares, func(s *modelSpare) bool { return s == mine })
	}
	m.evicted(victims, found, g.need.minus(was).lacking())
	m.ledger[res] = g.need
	i := &modelInstance{phase: starting, res: res, lastUsed: m.now, promised: !g.closed && g.promised() < g.want}
	i.Instance = g.Starting(m.now, fmt.Sprint(g.version.Function, g.made), i, res)
	g.all = append(g.all, i)
	m.leaveLine(g)
}

func (m *model) reserve(g *modelGroup, mine *modelSpare, disk Disk) (*Reservation, Victims, error) {
	if mine == nil {
		return m.p.Reserve(g.Group, disk)
	}
	res, victims, err := m.p.ReserveOver(g.Group, mine.Spare, disk)
	if mine.taken != errors.Is(err, ErrSpareTaken) {
		m.t.Fatalf("a spare that is taken=%v: %v", mine.taken, err)
	}
	return res, victims, err
}

// fits tells whether there is enough for g after those who wait before it, and if not,
// whether there would be if all that starts were idle.
func (m *model) fits(g *modelGroup, there room) (now, soon bool) {
	left := there
	for _, other := range m.line {
		if other == g {
			break
		}
		if rest := left.minus(other.need); rest.enough() {
			left = rest
		}
	}
	if g.need.memory > m.total.memory || g.need.disk > m.total.disk {
		return false, false
	}
	for _, other := range m.groups {
		for _, i := range other.all {
			if i.phase == starting {
				there = there.plus(m.ledger[i.res])
			}
		}
	}
	return left.minus(g.need).enough(), there.minus(g.need).enough()
}

// refused: those who wait stay if something lives, or if there is hope for room.
func (m *model) refused(g *modelGroup, soon bool, err error) {
	var short *Shortage
	waits := errors.As(err, &short) && len(g.queue) > 0 && !g.closed
	switch lives := g.in(warm)+g.in(starting) > 0; {
	case !waits:
		m.leaveLine(g)
	case !slices.Contains(m.line, g) && (soon || lives):
		m.line = append(m.line, g)
	}
	out := g.StartAborted(m.now, err)
	if slices.Contains(m.line, g) && len(out.Fail) > 0 {
		m.t.Fatalf("%s: waiters failed although there is hope", g.version.Function)
	}
	m.failed(g, out)
}

// free is what nobody has reserved; less than nothing if others have filled the disk.
func (m *model) free() room {
	free := m.total
	for _, r := range m.ledger {
		free = free.minus(r)
	}
	for _, s := range m.spares {
		free = free.minus(s.room)
	}
	return free
}

var errDiskFull = hearth.Errorf(hearth.ErrCapacity, "the disk is full")

func (m *model) disk(needMB int) Disk {
	return Disk{NeedMB: needMB, TotalMB: m.total.disk, Full: errDiskFull}
}

// leaver is an instance or a spare that may be evicted.
type leaver struct {
	i *modelInstance
	s *modelSpare
}

func (m *model) roomOf(l leaver) room {
	if l.s != nil {
		return l.s.room
	}
	return m.ledger[l.i.res]
}

// evictable are those who may be evicted for g, in the order in which they should go: the
// dying, then spares other than mine, then the idle ones of others by their last use, then
// by age; the promised ones last, and only for those who wait.
func (m *model) evictable(g *modelGroup, mine *modelSpare) (found []leaver, sum room) {
	left := slices.Clone(m.spares)
	left = slices.DeleteFunc(left, func(s *modelSpare) bool { return s == mine })
	for _, s := range left {
		if s.taken {
			found = append(found, leaver{s: s})
		}
	}
	var idle, promised []leaver
	for _, other := range m.groups {
		for _, i := range other.all {
			switch {
			case i.phase == dead:
				found = append(found, leaver{i: i})
			case i.phase != warm || i.leases > 0 || other == g:
			case !i.promised:
				idle = append(idle, leaver{i: i})
			case len(g.queue) > 0:
				promised = append(promised, leaver{i: i})
			}
		}
	}
	for _, list := range [][]leaver{found, idle, promised} {
		slices.SortStableFunc(list, func(a, b leaver) int {
			if a.i == nil || b.i == nil {
				return 0 // they come first already
			}
			return a.i.lastUsed.Compare(b.i.lastUsed)
		})
	}
	left = slices.DeleteFunc(left, func(s *modelSpare) bool { return s.taken })
	for len(left) > 0 { // the youngest of the kind that has most
		most, count := 0, [2]int{}
		for _, s := range left {
			count[s.kind]++
		}
		if count[1] == count[0] { // of equal ones the older
			most = slices.MinFunc([]int{0, 1}, func(a, b int) int { return cmp.Compare(youngest(left, a), youngest(left, b)) })
		} else if count[1] > count[0] {
			most = 1
		}
		at := youngest(left, most)
		found = append(found, leaver{s: left[at]})
		left = slices.Delete(left, at, at+1)
	}
	found = slices.Concat(found, idle, promised)
	found = slices.DeleteFunc(found, func(l leaver) bool { return m.roomOf(l).none() })
	for _, l := range found {
		sum = sum.plus(m.roomOf(l))
	}
	return found, sum
}

func youngest(spares []*modelSpare, kind int) (at int) {
	for i, s := range spares {
		if s.kind == kind {
			at = i
		}
	}
	return at
}

// evicted checks that just enough were evicted, the right ones, and moves their room.
func (m *model) evicted(v Victims, found []leaver, short room) {
	var want Victims
	for _, l := range found {
		part := m.roomOf(l).least(short.lacking())
		if part.none() {
			continue
		}
		short = short.minus(part)
		if l.s != nil {
			l.s.room, l.s.taken = l.s.room.minus(part), true
			want.Spares = append(want.Spares, l.s.Spare)
			continue
		}
		m.ledger[l.i.res] = m.ledger[l.i.res].minus(part)
		want.Instances = append(want.Instances, l.i.Instance)
		if l.i.phase == warm {
			m.retire(m.of(l.i), l.i)
		}
	}
	if !short.none() {
		m.t.Fatalf("%v are short", short)
	}
	if !slices.Equal(v.Instances, want.Instances) || !slices.Equal(v.Spares, want.Spares) {
		m.t.Fatalf("victims are %v, want %v", v, want)
	}
}

// someSpare is one that an instance is to become, or nil.
func (m *model) someSpare() *modelSpare {
	if len(m.spares) == 0 || rapid.Bool().Draw(m.t, "without a spare") {
		return nil
	}
	return rapid.SampledFrom(m.spares).Draw(m.t, "spare")
}

func (m *model) spare(*rapid.T) {
	s := &modelSpare{kind: rapid.IntRange(0, 1).Draw(m.t, "kind"), room: room{rapid.IntRange(1, 60).Draw(m.t, "mb"), 50}}
	var ok bool
	fits := m.free().minus(s.room).enough() && len(m.line) == 0
	if s.Spare, ok = m.p.Spare(s.room.memory, m.disk(50), s.kind, s); ok != fits {
		m.t.Fatalf("a spare of %v with %v free and %d waiting: %v", s.room, m.free(), len(m.line), ok)
	}
	if ok {
		m.spares = append(m.spares, s)
	}
}

func (m *model) resize(*rapid.T) {
	s := m.someSpare()
	if s == nil {
		m.t.Skip("no spare")
	}
	mb := rapid.IntRange(1, 60).Draw(m.t, "mb")
	if s.Resize(mb); !s.taken {
		s.room.memory = mb
	}
}

func (m *model) spareGoes(*rapid.T) {
	if len(m.spares) == 0 {
		m.t.Skip("no spare")
	}
	m.releaseSpare(rapid.IntRange(0, len(m.spares)-1).Draw(m.t, "spare"))
}

func (m *model) releaseSpare(at int) {
	m.spares[at].Release()
	m.spares[at].Release()
	m.spares = slices.Delete(m.spares, at, at+1)
}

// diskChanges: others have filled it, or made room; then a start may find less than it
// was promised.
func (m *model) diskChanges(*rapid.T) {
	m.total.disk = rapid.IntRange(300, 1500).Draw(m.t, "disk")
	g := m.group()
	short := room{}.minus(m.free())
	short.memory = 0
	found, evictable := m.evictable(g, nil)
	victims, err := m.p.Refit(g.Group, m.disk(g.need.disk))
	if enough := evictable.minus(short).enough(); enough != (err == nil) {
		m.t.Fatalf("refitted with %v short and %v evictable: %v", short, evictable, err)
	}
	if err == nil {
		m.evicted(victims, found, short.lacking())
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
	m.leaveLine(g)
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
