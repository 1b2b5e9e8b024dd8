package registry

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

// TestCacheModel compares the cache with a map, over several growths.
func TestCacheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var c cache
		c.init()
		model := map[string]uint64{}
		steps := rapid.IntRange(0, 6*minChains).Draw(rt, "steps")
		seed := rapid.IntRange(1, 1000).Draw(rt, "seed")
		for i := range steps {
			name := fmt.Sprint(i * seed % (3 * minChains))
			if i*seed%5 == 0 {
				c.remove(name)
				delete(model, name)
			} else {
				c.put(&hearth.Function{Name: name}, uint64(i+1))
				model[name] = uint64(i + 1)
			}
		}
		if c.len() != len(model) || len(c.listLocked()) != len(model) {
			rt.Fatalf("%d functions, %d listed, want %d", c.len(), len(c.listLocked()), len(model))
		}
		for i := range 3 * minChains {
			name := fmt.Sprint(i)
			f, revision := c.entry(name)
			if revision != model[name] || (f != nil) != (revision > 0) || f != nil && f.Name != name {
				rt.Fatalf("%s: %+v at %d, want %d", name, f, revision, model[name])
			}
		}
	})
}

// TestCacheReadersNeverMiss: while others come and go and the table grows, whoever is
// there is found.
func TestCacheReadersNeverMiss(t *testing.T) {
	var c cache
	c.init()
	for i := range 10 {
		c.put(&hearth.Function{Name: fmt.Sprint("stays", i)}, 1)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if f := c.get(fmt.Sprint("stays", i%10)); f == nil {
					t.Error("not found")
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 20 * minChains {
		c.put(&hearth.Function{Name: fmt.Sprint("comes", i)}, uint64(i+2))
		c.put(&hearth.Function{Name: fmt.Sprint("stays", i%10)}, uint64(i+2))
		if i%3 == 0 {
			c.remove(fmt.Sprint("comes", i))
		}
	}
	close(done)
	wg.Wait()
}

// TestRoutesFind: what has been put in is found, by its whole name and by no other.
func TestRoutesFind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := &hearth.Function{Name: "f"}
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-b]{1,12}`), 0, 40, rapid.ID[string]).Draw(rt, "aliases")
		for i := range rapid.IntRange(1, 30).Draw(rt, "versions") {
			f.Versions = append(f.Versions, &hearth.Version{Number: fmt.Sprint(i + 1)})
		}
		for i, name := range names {
			f.Aliases = append(f.Aliases, hearth.Alias{Name: name, Route: hearth.Route{Version: fmt.Sprint(i%len(f.Versions) + 1)}})
		}
		r := routesOf(f)
		for _, v := range f.Versions {
			if to := r.find(v.Number); to == nil || to.version != v {
				rt.Fatalf("version %s: %+v", v.Number, to)
			}
		}
		for i := range f.Aliases {
			a := &f.Aliases[i]
			if to := r.find(a.Name); to == nil || to.version.Number != a.Version {
				rt.Fatalf("alias %s: %+v, want version %s", a.Name, to, a.Version)
			}
		}
		for _, other := range []string{"", "0", "31", "c", "a\x00", "aaaaaaaa\x00", rapid.StringMatching(`[a-b]{1,12}`).Draw(rt, "other")} {
			if to := r.find(other); (to != nil) != (f.Alias(other) != nil) {
				rt.Fatalf("%q: %+v", other, to)
			}
		}
	})
}
