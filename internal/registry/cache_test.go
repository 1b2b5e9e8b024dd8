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
