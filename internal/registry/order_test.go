package registry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// write is one step of the true history of the store.
type write struct {
	name     string
	function *hearth.Function // nil: deleted
	revision uint64
}

// TestAnyOrderOfNews: what this node has written is applied at any later moment, the
// watch tells it and all else in order at its own pace. Whatever the order, the cache
// never goes back, is never behind what it has been told, and ends with the truth.
func TestAnyOrderOfNews(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := drawHistory(rt)
		r := &Registry{removed: map[string]uint64{}, states: map[string]nodeState{}}
		r.cfg.Logger = slog.New(slog.DiscardHandler)
		r.code.init(nil, r.cfg.Logger, false)
		r.cache.init()
		r.subs.init()
		var own []write // made here and not applied yet
		for _, w := range history {
			if rapid.Bool().Draw(rt, "made here") {
				own = append(own, w)
			}
		}
		told := map[string]uint64{} // the least that the cache must know
		heard := 0
		for heard < len(history) || len(own) > 0 {
			var w write
			if heard < len(history) && (len(own) == 0 || rapid.Bool().Draw(rt, "watch")) {
				w = history[heard]
				heard++
				r.hear(changeOf(w), false)
			} else {
				i := rapid.IntRange(0, len(own)-1).Draw(rt, "which")
				w = own[i]
				own = append(own[:i:i], own[i+1:]...)
				r.applied(w.name, w.function, w.revision)
			}
			told[w.name] = max(told[w.name], w.revision)
			checkCache(rt, r, history, told)
		}
		if len(r.removed) > 0 {
			rt.Fatalf("still remembered: %v", r.removed)
		}
		if len(r.states) != r.Len() {
			rt.Fatalf("%d states of %d functions", len(r.states), r.Len())
		}
	})
}

func drawHistory(rt *rapid.T) []write {
	there := map[string]bool{}
	var history []write
	for i := range rapid.IntRange(1, 12).Draw(rt, "writes") {
		w := write{name: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "name"), revision: uint64(i + 1)}
		if !there[w.name] || rapid.Bool().Draw(rt, "put") {
			w.function = function(w.name)
			w.function.Latest.Function = w.name
			w.function.Latest.Identity = fmt.Sprint(w.revision)
		}
		there[w.name] = w.function != nil
		history = append(history, w)
	}
	return history
}

func changeOf(w write) store.Change {
	if w.function == nil {
		return store.Change{Kind: store.Deleted, Entry: store.Entry{Key: w.name, Revision: w.revision}}
	}
	value, err := json.Marshal(w.function)
	if err != nil {
		panic(err)
	}
	return store.Change{Kind: store.Written, Entry: store.Entry{Key: w.name, Value: value, Revision: w.revision}}
}

// checkCache: what has been told last of a name is what the cache has.
func checkCache(rt *rapid.T, r *Registry, history []write, told map[string]uint64) {
	for name, revision := range told {
		want := history[revision-1].function
		f := r.cache.get(name)
		if (f == nil) != (want == nil) || f != nil && f.Latest.Identity != want.Latest.Identity {
			rt.Fatalf("%s: %+v, want what was written at %d: %+v", name, f, revision, want)
		}
	}
}
