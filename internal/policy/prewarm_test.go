package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// The golden files under testdata draw how many sandboxes wait, over virtual time.
// Commands:
//
//	node floor=N budget=MB [free=MB]       an empty node
//	deployed KIND…                         functions of these kinds are there
//	run until=D step=D                     one line of input per row of cold starts:
//	    KIND at=D [n=N] [every=D]
//	    expect KIND at=D [n=N]             or of deployments
//	    busy at=D for=D                    or of a node that is busy
//	    fails at=D for=D                   or on which no sandbox can be made
//
// A KIND is language/memory. run draws a line per kind and a character per step: how
// many wait ('.' = none, letters from 10 on); below it how many of the step's cold
// starts found none.
func TestPrewarmGolden(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "node":
				w = newWorld(t, d)
			case "deployed":
				var kinds []Kind
				for _, a := range d.CmdArgs {
					kinds = append(kinds, parseKind(t, a.Key))
				}
				w.p.Deployed(kinds)
			case "run":
				return w.run(t, d)
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			return ""
		})
	})
}

const (
	makingTakes = 100 * time.Millisecond
	oneMB       = 40
)

// world plays the worker: one sandbox at a time, 100 ms and 40 MB each.
type world struct {
	p       *Prewarm
	start   time.Time
	now     time.Time
	have    map[Kind]int
	freeMB  int
	making  *Kind
	madeAt  time.Time
	busy    [][2]time.Time
	failing [][2]time.Time
	expect  arrivals
}

func newWorld(t *testing.T, d *datadriven.TestData) *world {
	var cfg PrewarmConfig
	w := &world{freeMB: 100_000, have: map[Kind]int{}, start: time.Unix(1_000_000, 0)}
	d.ScanArgs(t, "floor", &cfg.Floor)
	d.ScanArgs(t, "budget", &cfg.BudgetMB)
	d.MaybeScanArgs(t, "free", &w.freeMB)
	w.p, w.now = NewPrewarm(cfg), w.start
	return w
}

func parseKind(t *testing.T, text string) Kind {
	language, mb, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(mb)
	if err != nil {
		t.Fatal(err)
	}
	return Kind{Language: language, MemoryMB: n}
}

func (w *world) node() Node {
	n := Node{Have: w.have, FreeMB: w.freeMB, NextMB: func(Kind) int { return oneMB }}
	for _, have := range w.have {
		n.UsedMB += have * oneMB
	}
	n.FreeMB -= n.UsedMB
	return n
}

func within(now time.Time, spans [][2]time.Time) bool {
	return slices.ContainsFunc(spans, func(s [2]time.Time) bool { return !now.Before(s[0]) && now.Before(s[1]) })
}

// work does what the plan says, as long as that takes no time.
func (w *world) work() {
	if w.making != nil && !w.now.Before(w.madeAt) {
		if within(w.now, w.failing) {
			w.p.Failed(w.now)
		} else {
			w.have[*w.making]++
		}
		w.making = nil
	}
	for w.making == nil {
		plan := w.p.Plan(w.now, w.node())
		switch {
		case plan.Stop != nil:
			w.have[*plan.Stop]--
			continue
		case plan.Make != nil:
			if _, wait := w.p.PutOff(w.now, within(w.now, w.busy)); wait {
				return
			}
			w.making, w.madeAt = plan.Make, w.now.Add(makingTakes)
		}
		return
	}
}

// cold is one cold start; it tells whether a sandbox was there.
func (w *world) cold(k Kind) bool {
	w.p.Wanted(w.now, k)
	if w.have[k] == 0 {
		return false
	}
	w.have[k]--
	return true
}

type arrivals map[time.Time][]Kind

func (w *world) read(t *testing.T, d *datadriven.TestData, until time.Duration) arrivals {
	called := arrivals{}
	w.expect = arrivals{}
	for line := range strings.Lines(d.Input) {
		list := called
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "expect" {
			list = w.expect
			name, rest, _ = strings.Cut(rest, " ")
		}
		args := map[string]string{"n": "1", "every": "0s", "for": "0s"}
		for _, a := range strings.Fields(rest) {
			k, v, _ := strings.Cut(a, "=")
			args[k] = v
		}
		span := func(key string) time.Duration {
			x, err := time.ParseDuration(args[key])
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		at := w.start.Add(span("at"))
		switch name {
		case "busy":
			w.busy = append(w.busy, [2]time.Time{at, at.Add(span("for"))})
			continue
		case "fails":
			w.failing = append(w.failing, [2]time.Time{at, at.Add(span("for"))})
			continue
		}
		n, err := strconv.Atoi(args["n"])
		if err != nil {
			t.Fatal(err)
		}
		for ; at.Before(w.start.Add(until)); at = at.Add(span("every")) {
			for range n {
				list[at] = append(list[at], parseKind(t, name))
			}
			if args["every"] == "0s" {
				break
			}
		}
	}
	return called
}

func (w *world) run(t *testing.T, d *datadriven.TestData) string {
	var until, step time.Duration
	scan := func(key string, to *time.Duration) {
		var text string
		d.ScanArgs(t, key, &text)
		var err error
		if *to, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	scan("until", &until)
	scan("step", &step)
	coming := w.read(t, d, until)
	rows, missed := map[Kind]*strings.Builder{}, map[Kind]*strings.Builder{}
	steps := 0
	for ; w.now.Before(w.start.Add(until)); steps++ {
		misses := map[Kind]int{}
		for end := w.now.Add(step); w.now.Before(end); w.now = w.now.Add(10 * time.Millisecond) {
			for _, k := range w.expect[w.now] {
				w.p.Expected(w.now, k)
			}
			for _, k := range coming[w.now] {
				if !w.cold(k) {
					misses[k]++
				}
			}
			w.work()
		}
		for _, k := range sorted(w.p.kinds) {
			if rows[k] == nil {
				rows[k], missed[k] = &strings.Builder{}, &strings.Builder{}
				rows[k].WriteString(strings.Repeat(" ", steps))
				missed[k].WriteString(strings.Repeat(" ", steps))
			}
			rows[k].WriteByte(digit(w.have[k], '.'))
			missed[k].WriteByte(digit(misses[k], ' '))
		}
	}
	var out strings.Builder
	for _, k := range sorted(rows) {
		fmt.Fprintf(&out, "%-12s %s\n", fmt.Sprintf("%s/%d", k.Language, k.MemoryMB), strings.TrimRight(rows[k].String(), " "))
		if m := strings.TrimRight(missed[k].String(), " "); m != "" {
			fmt.Fprintf(&out, "%-12s %s\n", "  none for", m)
		}
	}
	return out.String()
}

func digit(n int, none byte) byte {
	switch {
	case n == 0:
		return none
	case n < 10:
		return byte('0' + n)
	case n < 36:
		return byte('a' + n - 10)
	}
	return '+'
}

// TestPrewarmBounds: whatever happens, no plan breaks a bound, and plans come to rest.
func TestPrewarmBounds(t *testing.T) {
	kinds := []Kind{{"nodejs", 128}, {"nodejs", 512}, {"python", 0}}
	rapid.Check(t, func(t *rapid.T) {
		cfg := PrewarmConfig{Floor: rapid.IntRange(0, 3).Draw(t, "floor"), BudgetMB: rapid.IntRange(0, 400).Draw(t, "budget")}
		w := &world{p: NewPrewarm(cfg), now: time.Unix(1_000_000, 0), have: map[Kind]int{}, freeMB: rapid.IntRange(0, 1000).Draw(t, "free")}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 400_000).Draw(t, "ms")) * time.Millisecond)
			if rapid.Bool().Draw(t, "want") {
				w.cold(rapid.SampledFrom(kinds).Draw(t, "kind"))
			}
			for turns := 0; ; turns++ {
				if turns > 200 {
					t.Fatal("the plans do not come to rest")
				}
				plan, before := w.p.Plan(w.now, w.node()), w.node()
				if plan.Stop != nil {
					if w.have[*plan.Stop] == 0 {
						t.Fatalf("stops one of %v, of which there is none", *plan.Stop)
					}
					w.have[*plan.Stop]--
					continue
				}
				if plan.Make == nil {
					break
				}
				if cfg.Floor == 0 || before.UsedMB+oneMB > cfg.BudgetMB || before.FreeMB < oneMB {
					t.Fatalf("makes one of %v on %+v", *plan.Make, before)
				}
				w.have[*plan.Make]++
			}
		}
	})
}
