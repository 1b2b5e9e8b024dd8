package registry

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"hearth/internal/hearth"
)

// cache maps names to functions. It is a hash table of chains, whose links are never
// changed once a reader can see them: so readers need no lock, and a write copies no
// more than one chain. Writers must not overlap. (A sync.Map would allocate on each
// read, a map per shard would hash twice.)
type cache struct {
	seed  maphash.Seed
	table atomic.Pointer[[]atomic.Pointer[link]] // its length is a power of two
	count atomic.Int64
	// writes counts the changes: another number means that something is different.
	writes atomic.Uint64
	// sorted is what list has returned, nil since the last write.
	sorted []*hearth.Function
}

// link is one function in a chain.
type link struct {
	hash     uint64
	name     string
	function *hearth.Function
	routes   routes // of versions and aliases
	revision uint64 // the store's
	next     *link
}

const minChains = 64

func (c *cache) init() {
	c.seed = maphash.MakeSeed()
	table := make([]atomic.Pointer[link], minChains)
	c.table.Store(&table)
}

func (c *cache) find(name string) *link {
	hash := maphash.String(c.seed, name)
	table := *c.table.Load()
	l := table[hash&uint64(len(table)-1)].Load()
	for l != nil && (l.hash != hash || l.name != name) {
		l = l.next
	}
	return l
}

// get is nil for a name that is not there.
func (c *cache) get(name string) *hearth.Function {
	if l := c.find(name); l != nil {
		return l.function
	}
	return nil
}

// entry also tells the store's revision, 0 for a name that is not there.
func (c *cache) entry(name string) (*hearth.Function, uint64) {
	if l := c.find(name); l != nil {
		return l.function, l.revision
	}
	return nil, 0
}

func (c *cache) put(f *hearth.Function, revision uint64) {
	hash := maphash.String(c.seed, f.Name)
	table := *c.table.Load()
	chain := &table[hash&uint64(len(table)-1)]
	rest, had := without(chain.Load(), f.Name)
	chain.Store(&link{hash, f.Name, f, routesOf(f), revision, rest})
	c.sorted = nil
	c.writes.Add(1)
	if !had && c.count.Add(1) > int64(len(table)) {
		c.grow(table)
	}
}

func (c *cache) remove(name string) {
	table := *c.table.Load()
	chain := &table[maphash.String(c.seed, name)&uint64(len(table)-1)]
	rest, had := without(chain.Load(), name)
	if had {
		chain.Store(rest)
		c.sorted = nil
		c.writes.Add(1)
		c.count.Add(-1)
	}
}

// without returns a chain that lacks name, and whether l had it. It leaves l as it is.
func without(l *link, name string) (*link, bool) {
	if l == nil {
		return nil, false
	}
	if l.name == name {
		return l.next, true
	}
	rest, had := without(l.next, name)
	if !had {
		return l, false
	}
	kept := *l
	kept.next = rest
	return &kept, true
}

// grow makes a table twice as long. Readers see the old one until it is done.
func (c *cache) grow(old []atomic.Pointer[link]) {
	table := make([]atomic.Pointer[link], 2*len(old))
	for i := range old {
		for l := old[i].Load(); l != nil; l = l.next {
			chain := &table[l.hash&uint64(len(table)-1)]
			moved := *l
			moved.next = chain.Load()
			chain.Store(&moved)
		}
	}
	c.table.Store(&table)
}

func (c *cache) len() int { return int(c.count.Load()) }

// listLocked is sorted by name. Callers must not write to it; it counts as a writer.
func (c *cache) listLocked() []*hearth.Function {
	if c.sorted != nil {
		return c.sorted
	}
	c.sorted = make([]*hearth.Function, 0, c.len())
	table := *c.table.Load()
	for i := range table {
		for l := table[i].Load(); l != nil; l = l.next {
			c.sorted = append(c.sorted, l.function)
		}
	}
	slices.SortFunc(c.sorted, func(a, b *hearth.Function) int { return cmp.Compare(a.Name, b.Name) })
	return c.sorted
}
