package pool

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/hearth"
)

// Config of a Pool. Zero fields take their defaults, except MemoryMB.
type Config struct {
	// MemoryMB is how much memory instances may reserve altogether.
	MemoryMB int
	// QueueLength is how many invocations of one version may wait; default 1,000.
	QueueLength int
	// QueueTimeout is how long an invocation may wait; default 30 s. It should be
	// longer than an init may take.
	QueueTimeout time.Duration
	// FreezeAfter is how long an instance is idle before it is frozen; 0 means never.
	FreezeAfter time.Duration
	// Order is Stack unless somebody wants to see why.
	Order Order
}

// Defaults of Config.
const (
	DefaultQueueLength  = 1000
	DefaultQueueTimeout = 30 * time.Second
)

// Pool holds the state of all instances of one worker.
type Pool struct {
	cfg   Config
	due   expiries
	line  line
	index atomic.Pointer[map[string]*Group] // by version ID; copied on write, under mu

	mu       sync.Mutex // taken before any group's lock
	made     uint64     // groups so far
	closed   bool
	reserved room
	unborn   room     // of that, what no instance holds yet
	spare    room     // charged for sandboxes that wait, besides
	spares   []*Spare // by age
	past     Counters // of groups that are gone
}

// New makes an empty pool.
func New(cfg Config) *Pool {
	if cfg.QueueLength == 0 {
		cfg.QueueLength = DefaultQueueLength
	}
	if cfg.QueueTimeout == 0 {
		cfg.QueueTimeout = DefaultQueueTimeout
	}
	p := &Pool{cfg: cfg}
	p.index.Store(&map[string]*Group{})
	return p
}

// Group returns the group of a version, a new one if need be. Versions with the same
// ID share it. A drained version's group is remembered for a minute and refuses. It
// takes no lock and allocates nothing unless the group is new.
func (p *Pool) Group(v *hearth.Version) *Group {
	k := v.ID()
	if g := (*p.index.Load())[k]; g != nil {
		return g
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := *p.index.Load()
	if g := old[k]; g != nil {
		return g
	}
	p.made++
	g := &Group{
		pool:      p,
		version:   v,
		number:    p.made,
		slots:     max(v.Config.Slots(), 1),
		memoryMB:  max(v.Config.MemoryMB, 1),
		keepAlive: v.Config.KeepAlive,
		closed:    p.closed,
	}
	if !v.Config.NoFreeze {
		g.freezeAfter = p.cfg.FreezeAfter
	}
	if g.keepAlive == 0 {
		g.keepAlive = hearth.DefaultKeepAlive
	}
	g.timer.group = g
	index := maps.Clone(old)
	index[k] = g
	p.index.Store(&index)
	return g
}

// remove forgets a group that has been drained.
func (p *Pool) remove(g *Group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	index := maps.Clone(*p.index.Load())
	k := g.version.ID()
	if index[k] != g {
		return
	}
	delete(index, k)
	p.index.Store(&index)
	g.mu.Lock()
	p.past.add(&g.count)
	g.mu.Unlock()
}

// Groups returns all groups, oldest first, also those that are drained and not yet
// forgotten.
func (p *Pool) Groups() []*Group { return p.groupsLocked() }

// groupsLocked is as good without the lock; with it the list stays true.
func (p *Pool) groupsLocked() []*Group {
	return slices.SortedFunc(maps.Values(*p.index.Load()), func(a, b *Group) int {
		return cmp.Compare(a.number, b.number)
	})
}

// Close drains every group; groups made later are born drained. The caller destroys
// and answers as after Group.Drain. Closing again returns nothing.
func (p *Pool) Close(now time.Time) (destroy []*Instance, moved []*Waiter) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, g := range p.Groups() {
		d, m := g.Drain(now)
		destroy, moved = append(destroy, d...), append(moved, m...)
	}
	return destroy, moved
}

// Instances returns every instance that holds memory, group by group, oldest first.
func (p *Pool) Instances() (all []*Instance) {
	for _, g := range p.Groups() {
		g.mu.Lock()
		all = append(all, g.instances...)
		g.mu.Unlock()
	}
	return all
}

// Snapshot describes every instance that holds memory, for people.
func (p *Pool) Snapshot() []hearth.InstanceInfo {
	all := p.Instances()
	infos := make([]hearth.InstanceInfo, len(all))
	for i, inst := range all {
		infos[i] = inst.Info()
	}
	return infos
}

// Counters count since the pool was made.
type Counters struct {
	Queued    uint64 // invocations that had to wait
	Cold      uint64 // of those, served by an instance that started meanwhile
	Abandoned uint64 // of those, given up by their caller
	Refused   uint64 // at once, or after waiting
	Starts    uint64 // instances asked for
	Reaped    uint64
	Evicted   uint64
	Frozen    uint64 // times that an instance was frozen
	Thawed    uint64 // of those, times that an invocation had it thawed
}

func (c *Counters) add(d *Counters) {
	c.Queued += d.Queued
	c.Cold += d.Cold
	c.Abandoned += d.Abandoned
	c.Refused += d.Refused
	c.Starts += d.Starts
	c.Reaped += d.Reaped
	c.Evicted += d.Evicted
	c.Frozen += d.Frozen
	c.Thawed += d.Thawed
}

// Stats is the pool at a glance.
type Stats struct {
	Counters
	Instances  int // that hold memory
	Starting   int
	FrozenNow  int // that stand still
	InFlight   int
	Waiting    int
	MemoryMB   int
	ReservedMB int
	DiskMB     int // that instances may need
}

// Stats sums up all groups. They are looked at one after the other.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	s := Stats{Counters: p.past, MemoryMB: p.cfg.MemoryMB, ReservedMB: p.reserved.memory, DiskMB: p.reserved.disk}
	groups := p.groupsLocked()
	p.mu.Unlock()
	for _, g := range groups {
		g.mu.Lock()
		s.add(&g.count)
		s.Instances += len(g.instances)
		s.Starting += g.starting
		s.FrozenNow += g.frozen.len
		s.InFlight += g.inFlight
		s.Waiting += g.queue.len
		g.mu.Unlock()
	}
	return s
}
