package e2e

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"
)

// burstSource is the function of seed 000 in small: it says which instance served it
// and how many invocations that instance has seen.
const burstSource = `
let invocations = 0, inFlight = 0, most = 0;
exports.handler = async (event) => {
  const invocation = ++invocations;
  most = Math.max(most, ++inFlight);
  await new Promise((resolve) => setTimeout(resolve, event.wait ?? 1000));
  inFlight--;
  return { instance: process.env.HEARTH_INSTANCE_ID, invocation, most };
};`

type served struct {
	Instance   string
	Invocation int
	Most       int
}

// burst makes n calls at once and returns what each was told.
func (p *platform) burst(name string, n int) []served { return p.burstOf(name, n, "{}") }

func (p *platform) burstOf(name string, n int, payload string) []served {
	p.t.Helper()
	all := make([]served, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a := p.invoke(name, payload)
			if a.status != 200 || a.failed {
				p.t.Errorf("call %d: %d %s", i, a.status, a.payload)
				return
			}
			if err := json.Unmarshal([]byte(a.payload), &all[i]); err != nil {
				p.t.Errorf("call %d: %v: %s", i, err, a.payload)
			}
		})
	}
	wg.Wait()
	return all
}

func TestTenCallsShareOneInstance(t *testing.T) {
	p := up(t)
	p.deploy(node("shared", burstSource, map[string]any{"model": "concurrent"}))
	begin := time.Now()
	calls := p.burst("shared", 10)
	took := time.Since(begin)
	var numbers []int
	for _, c := range calls {
		numbers = append(numbers, c.Invocation)
		if c.Instance != calls[0].Instance {
			t.Errorf("two instances served: %s and %s", c.Instance, calls[0].Instance)
		}
	}
	slices.Sort(numbers)
	if want := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(numbers, want) {
		t.Errorf("invocation numbers %v, want %v", numbers, want)
	}
	if took > 9*time.Second {
		t.Errorf("ten calls of one second each took %v; they did not share", took)
	}
	if n := len(p.instances("shared")); n != 1 {
		t.Errorf("%d instances live, want 1", n)
	}
}

func TestTheEleventhCallStartsASecondInstance(t *testing.T) {
	p := up(t)
	p.deploy(node("shared", burstSource, map[string]any{"model": "concurrent", "maxConcurrency": 10}))
	p.burst("shared", 1)
	most := 0
	for _, c := range p.burst("shared", 11) {
		most = max(most, c.Most)
	}
	if most > 10 {
		t.Errorf("%d invocations at once in one instance, want at most 10", most)
	}
	if n := len(p.instances("shared")); n != 2 {
		t.Errorf("%d instances live, want 2", n)
	}
}

func TestExclusiveGivesEachCallAnInstance(t *testing.T) {
	p := up(t)
	p.deploy(node("alone", burstSource, map[string]any{"model": "exclusive", "timeout": "30s"}))
	var seen map[string]bool
	// Long enough that no slot becomes free before the last instance has started: late
	// binding would use it.
	for _, wait := range []string{`{"wait":8000}`, `{"wait":25000}`} {
		seen = map[string]bool{}
		for _, c := range p.burstOf("alone", 10, wait) {
			seen[c.Instance] = true
			if c.Most != 1 {
				t.Errorf("instance %s had %d invocations at once", c.Instance, c.Most)
			}
		}
		if len(seen) == 10 {
			break
		}
		t.Logf("%d instances served ten calls of %s", len(seen), wait)
		p.deploy(node("alone", burstSource, map[string]any{"model": "exclusive", "timeout": "40s", "memoryMB": 250})) // all anew
	}
	if len(seen) != 10 {
		t.Errorf("%d instances served ten calls at once, want 10", len(seen))
	}
	// They are warm now: a second burst starts none.
	for _, c := range p.burst("alone", 10) {
		if !seen[c.Instance] {
			t.Errorf("instance %s is new", c.Instance)
		}
	}
}

func TestWarmCallsGoToTheHottestInstance(t *testing.T) {
	p := up(t)
	p.deploy(node("alone", burstSource, nil))
	p.burst("alone", 3)
	first := p.burst("alone", 1)[0]
	for range 3 {
		if again := p.burst("alone", 1)[0]; again.Instance != first.Instance {
			t.Errorf("the call went to %s, the hottest is %s", again.Instance, first.Instance)
		}
	}
}
