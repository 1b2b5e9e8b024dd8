package registry

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"

	"hearth/internal/hearth"
)

// shards bounds what a write has to copy: with 10,000 functions, some 40 entries.
const shards = 256

// cache maps names to functions. Readers need no lock: a shard's map is never
// changed, a write replaces it. Writers must not overlap.
type cache struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[string]cached]
	count  atomic.Int64
}

type cached struct {
	function *hearth.Function
	revision uint64 // the store's
}

func (c *cache) init() {
	c.seed = maphash.MakeSeed()
	for i := range c.shards {
		c.shards[i].Store(&map[string]cached{})
	}
}

func (c *cache) shard(name string) *atomic.Pointer[map[string]cached] {
	return &c.shards[maphash.String(c.seed, name)%shards]
}

// get is nil for a name that is not there.
func (c *cache) get(name string) *hearth.Function {
	return (*c.shard(name).Load())[name].function
}

// entry also tells the store's revision, 0 for a name that is not there.
func (c *cache) entry(name string) (*hearth.Function, uint64) {
	e := (*c.shard(name).Load())[name]
	return e.function, e.revision
}

func (c *cache) put(f *hearth.Function, revision uint64) {
	c.change(f.Name, func(m map[string]cached) { m[f.Name] = cached{f, revision} })
}

func (c *cache) remove(name string) {
	c.change(name, func(m map[string]cached) { delete(m, name) })
}

func (c *cache) change(name string, edit func(map[string]cached)) {
	shard := c.shard(name)
	old := *shard.Load()
	m := make(map[string]cached, len(old)+1)
	maps.Copy(m, old)
	edit(m)
	shard.Store(&m)
	c.count.Add(int64(len(m) - len(old)))
}

func (c *cache) len() int { return int(c.count.Load()) }

// list is sorted by name.
func (c *cache) list() []*hearth.Function {
	functions := make([]*hearth.Function, 0, c.len())
	for i := range c.shards {
		for _, e := range *c.shards[i].Load() {
			functions = append(functions, e.function)
		}
	}
	slices.SortFunc(functions, func(a, b *hearth.Function) int { return cmp.Compare(a.Name, b.Name) })
	return functions
}
