package worker

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/events"
	"hearth/internal/hearth"
)

// await waits until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(testPatience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, testPatience)
		}
	}
}

func (m *machine) boxes() []*box {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*box(nil), m.made...)
}

func (w *Worker) states(function string) string {
	var words []string
	for _, i := range w.Instances(function) {
		words = append(words, string(i.State))
	}
	return strings.Join(words, " ")
}

func TestIdleInstancesStandStill(t *testing.T) {
	m := &machine{script: echo}
	ring := events.New()
	w := newWorker(t, m, func(c *Config) { c.FreezeAfter, c.Events = 10*time.Millisecond, ring })
	v := version("f", hearth.Concurrent, nil)
	for i := range 3 {
		if res, err := w.call(v); err != nil || string(res.Payload) != `"ok"` || res.Cold != (i == 0) {
			t.Fatalf("call %d: %+v, %v", i, res, err)
		}
		await(t, "frozen", func() bool { return m.boxes()[0].frozen() })
		if got := w.states("f"); got != string(hearth.Frozen) {
			t.Errorf("its state is %q", got)
		}
	}
	counts := func() map[string]int {
		kinds := map[string]int{}
		for _, e := range ring.Since(0, events.Filter{}) {
			kinds[e.Kind]++
		}
		return kinds
	}
	await(t, "told", func() bool { return counts()["instance.frozen"] >= 3 }) // after it stands still
	if b := m.boxes()[0]; b.freezes.Load() != 3 || b.thaws.Load() != 2 {
		t.Errorf("frozen %d times and thawed %d times", b.freezes.Load(), b.thaws.Load())
	}
	if s := w.Stats(); s.FrozenNow != 1 || s.Frozen != 3 || s.Thawed != 2 {
		t.Errorf("%+v", s)
	}
	if kinds := counts(); kinds["instance.frozen"] != 3 || kinds["instance.thawed"] != 2 {
		t.Errorf("events: %v", kinds)
	}
}

// Exit hooks run: a frozen instance hears that it must go.
func TestAFrozenInstanceLeaves(t *testing.T) {
	left := make(chan bool, 1)
	m := &machine{script: func(b *box) {
		echo(b)
		left <- !b.frozen()
	}}
	w := newWorker(t, m, func(c *Config) { c.FreezeAfter = time.Millisecond })
	if _, err := w.call(version("f", hearth.Exclusive, nil)); err != nil {
		t.Fatal(err)
	}
	await(t, "frozen", func() bool { return m.boxes()[0].frozen() })
	w.DrainUnless("f", func(string) bool { return false })
	await(t, "gone", func() bool { return w.states("f") == "" })
	if !<-left {
		t.Error("it went without being thawed")
	}
}

// Invocations that come while an instance freezes are not lost and do not wait. The
// clock that decides about freezing runs faster than it should, after every call.
func TestFreezingRaces(t *testing.T) {
	m := &machine{script: echo}
	w := newWorker(t, m, func(c *Config) { c.FreezeAfter, c.QueueTimeout = time.Nanosecond, 24*time.Hour })
	began := time.Now()
	var looks atomic.Int64
	for _, model := range []hearth.Model{hearth.Exclusive, hearth.Concurrent} {
		v := version(string(model), model, func(c *hearth.Config) { c.KeepAlive = hearth.MaxKeepAlive })
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				for range 100 {
					from := time.Now()
					res, err := w.call(v)
					if took := time.Since(from); err != nil || res.FunctionError != "" || took > testPatience {
						t.Errorf("after %v: %+v, %v", took, res, err)
						return
					}
					w.carryOut(w.pool.Expire(began.Add(time.Duration(looks.Add(1)) * 101 * time.Millisecond)))
				}
			})
		}
		callers.Wait()
	}
	s := w.Stats()
	t.Logf("frozen %d times, thawed %d times", s.Frozen, s.Thawed)
	if s.Thawed < 20 {
		t.Errorf("only %d times was it thawed: the test shows little", s.Thawed)
	}
}

func TestNoFreeze(t *testing.T) {
	m := &machine{script: echo}
	w := newWorker(t, m, func(c *Config) { c.FreezeAfter = time.Millisecond })
	awake := version("awake", hearth.Exclusive, func(c *hearth.Config) { c.NoFreeze = true })
	for _, v := range []*hearth.Version{awake, version("f", hearth.Exclusive, nil)} {
		if _, err := w.call(v); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "frozen", func() bool { return w.states("f") == string(hearth.Frozen) })
	if got := w.states("awake"); got != string(hearth.Idle) {
		t.Errorf("its state is %q", got)
	}
}

func TestProvisionedInstances(t *testing.T) {
	m := &machine{script: echo}
	w := newWorker(t, m, func(c *Config) { c.FreezeAfter = time.Hour })
	v := version("f", hearth.Concurrent, nil) // ten share an instance
	provide := func(executions int) {
		w.Provision("f", []hearth.ProvisionedVersion{{Version: v, Executions: executions}})
	}
	ready := func(available int) {
		t.Helper()
		await(t, "ready", func() bool { return w.Provisioned(v).Available == available })
	}
	provide(11)
	ready(20)
	if res, err := w.call(v); err != nil || res.Cold {
		t.Errorf("%+v, %v", res, err)
	}
	for _, b := range m.boxes() {
		if init := b.init.Load().(string); !strings.Contains(init, `"AWS_LAMBDA_INITIALIZATION_TYPE":"provisioned-concurrency"`) {
			t.Errorf("an instance does not know that it is provisioned: %s", init)
		}
	}
	m.boxes()[0].exit(m.boxes()[0].how) // by itself
	await(t, "a third", func() bool { return len(m.boxes()) == 3 })
	ready(20)
	w.Provision("f", nil)
	ready(0)
	if got := w.states("f"); got != "idle idle" {
		t.Errorf("without a promise: %s", got)
	}
	for _, i := range w.Instances("f") {
		if i.Provisioned {
			t.Errorf("%s is provisioned still", i.ID)
		}
	}
}

func TestProvisionedFailuresAreTold(t *testing.T) {
	m := &machine{script: echo, refuse: errNoRoot}
	w := newWorker(t, m, nil)
	v := version("f", hearth.Exclusive, nil)
	w.Provision("f", []hearth.ProvisionedVersion{{Version: v, Executions: 2}})
	await(t, "a reason", func() bool { return strings.Contains(w.Provisioned(v).Reason, errNoRoot.Error()) })
	big := version("big", hearth.Exclusive, func(c *hearth.Config) { c.MemoryMB = 4096 })
	w.Provision("big", []hearth.ProvisionedVersion{{Version: big, Executions: 1}})
	await(t, "a reason", func() bool { return strings.Contains(w.Provisioned(big).Reason, "needs 4096 MB") })
	if _, err := w.invoke(&hearth.Invocation{Version: big}); hearth.CodeOf(err) != hearth.ErrCapacity {
		t.Errorf("invoked: %v", err)
	}
}
