package async

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestGateModel: whatever comes, the bounds hold, permits are neither lost nor made,
// and nobody who may begin is left waiting.
func TestGateModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		slots := rapid.IntRange(1, 40).Draw(rt, "slots")
		memory := rapid.SampledFrom([]int{0, 512, 2048}).Draw(rt, "memory")
		g := NewGate(slots, memory)
		names := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		terms := map[string]Terms{}
		for _, n := range []string{"a", "b", "c", "d"} {
			terms[n] = Terms{MemoryMB: rapid.SampledFrom([]int{0, 13, 128, 1024}).Draw(rt, "mb"), Most: rapid.IntRange(0, 3).Draw(rt, "most")}
		}
		termsOf := func(f string) Terms { return terms[f] }
		waiting := map[string]int{} // events in lines
		var running, pulling []Turn
		used := func(f string) (n int) {
			for _, r := range running {
				if r.Function == f || f == "" {
					n++
				}
			}
			for _, p := range pulling {
				if p.Function == f || f == "" {
					n += p.Permits
				}
			}
			return n
		}
		rt.Repeat(map[string]func(*rapid.T){
			"submit": func(rt *rapid.T) {
				f := names.Draw(rt, "function")
				waiting[f] += rapid.IntRange(1, 50).Draw(rt, "n")
				g.Poke(f)
			},
			"turn": func(rt *rapid.T) {
				turn, ok := g.Next(termsOf)
				if !ok {
					return
				}
				pulling = append(pulling, turn)
				tm := terms[turn.Function]
				switch free := slots - used(""); {
				case turn.Permits < 1 || turn.Permits > turnPermits:
					rt.Fatalf("%+v", turn)
				case free < 0:
					rt.Fatalf("%d permits too many", -free)
				case turn.Permits > 1 && used(turn.Function) > free:
					rt.Fatalf("%s holds %d, only %d are free", turn.Function, used(turn.Function), free)
				case tm.Most > 0 && used(turn.Function) > tm.Most:
					rt.Fatalf("%s holds %d, at most %d", turn.Function, used(turn.Function), tm.Most)
				}
			},
			"pulled": func(rt *rapid.T) {
				if len(pulling) == 0 {
					return
				}
				turn := pulling[0]
				pulling = pulling[1:]
				got := min(turn.Permits, waiting[turn.Function])
				for i := range got {
					// An event may be that of another version, which needs more, or less.
					mb := turn.MemoryMB
					if rapid.IntRange(0, 3).Draw(rt, "other version") == 0 {
						mb = rapid.SampledFrom([]int{0, 13, 128, 200, 1024, 1500}).Draw(rt, "its mb")
					}
					weighed, fits := g.Weigh(turn, mb, i > 0)
					if !fits {
						g.Done(turn)
						continue
					}
					waiting[turn.Function]--
					weighed.Permits = 1
					running = append(running, weighed)
				}
				g.Pulled(turn, got)
			},
			"done": func(rt *rapid.T) {
				if len(running) == 0 {
					return
				}
				i := rapid.IntRange(0, len(running)-1).Draw(rt, "i")
				g.Done(running[i])
				running = append(running[:i:i], running[i+1:]...)
			},
			"": func(rt *rapid.T) {
				if g.Running("") != used("") {
					rt.Fatalf("%d are counted, %d there", g.Running(""), used(""))
				}
				// Giants count for half of the bound; there is one at most, and without it
				// and one more attempt the rest is within the bound.
				charged, real, giants, largest := 0, 0, 0, 0
				for _, r := range slices.Concat(running, pulling) {
					n := max(r.Permits, 1)
					if memory > 0 && 2*r.MemoryMB > memory {
						charged += n * memory / 2
						giants += n
					} else {
						charged += n * r.MemoryMB
					}
					real += n * r.MemoryMB
					largest = max(largest, r.MemoryMB)
				}
				if charged != g.usedMB || giants > 1 || g.giant != (giants == 1) {
					rt.Fatalf("%d MB are counted, %d held; %d giants", g.usedMB, charged, giants)
				}
				if memory > 0 && real-largest > memory {
					rt.Fatalf("%d MB are held, at most %d and one attempt may be", real, memory)
				}
			},
		})
		// In the end everything is worked off, and the gate has forgotten all.
		for step := 0; ; step++ {
			if step > 10_000 {
				rt.Fatalf("left: %v", waiting)
			}
			for len(pulling) > 0 {
				turn := pulling[0]
				pulling = pulling[1:]
				got := min(turn.Permits, waiting[turn.Function])
				waiting[turn.Function] -= got
				g.Pulled(turn, got)
				for range got {
					g.Done(turn)
				}
			}
			for _, r := range running {
				g.Done(r)
			}
			running = nil
			turn, ok := g.Next(termsOf)
			if !ok {
				break
			}
			pulling = append(pulling, turn)
		}
		for f, n := range waiting {
			if n > 0 {
				rt.Fatalf("%d events of %s are left", n, f)
			}
		}
		if len(g.lines) != 0 || g.used != 0 || g.usedMB != 0 {
			rt.Fatalf("not forgotten: %+v", g)
		}
	})
}

// TestGateLeavesRoom: functions that never let go leave something for the next one.
func TestGateLeavesRoom(t *testing.T) {
	g := NewGate(128, 0)
	termsOf := func(string) Terms { return Terms{} }
	for i := range 7 {
		g.Poke(fmt.Sprint("stuck", i))
	}
	for turn, ok := g.Next(termsOf); ok; turn, ok = g.Next(termsOf) {
		g.Pulled(turn, turn.Permits)
	}
	g.Poke("f")
	if turn, ok := g.Next(termsOf); !ok || turn.Function != "f" {
		t.Errorf("%+v %v with %d under way", turn, ok, g.Running(""))
	}
}

// TestGateBoundsMemory: the bound is exceeded by one attempt at most, and a function
// that is larger than all of it gets its turn.
func TestGateBoundsMemory(t *testing.T) {
	g := NewGate(128, 1024)
	terms := map[string]Terms{"small": {MemoryMB: 128}, "large": {MemoryMB: 2048}, "other": {MemoryMB: 512}}
	termsOf := func(f string) Terms { return terms[f] }
	turns := map[string]int{}
	for _, f := range []string{"small", "large", "other"} {
		g.Poke(f)
	}
	for turn, ok := g.Next(termsOf); ok; turn, ok = g.Next(termsOf) {
		turns[turn.Function] += turn.Permits
		g.Pulled(turn, turn.Permits)
	}
	if fmt.Sprint(turns) != "map[large:1 small:4]" {
		t.Errorf("%v", turns)
	}
	g.Done(Turn{Function: "large", MemoryMB: 2048})
	if turn, ok := g.Next(termsOf); !ok || turn.Function != "other" || turn.Permits != 1 {
		t.Errorf("%+v, %v", turn, ok)
	}
}

// TestGateGiantLeavesRoom: a function whose attempt needs half of the node or more does
// not take all that asynchronous attempts may have, and two such do not run at once.
func TestGateGiantLeavesRoom(t *testing.T) {
	g := NewGate(128, 1024)
	terms := map[string]Terms{"giant": {MemoryMB: 1024}, "second": {MemoryMB: 2048}, "small": {MemoryMB: 128}, "half": {MemoryMB: 512}}
	termsOf := func(f string) Terms { return terms[f] }
	next := func(want string) Turn {
		t.Helper()
		turn, ok := g.Next(termsOf)
		if turn.Function != want || ok != (want != "") {
			t.Fatalf("%+v, want %q", turn, want)
		}
		if ok {
			g.Pulled(turn, turn.Permits)
		}
		return turn
	}
	for _, f := range []string{"giant", "second", "small"} {
		g.Poke(f)
	}
	giant := next("giant")
	small := next("small")
	if small.Permits < 1 || giant.Permits != 1 {
		t.Fatalf("%+v %+v", giant, small)
	}
	g.Poke("half") // would fit in half of the bound, but not in what is left of it
	next("")
	g.Done(giant)
	next("second")
	next("")
}

// TestGateWeighs: events of a version that needs more than was thought do not go over
// the bound, and the next turn knows better.
func TestGateWeighs(t *testing.T) {
	g := NewGate(128, 1024)
	termsOf := func(string) Terms { return Terms{MemoryMB: 16} }
	g.Poke("f")
	turn, _ := g.Next(termsOf)
	var kept []Turn
	for i := range turn.Permits {
		weighed, fits := g.Weigh(turn, 400, i > 0)
		if fits {
			kept = append(kept, weighed)
		} else {
			g.Done(turn)
		}
	}
	g.Pulled(turn, turn.Permits)
	if turn.Permits != turnPermits || len(kept) != 2 || g.usedMB != 800 {
		t.Fatalf("%+v: %d kept, %d MB", turn, len(kept), g.usedMB)
	}
	if turn, ok := g.Next(termsOf); ok {
		t.Errorf("%+v beside two of 400", turn)
	}
	for _, k := range kept {
		g.Done(k)
	}
	if turn, _ := g.Next(termsOf); turn.Permits != 1 || turn.MemoryMB != 400 {
		t.Errorf("%+v, want one of 400", turn)
	}
}

// TestGateLooksAtNobodyWhenFull: with no memory left, thousands of functions with
// something in line cost nothing.
func TestGateLooksAtNobodyWhenFull(t *testing.T) {
	g := NewGate(128, 1024)
	asked := 0
	termsOf := func(string) Terms { asked++; return Terms{MemoryMB: 512} }
	for i := range 5000 {
		g.Poke(fmt.Sprint("f", i))
	}
	for turn, ok := g.Next(termsOf); ok; turn, ok = g.Next(termsOf) {
		g.Pulled(turn, turn.Permits)
	}
	if asked > 10 {
		t.Errorf("%d functions were asked", asked)
	}
}

// TestGateKeepsAPoke: what comes while a line is being pulled is not forgotten.
func TestGateKeepsAPoke(t *testing.T) {
	g := NewGate(8, 0)
	termsOf := func(string) Terms { return Terms{} }
	g.Poke("f")
	turn, _ := g.Next(termsOf)
	g.Poke("f")
	g.Pulled(turn, 0)
	if _, ok := g.Next(termsOf); !ok {
		t.Error("the poke was forgotten")
	}
}
