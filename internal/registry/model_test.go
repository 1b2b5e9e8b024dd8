package registry

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

// TestModel runs random operations and restarts against a map.
func TestModel(t *testing.T) {
	n := startNode(t)
	model := map[string]*hearth.Function{} // over all runs: the store stays
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SampledFrom([]string{"a", "b", "c_1"})
		codes := rapid.SampledFrom([]string{"one", "two", "three"})
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				name, code := names.Draw(rt, "name"), codes.Draw(rt, "code")
				f, err := n.Create(testContext(t), function(name), []byte(code))
				if model[name] != nil {
					wantConflict(rt, err)
					return
				}
				if err != nil || f.Latest.Code.Digest != digestOf(code) {
					rt.Fatalf("%+v, %v", f, err)
				}
				model[name] = f
			},
			"update": func(rt *rapid.T) {
				name := names.Draw(rt, "name")
				old := model[name]
				u, changes := drawUpdate(rt, old, codes)
				f, err := n.Update(testContext(t), name, u)
				switch {
				case old == nil:
					if hearth.CodeOf(err) != hearth.ErrNotFound {
						rt.Fatal(err)
					}
				case u.IfRevision != "" && u.IfRevision != old.Latest.Revision:
					if hearth.CodeOf(err) != hearth.ErrPrecondition {
						rt.Fatal(err)
					}
				case err != nil || (f.Latest.Revision != old.Latest.Revision) != changes:
					rt.Fatalf("%+v, %v; changes: %v", f, err, changes)
				default:
					model[name] = f
				}
			},
			"delete": func(rt *rapid.T) {
				name := names.Draw(rt, "name")
				err := n.Delete(testContext(t), name)
				if (model[name] == nil) != (hearth.CodeOf(err) == hearth.ErrNotFound && err != nil) {
					rt.Fatal(err)
				}
				delete(model, name)
			},
			"": func(rt *rapid.T) { compare(rt, n, model) },
		})
		if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
			n.restart()
			compare(rt, n, model)
		}
		if digests := n.digests(); len(digests) != len(codesOf(model)) {
			rt.Fatalf("%d archives for %d", len(digests), len(codesOf(model)))
		}
	})
}

func wantConflict(rt *rapid.T, err error) {
	if hearth.CodeOf(err) != hearth.ErrConflict {
		rt.Fatal(err)
	}
}

func codesOf(model map[string]*hearth.Function) map[string]bool {
	digests := map[string]bool{}
	for _, f := range model {
		digests[f.Latest.Code.Digest] = true
	}
	return digests
}

// drawUpdate also tells whether it changes anything.
func drawUpdate(rt *rapid.T, old *hearth.Function, codes *rapid.Generator[string]) (Update, bool) {
	var u Update
	changes := false
	if rapid.Bool().Draw(rt, "with code") {
		code := codes.Draw(rt, "code")
		u.Zip = []byte(code)
		changes = old != nil && old.Latest.Code.Digest != digestOf(code)
	}
	if rapid.Bool().Draw(rt, "with text") {
		text := rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "text")
		u.Edit = describe(text).Edit
		changes = changes || old != nil && old.Latest.Config.Description != text
	}
	switch rapid.IntRange(0, 3).Draw(rt, "if") {
	case 0:
		u.IfRevision = "stale"
	case 1:
		if old != nil {
			u.IfRevision = old.Latest.Revision
		}
	}
	return u, changes
}

func compare(rt *rapid.T, n *node, model map[string]*hearth.Function) {
	var want []*hearth.Function
	for _, name := range slices.Sorted(maps.Keys(model)) {
		want = append(want, model[name])
		if f, v, err := n.Resolve(name, ""); err != nil || !reflect.DeepEqual(f, model[name]) || v != &f.Latest {
			rt.Fatalf("resolve %s: %+v, %v; want %+v", name, f, err, model[name])
		}
	}
	if got := n.List(); len(got) != len(want) || n.Len() != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		rt.Fatalf("list: %+v, want %+v", got, want)
	}
}

// TestConcurrentWriters: several nodes and goroutines count in one function, some by
// Edit alone, some guarded by a revision. No count is lost, no guard lets two through,
// and every node ends with the same.
func TestConcurrentWriters(t *testing.T) {
	n := startNode(t)
	others := []*Registry{n.second(), n.second()}
	rapid.Check(t, func(rt *rapid.T) {
		nodes := append([]*Registry{n.Registry}, others[:rapid.IntRange(0, 2).Draw(rt, "more nodes")]...)
		if n.Len() > 0 {
			n.delete("f")
		}
		n.create("f", "code")
		for _, r := range nodes { // see to it that it is in every cache
			if _, err := r.Update(testContext(t), "f", Update{}); err != nil {
				rt.Fatal(err)
			}
		}
		writers := rapid.IntRange(1, 4).Draw(rt, "writers on each node")
		each := rapid.IntRange(1, 8).Draw(rt, "counts of each")
		guarded := rapid.Bool().Draw(rt, "guarded")
		var wg sync.WaitGroup
		for _, r := range nodes {
			for range writers {
				wg.Go(func() { countTo(t, r, each, guarded) })
			}
		}
		wg.Wait()
		want := strconv.Itoa(len(nodes) * writers * each)
		for i, r := range nodes {
			// A write makes this node see all that came before it.
			f, err := r.Update(testContext(t), "f", Update{Edit: func(f *hearth.Function) error {
				f.Tags = map[string]string{"node": strconv.Itoa(i)}
				return nil
			}})
			if err != nil || f.Latest.Config.Description != want {
				rt.Fatalf("node %d: %+v, %v; want %s", i, f, err, want)
			}
			if got, _ := r.Get("f"); got.Latest.Revision != f.Latest.Revision {
				rt.Fatalf("node %d does not read its own write", i)
			}
		}
	})
}

// countTo adds one to the number in f's description, so many times.
func countTo(t *testing.T, r *Registry, times int, guarded bool) {
	for done := 0; done < times; {
		u := Update{Edit: func(f *hearth.Function) error {
			n, _ := strconv.Atoi(f.Latest.Config.Description)
			f.Latest.Config.Description = strconv.Itoa(n + 1)
			return nil
		}}
		if guarded {
			f, err := r.Get("f")
			if err != nil {
				t.Error(err)
				return
			}
			u.IfRevision = f.Latest.Revision
		}
		f, err := r.Update(testContext(t), "f", u)
		if guarded && hearth.CodeOf(err) == hearth.ErrPrecondition && err != nil {
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		if got, _ := r.Get("f"); got.Latest.Revision != f.Latest.Revision && got.Latest.LastModified.Before(f.Latest.LastModified) {
			t.Errorf("read %s after writing %s", got.Latest.LastModified, f.Latest.LastModified)
		}
		done++
	}
}

// TestOneCreateWins: many nodes and goroutines create one name at once.
func TestOneCreateWins(t *testing.T) {
	n := startNode(t)
	nodes := []*Registry{n.Registry, n.second(), n.second()}
	for round := range 10 {
		name := fmt.Sprint("f", round)
		won := make([]*hearth.Function, 12)
		var wg sync.WaitGroup
		for i := range won {
			wg.Go(func() {
				f, err := nodes[i%3].Create(testContext(t), function(name), []byte(fmt.Sprint("code", i)))
				var e *hearth.Error
				if err != nil && (!errors.As(err, &e) || e.Code != hearth.ErrConflict) {
					t.Error(err)
				}
				won[i] = f
			})
		}
		wg.Wait()
		won = slices.DeleteFunc(won, func(f *hearth.Function) bool { return f == nil })
		if len(won) != 1 {
			t.Fatalf("%d creates of %s won", len(won), name)
		}
	}
}
