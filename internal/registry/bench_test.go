package registry

import (
	"fmt"
	"testing"

	"hearth/internal/hearth"
)

// full is a node with many functions, each with four versions and two aliases. They go
// straight into the table, all with the code of one.
func full(b testing.TB, functions int) *node {
	n := startNode(b)
	n.create("f", "code")
	for i := range 4 {
		n.update("f", Update{Publish: true, Edit: describe(fmt.Sprint("release ", i)).Edit})
	}
	n.alias("f", "prod", hearth.Route{Version: "3"})
	n.alias("f", "canary", hearth.Route{Version: "3", Also: "4", Weight: 0.1})
	f, err := n.Get("f")
	if err != nil {
		b.Fatal(err)
	}
	f = f.Clone()
	for i := range functions - 1 {
		f.Name = fmt.Sprint("f", i)
		f.Latest.Function = f.Name
		value, err := encode(f)
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
	n.publish("f")
	n.update("f", Update{Zip: []byte("other"), Publish: true})
	n.alias("f", "prod", hearth.Route{Version: "1", Also: "2", Weight: 0.5})
	for _, qualifier := range []string{"", hearth.Latest, "2", "prod"} {
		allocs := testing.AllocsPerRun(100, func() {
			if _, v, err := n.Resolve("f", qualifier); err != nil || v.ID() == "" {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%q: %v allocations", qualifier, allocs)
		}
	}
}

func BenchmarkRegistry(b *testing.B) {
	n := full(b, 10_000)
	names := make([]string, 1024)
	for i := range names {
		names[i] = fmt.Sprint("f", i*7)
	}
	for what, qualifier := range map[string]string{"name": "", "number": "2", "alias": "prod", "weighted-alias": "canary"} {
		b.Run("resolve-"+what, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if _, _, err := n.Resolve(names[i%1024], qualifier); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("resolve-parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, _, err := n.Resolve(names[i%1024], "canary"); err != nil {
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
