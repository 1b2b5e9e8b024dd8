package worker

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/policy"
	"hearth/internal/sandbox"
)

// preparer is a machine that makes blank sandboxes, too.
type preparer struct {
	*machine
	refuse error // by Specialise

	mu       sync.Mutex
	assigned []sandbox.Assignment
}

type blankBox struct {
	*box
	p *preparer
}

func (p *preparer) StartBlank(ctx context.Context, spec sandbox.Spec) (sandbox.Blank, error) {
	if spec.CodeDir != "" {
		return nil, errors.New("a blank sandbox with code")
	}
	sb, err := p.machine.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return &blankBox{sb.(*box), p}, nil
}

func (b *blankBox) Specialise(_ context.Context, a sandbox.Assignment) error {
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	b.p.assigned = append(b.p.assigned, a)
	return b.p.refuse
}

func (p *preparer) assignments() []sandbox.Assignment {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.assigned)
}

// prewarming makes a worker that keeps sandboxes ready, of a floor of two, for the
// versions that are deployed.
func prewarming(t *testing.T, p *preparer, edit func(*Config), deployed ...*hearth.Version) *Worker {
	t.Helper()
	w := newWorker(t, p.machine, func(c *Config) {
		c.Driver = p
		c.Prewarming = Prewarming{
			Floor:    2,
			Deployed: func() iter.Seq[*hearth.Version] { return slices.Values(deployed) },
			Busy:     func(context.Context) bool { return false },
		}
		if edit != nil {
			edit(c)
		}
	})
	w.Prewarm()
	return w
}

func (w *Worker) ready() (n int) {
	for _, p := range w.Prewarmed() {
		n += p.Ready
	}
	return n
}

func TestPrewarmedSandboxServes(t *testing.T) {
	p := &preparer{machine: &machine{script: echo}}
	v := version("f", hearth.Exclusive, nil)
	w := prewarming(t, p, nil, v)
	await(t, "one waits for what is deployed", func() bool { return w.ready() == 1 })
	waiting := p.boxes()[0]
	res, err := w.call(v)
	if err != nil || string(res.Payload) != `"ok"` || !res.Cold {
		t.Fatalf("%+v, %v", res, err)
	}
	if res.Instance != waiting.ID() {
		t.Errorf("instance %s served, but %s was waiting", res.Instance, waiting.ID())
	}
	want := sandbox.Assignment{CodeDir: w.cfg.ShimDir, MemoryMB: 256, CPUs: 256.0 / hearth.MBPerCPU, TmpMB: 512}
	if got := p.assignments(); !slices.Equal(got, []sandbox.Assignment{want}) {
		t.Errorf("it was made %+v, want %+v", got, want)
	}
	if s := w.Stats(); s.ReservedMB != 256 {
		t.Errorf("%d MB are reserved, want those of the function", s.ReservedMB)
	}
	await(t, "two wait for what is in use", func() bool { return w.ready() == 2 })
	if list := w.Prewarmed(); len(list) != 1 || list[0].Language != hearth.LangNode || list[0].MemoryMB != 256 || list[0].UsedMB < list[0].Ready {
		t.Errorf("%+v", list)
	}
}

// TestPrewarmedGoesFirst: an instance that needs the memory gets it from sandboxes that
// wait, before any other instance has to go.
func TestPrewarmedGoesFirst(t *testing.T) {
	p := &preparer{machine: &machine{script: echo}}
	small := version("small", hearth.Exclusive, nil)
	w := prewarming(t, p, nil, small)
	if _, err := w.call(small); err != nil {
		t.Fatal(err)
	}
	await(t, "two wait", func() bool { return w.ready() == 2 })
	rest := version("rest", hearth.Exclusive, func(c *hearth.Config) { c.MemoryMB = 1024 - 256 })
	if _, err := w.call(rest); err != nil {
		t.Fatal(err)
	}
	if n := w.ready(); n != 0 {
		t.Errorf("%d sandboxes still wait on a node that is full", n)
	}
	if n := len(w.Instances("small")); n != 1 {
		t.Errorf("%d instances of the other function are left, want the one", n)
	}
}

// TestPrewarmedOfNoUse: one that cannot become the function's is replaced by one that is
// made from nothing.
func TestPrewarmedOfNoUse(t *testing.T) {
	p := &preparer{machine: &machine{script: echo}, refuse: errNoRoot}
	v := version("f", hearth.Exclusive, nil)
	w := prewarming(t, p, nil, v)
	await(t, "one waits", func() bool { return w.ready() == 1 })
	if res, err := w.call(v); err != nil || string(res.Payload) != `"ok"` {
		t.Fatalf("%+v, %v", res, err)
	}
	if len(p.assignments()) != 1 {
		t.Error("it was never tried")
	}
}

// TestPrewarmedThatEnds is taken for nothing.
func TestPrewarmedThatEnds(t *testing.T) {
	p := &preparer{machine: &machine{script: echo}}
	v := version("f", hearth.Exclusive, nil)
	w := prewarming(t, p, nil, v)
	await(t, "one waits", func() bool { return w.ready() == 1 })
	dead := p.boxes()[0]
	dead.exit(sandbox.Exit{Code: 1})
	res, err := w.call(v)
	if err != nil || string(res.Payload) != `"ok"` || res.Instance == dead.ID() {
		t.Fatalf("%+v, %v", res, err)
	}
	if len(p.assignments()) != 0 {
		t.Error("a sandbox that had ended was specialised")
	}
}

// TestDeploymentIsExpected: what is deployed while the node runs will be called.
func TestDeploymentIsExpected(t *testing.T) {
	p := &preparer{machine: &machine{script: echo}}
	var mu sync.Mutex
	var deployed []*hearth.Version
	w := prewarming(t, p, func(c *Config) {
		c.MemoryMB = 8192
		c.Prewarming.Deployed = func() iter.Seq[*hearth.Version] {
			mu.Lock()
			defer mu.Unlock()
			return slices.Values(slices.Clone(deployed))
		}
	})
	mu.Lock()
	deployed = []*hearth.Version{version("old", hearth.Exclusive, nil)}
	mu.Unlock()
	w.Redeployed()
	await(t, "some wait", func() bool { return w.ready() > 0 })
	mu.Lock()
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		deployed = append(deployed, version(name, hearth.Exclusive, nil))
	}
	mu.Unlock()
	w.Redeployed()
	await(t, "five wait", func() bool { return w.ready() >= 5 })
}

// TestKinds: functions whose environment an interpreter reads at its start need one of
// their own.
func TestKinds(t *testing.T) {
	of := func(runtime string, env ...string) *hearth.Version {
		return version("f", hearth.Exclusive, func(c *hearth.Config) {
			c.Runtime, c.Env = runtime, map[string]string{}
			for _, name := range env {
				c.Env[name] = "x"
			}
		})
	}
	for _, c := range []struct {
		v    *hearth.Version
		kind policy.Kind
		ok   bool
	}{
		{of("nodejs20.x"), policy.Kind{Language: hearth.LangNode, MemoryMB: 256}, true},
		{of("python3.11"), policy.Kind{Language: hearth.LangPython}, true},
		{of("nodejs20.x", "NODE_ENV", "TABLE", "TZ", "NODE_PATH"), policy.Kind{Language: hearth.LangNode, MemoryMB: 256}, true},
		{of("nodejs20.x", "NODE_OPTIONS"), policy.Kind{}, false},
		{of("python3.11", "LD_LIBRARY_PATH"), policy.Kind{}, false},
		{of("python3.11", "LC_ALL"), policy.Kind{}, false},
		{of("provided.al2023"), policy.Kind{}, false},
	} {
		if kind, ok := kindOf(c.v); ok != c.ok || ok && kind != c.kind {
			t.Errorf("%s with %v: %+v, %v; want %+v, %v", c.v.Config.Runtime, c.v.Config.Env, kind, ok, c.kind, c.ok)
		}
	}
}
