package meter

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ms is an execution, in milliseconds of virtual time.
func ms(start, end int) Execution {
	return Execution{epoch.Add(time.Duration(start) * time.Millisecond), epoch.Add(time.Duration(end) * time.Millisecond)}
}

// used is the usage of an instance with these executions, started at the epoch.
func used(memoryMB int, init time.Duration, executions ...Execution) Usage {
	i := NewInstance(memoryMB, epoch, init)
	i.Replay(executions)
	return i.Usage(epoch.Add(time.Hour), Reading{})
}

func bill(t *testing.T, rule string, u Usage) Bill {
	t.Helper()
	r, ok := Find(rule)
	if !ok {
		t.Fatalf("no rule %s", rule)
	}
	return r.Bill(u)
}

func wantAbout(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// The worked example of seed 001: three overlapping executions, 1 GB, 1 s each, from
// the first start to the last end 1.5 s. Lambda gives each an instance of its own.
func TestWorkedExampleOfSeed001(t *testing.T) {
	three := []Execution{ms(0, 1000), ms(250, 1250), ms(500, 1500)}
	var lambda2018 Bill
	for _, e := range three {
		lambda2018 = lambda2018.Add(bill(t, "lambda-2018", used(1024, 0, e)))
	}
	wantAbout(t, "lambda-2018 GB-s", lambda2018.GBSeconds, 3)
	shared := used(1024, 0, three...)
	wantAbout(t, "azure GB-s", bill(t, "azure-consumption", shared).GBSeconds, 1.5)
	wantAbout(t, "binaris s", bill(t, "binaris", shared).Seconds, 1.5)
}

// "If 10 parallel executions complete within 10 ms, the total charge is 100 times less
// compared to AWS Lambda" (seed 001).
func TestTenWithinTenMilliseconds(t *testing.T) {
	var ten []Execution
	var lambda2018 Bill
	for range 10 {
		ten = append(ten, ms(0, 10))
		lambda2018 = lambda2018.Add(bill(t, "lambda-2018", used(1024, 0, ms(0, 10))))
	}
	binaris := bill(t, "binaris", used(1024, 0, ten...))
	wantAbout(t, "ratio", lambda2018.GBSeconds/binaris.GBSeconds, 100)
}

func TestRules(t *testing.T) {
	i := NewInstance(512, epoch, 200*time.Millisecond)
	i.Replay([]Execution{
		{epoch.Add(200 * time.Millisecond), epoch.Add(300*time.Millisecond + time.Microsecond)},
		{epoch.Add(2 * time.Second), epoch.Add(2*time.Second + 30*time.Millisecond)},
	})
	u := i.Usage(epoch.Add(time.Hour), Reading{CPU: 250 * time.Millisecond, PeakMB: 129})
	for _, c := range []struct {
		rule                    string
		gbSeconds, seconds, cpu float64
	}{
		{"lambda-2018", 0.15, 0.3, 0},             // 200 + 100 ms
		{"lambda", 0.3310 / 2, 0.331, 0},          // 200 init + 101, and 30
		{"azure-consumption", 0.2 * 0.25, 0.2, 0}, // 100 ms twice, nearly; 256 MB
		{"binaris", 0.131, 0.131, 0},              // 101 + 30 ms
		{"active-cpu", 2.03 / 2, 2.03, 0.25},      // from the start to the last end
	} {
		b := bill(t, c.rule, u)
		tolerance := 0.0
		if c.rule == "azure-consumption" {
			tolerance = 1e-6 // the microsecond over 100 ms
		}
		for what, pair := range map[string][2]float64{"GB-s": {b.GBSeconds, c.gbSeconds}, "s": {b.Seconds, c.seconds}, "CPU s": {b.CPUSeconds, c.cpu}} {
			if math.Abs(pair[0]-pair[1]) > tolerance+1e-9 {
				t.Errorf("%s: %s is %v, want %v", c.rule, what, pair[0], pair[1])
			}
		}
		if b.Requests != 2 {
			t.Errorf("%s: %d requests", c.rule, b.Requests)
		}
	}
}

// "A single execution can't be less than 0.0125 GB-seconds" (seed 001).
func TestAzureMinimum(t *testing.T) {
	i := NewInstance(128, epoch, 0)
	i.Replay([]Execution{ms(0, 1)})
	wantAbout(t, "GB-s", bill(t, "azure-consumption", i.Usage(epoch, Reading{PeakMB: 20})).GBSeconds, 0.0125)
}

func TestCost(t *testing.T) {
	b := Bill{GBSeconds: 2, CPUSeconds: 3, Requests: 5}
	wantAbout(t, "cost", b.Cost(Rates{PerGBSecond: 10, PerCPUSecond: 100, PerRequest: 1}), 325)
}

func TestRunningExecutionsShowInWindows(t *testing.T) {
	i := NewInstance(128, epoch, 0)
	if u := i.Usage(epoch.Add(time.Second), Reading{}); u.Merged != 0 || u.Windows != 0 || u.Life != 0 {
		t.Errorf("before the first: %+v", u)
	}
	i.Begin(epoch.Add(time.Second))
	u := i.Usage(epoch.Add(3*time.Second), Reading{})
	if u.Merged != 2*time.Second || u.Life != 3*time.Second || u.Requests != 0 {
		t.Errorf("while running: %+v", u)
	}
	i.End(epoch.Add(time.Second), epoch.Add(4*time.Second))
	u = i.Usage(epoch.Add(time.Hour), Reading{})
	if u.Merged != 3*time.Second || u.Life != 4*time.Second || u.Requests != 1 {
		t.Errorf("afterwards: %+v", u)
	}
}

func executions(t *rapid.T) []Execution {
	var all []Execution
	for range rapid.IntRange(1, 30).Draw(t, "n") {
		start := rapid.IntRange(0, 2000).Draw(t, "start")
		all = append(all, ms(start, start+rapid.IntRange(0, 300).Draw(t, "length")))
	}
	return all
}

// naiveMerged counts the milliseconds in which something ran.
func naiveMerged(all []Execution) (merged time.Duration) {
	for m := range 3000 {
		from, to := ms(m, m+1).Start, ms(m, m+1).End
		for _, e := range all {
			if !e.Start.After(from) && !e.End.Before(to) {
				merged += time.Millisecond
				break
			}
		}
	}
	return merged
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := executions(t)
		u := used(256, 0, all...)
		if want := naiveMerged(all); u.Merged != want {
			t.Fatalf("merged %v, want %v", u.Merged, want)
		}
		if u.Merged > u.Sum || u.MergedBy1ms > u.By1ms || u.MergedMin < u.Merged || u.By1ms > u.By100ms || u.Merged > u.Life {
			t.Fatalf("out of proportion: %+v", u)
		}
		if u.Requests != uint64(len(all)) || u.Windows == 0 || u.Windows > u.Requests {
			t.Fatalf("%d executions: %+v", len(all), u)
		}
		shuffled := append([]Execution(nil), all...)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
		if v := used(256, 0, shuffled...); v != u {
			t.Fatalf("in another order %+v, was %+v", v, u)
		}
		// One more execution never makes a bill smaller.
		start := rapid.IntRange(0, 2000).Draw(t, "another")
		more := used(256, 0, append(shuffled, ms(start, start+rapid.IntRange(0, 300).Draw(t, "its length")))...)
		for _, r := range Rules() {
			// Azure's minimum may: a window that bridges two short ones replaces two minima.
			if r.Name != "azure-consumption" && r.Bill(more).GBSeconds < r.Bill(u).GBSeconds-1e-12 {
				t.Fatalf("%s: %v, then %v with one more", r.Name, r.Bill(u), r.Bill(more))
			}
		}
	})
}

func TestMeteringAllocatesNothing(t *testing.T) {
	i := NewInstance(128, epoch, 0)
	if got := testing.AllocsPerRun(1000, func() {
		i.Begin(epoch)
		i.End(epoch, epoch)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func ExampleRules() {
	i := NewInstance(1024, epoch, 0)
	i.Replay([]Execution{ms(0, 1000), ms(250, 1250), ms(500, 1500)})
	u := i.Usage(epoch.Add(2*time.Second), Reading{CPU: 30 * time.Millisecond})
	for _, r := range Rules() {
		b := r.Bill(u)
		fmt.Printf("%-18s %.3f GB-s  %.3f CPU-s  %d requests\n", r.Name, b.GBSeconds, b.CPUSeconds, b.Requests)
	}
	// Output:
	// lambda-2018        3.000 GB-s  0.000 CPU-s  3 requests
	// lambda             3.000 GB-s  0.000 CPU-s  3 requests
	// azure-consumption  1.500 GB-s  0.000 CPU-s  3 requests
	// binaris            1.500 GB-s  0.000 CPU-s  3 requests
	// active-cpu         1.500 GB-s  0.030 CPU-s  3 requests
}
