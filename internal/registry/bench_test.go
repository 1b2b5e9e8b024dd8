package registry

import (
	"encoding/json"
	"fmt"
	"testing"

	"hearth/internal/hearth"
)

// full is a node with many functions. They go straight into the table, all with the
// code of one.
func full(b testing.TB, functions int) *node {
	n := startNode(b)
	f := n.create("f", "code").Clone()
	for i := range functions - 1 {
		f.Name = fmt.Sprint("f", i)
		f.Latest.Function = f.Name
		value, err := json.Marshal(f)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := n.table.Create(testContext(b), f.Name, value); err != nil {
			b.Fatal(err)
		}
	}
	n.restart()
	if n.Len() != functions {
		b.Fatalf("%d functions", n.Len())
	}
	return n
}

func TestResolveDoesNotAllocate(t *testing.T) {
	n := startNode(t)
	n.create("f", "code")
	allocs := testing.AllocsPerRun(100, func() {
		if _, v, err := n.Resolve("f", hearth.Latest); err != nil || v.ID() == "" {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkRegistry(b *testing.B) {
	n := full(b, 10_000)
	names := make([]string, 1024)
	for i := range names {
		names[i] = fmt.Sprint("f", i*7)
	}
	b.Run("resolve", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			if _, _, err := n.Resolve(names[i%1024], ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("resolve-parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, _, err := n.Resolve(names[i%1024], hearth.Latest); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			n.List()
		}
	})
	b.Run("update", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i++
			n.update(names[i%1024], describe(fmt.Sprint(i)))
		}
	})
	b.Run("restart", func(b *testing.B) {
		for b.Loop() {
			n.restart()
		}
	})
}
