package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func TestTableSaysWhatIsWrong(t *testing.T) {
	ctx, table := testContext(t), openTable(t, openIn(t, t.TempDir()))
	first, err := table.Create(ctx, "a", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := table.Update(ctx, "a", []byte("2"), first)
	if err != nil || second <= first {
		t.Fatalf("update: revision %d after %d, %v", second, first, err)
	}
	for _, c := range []struct {
		what string
		do   func() error
		want error
	}{
		{"get of nothing", func() error { _, err := table.Get(ctx, "nothing"); return err }, ErrNotFound},
		{"create of what is there", func() error { _, err := table.Create(ctx, "a", nil); return err }, ErrExists},
		{"update of an old revision", func() error { _, err := table.Update(ctx, "a", nil, first); return err }, ErrRevision},
		{"update of no revision", func() error { _, err := table.Update(ctx, "a", nil, 0); return err }, ErrRevision},
		{"update of nothing", func() error { _, err := table.Update(ctx, "nothing", nil, second); return err }, ErrRevision},
		{"delete of an old revision", func() error { _, err := table.Delete(ctx, "a", first); return err }, ErrRevision},
		{"delete of nothing", func() error { _, err := table.Delete(ctx, "nothing", 0); return err }, ErrNotFound},
		{"a key with a space", func() error { _, err := table.Put(ctx, "a b", nil); return err }, ErrInvalidKey},
		{"an empty key", func() error { _, err := table.Get(ctx, ""); return err }, ErrInvalidKey},
	} {
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	removed, err := table.Delete(ctx, "a", second)
	if err != nil || removed <= second {
		t.Fatalf("delete: revision %d after %d, %v", removed, second, err)
	}
	if second, err = table.Create(ctx, "a", []byte("2")); err != nil || second <= removed {
		t.Fatalf("create again: revision %d after %d, %v", second, removed, err)
	}
	if e, err := table.Get(ctx, "a"); err != nil || string(e.Value) != "2" || e.Revision != second || e.Modified.IsZero() {
		t.Errorf("after all that: %+v, %v", e, err)
	}
}

// TestTableModel runs random operations against a map.
func TestTableModel(t *testing.T) {
	table := openTable(t, openIn(t, t.TempDir()))
	model := map[string]Entry{} // over all runs: the table stays
	rapid.Check(t, func(rt *rapid.T) {
		ctx := testContext(t)
		keys := rapid.SampledFrom([]string{"a", "b", "c_1", "d-2"})
		set := func(key, value string, revision uint64) {
			model[key] = Entry{Key: key, Value: []byte(value), Revision: revision}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				key, value := keys.Draw(rt, "key"), rapid.String().Draw(rt, "value")
				rev, err := table.Create(ctx, key, []byte(value))
				if _, there := model[key]; there != errors.Is(err, ErrExists) || !there && err != nil {
					rt.Fatalf("create %s: %v, there: %v", key, err, there)
				}
				if err == nil {
					set(key, value, rev)
				}
			},
			"put": func(rt *rapid.T) {
				key, value := keys.Draw(rt, "key"), rapid.String().Draw(rt, "value")
				rev, err := table.Put(ctx, key, []byte(value))
				if err != nil {
					rt.Fatal(err)
				}
				set(key, value, rev)
			},
			"update": func(rt *rapid.T) {
				key, value := keys.Draw(rt, "key"), rapid.String().Draw(rt, "value")
				guess := model[key].Revision
				if guess == 0 || rapid.Bool().Draw(rt, "stale") {
					guess += 1_000_000 // of no entry
				}
				rev, err := table.Update(ctx, key, []byte(value), guess)
				if e, there := model[key]; (there && e.Revision == guess) != (err == nil) || err != nil && !errors.Is(err, ErrRevision) {
					rt.Fatalf("update %s at %d: %v, model %+v", key, guess, err, e)
				}
				if err == nil {
					set(key, value, rev)
				}
			},
			"delete": func(rt *rapid.T) {
				key := keys.Draw(rt, "key")
				_, err := table.Delete(ctx, key, 0)
				if _, there := model[key]; there != (err == nil) || !there && !errors.Is(err, ErrNotFound) {
					rt.Fatalf("delete %s: %v, there: %v", key, err, there)
				}
				delete(model, key)
			},
			"compare": func(rt *rapid.T) { compareTable(ctx, rt, table, model) },
		})
	})
}

func compareTable(ctx context.Context, rt *rapid.T, table *Table, model map[string]Entry) {
	entries, err := table.List(ctx)
	if err != nil {
		rt.Fatal(err)
	}
	if len(entries) != len(model) {
		rt.Fatalf("%d entries, want %d", len(entries), len(model))
	}
	if !slices.IsSortedFunc(entries, func(a, b Entry) int { return slices.Compare([]byte(a.Key), []byte(b.Key)) }) {
		rt.Fatalf("not sorted: %v", entries)
	}
	for _, e := range entries {
		want := model[e.Key]
		if string(e.Value) != string(want.Value) || e.Revision != want.Revision {
			rt.Fatalf("%+v, want %+v", e, want)
		}
		if got, err := table.Get(ctx, e.Key); err != nil || got.Revision != e.Revision {
			rt.Fatalf("get %s: %+v, %v", e.Key, got, err)
		}
	}
}

// TestUpdatesDoNotGetLost: many writers count in one key, each by compare-and-swap.
func TestUpdatesDoNotGetLost(t *testing.T) {
	ctx, table := testContext(t), openTable(t, openIn(t, t.TempDir()))
	if _, err := table.Create(ctx, "n", []byte{0}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var refused atomic.Int64
	for range 8 {
		wg.Go(func() {
			for done := 0; done < 20; {
				e, err := table.Get(ctx, "n")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = table.Update(ctx, "n", []byte{e.Value[0] + 1}, e.Revision)
				switch {
				case err == nil:
					done++
				case errors.Is(err, ErrRevision):
					refused.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if e, err := table.Get(ctx, "n"); err != nil || e.Value[0] != 160 {
		t.Errorf("%v, %v; want 160", e.Value, err)
	}
	if refused.Load() == 0 {
		t.Log("no two writers ever met")
	}
}
