package pool

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/hearth"
)

func TestGroupIsSharedByEqualVersions(t *testing.T) {
	p := New(Config{MemoryMB: 1024})
	a := p.Group(version("f", hearth.Exclusive, 1, 128))
	if b := p.Group(version("f", hearth.Exclusive, 1, 128)); a != b {
		t.Error("two groups for one version")
	}
	other := version("f", hearth.Exclusive, 1, 128)
	other.Identity = "f@2"
	if b := p.Group(other); a == b {
		t.Error("one group for two versions")
	}
}

func TestDrainedWaitersMoveToTheSuccessor(t *testing.T) {
	p := New(Config{MemoryMB: 1024})
	old := p.Group(version("f", hearth.Exclusive, 1, 128))
	v2 := version("f", hearth.Exclusive, 1, 128)
	v2.Identity = "f@2"
	var w Waiter
	if _, start, err := old.Acquire(epoch, &w); !start || err != nil {
		t.Fatal(start, err)
	}
	_, moved := old.Drain(epoch)
	if len(moved) != 1 || moved[0] != &w {
		t.Fatalf("moved %v", moved)
	}
	if w.Abandon() {
		t.Error("abandoned while on the way")
	}
	if _, _, err := old.Acquire(epoch, new(Waiter)); !errors.Is(err, ErrClosed) {
		t.Errorf("a drained group answers %v", err)
	}
	if _, start, err := p.Group(v2).Acquire(epoch, &w); !start || err != nil {
		t.Fatal(start, err)
	}
	if !w.Abandon() {
		t.Error("could not abandon the new queue")
	}
	if _, _, err := p.Reserve(old, Disk{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Reserve for a drained group: %v", err)
	}
}

func TestStartErrorCarriesTheDocument(t *testing.T) {
	p := New(Config{MemoryMB: 1024})
	g := p.Group(version("f", hearth.Exclusive, 1, 128))
	if _, start, _ := g.Acquire(epoch, new(Waiter)); !start {
		t.Fatal("no start")
	}
	res, _, err := p.Reserve(g, Disk{})
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no such module")
	inst := g.Starting(epoch, "i", nil, res)
	out := inst.StartFailed(epoch, Failure{Doc: []byte(`{"errorType":"X"}`), Err: cause})
	if len(out.Fail) != 1 || !out.Destroy {
		t.Fatalf("%+v", out)
	}
	_, _, refused := g.Acquire(epoch.Add(time.Millisecond), new(Waiter))
	for _, err := range []error{out.Err, refused} {
		var e *StartError
		if !errors.As(err, &e) || !errors.Is(err, cause) || string(e.Doc) != `{"errorType":"X"}` || !e.Next.Equal(epoch.Add(time.Second)) {
			t.Errorf("got %#v", err)
		}
	}
	if again := inst.StartFailed(epoch, Failure{Err: cause}); again.Destroy || again.Fail != nil {
		t.Errorf("failed twice: %+v", again)
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second,
		7: time.Minute, 8: time.Minute, 1000: time.Minute,
	} {
		if got := backoff(failures); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
	}
}

func TestLosingAStartingInstanceIsAFailedStart(t *testing.T) {
	p := New(Config{MemoryMB: 1024})
	g := p.Group(version("f", hearth.Exclusive, 1, 128))
	if _, start, _ := g.Acquire(epoch, new(Waiter)); !start {
		t.Fatal("no start")
	}
	res, _, _ := p.Reserve(g, Disk{})
	out := g.Starting(epoch, "i", nil, res).Lost(epoch, hearth.EndCrashed)
	var e *StartError
	if len(out.Fail) != 1 || !out.Destroy || !errors.As(out.Err, &e) {
		t.Errorf("%+v", out)
	}
}

func TestClose(t *testing.T) {
	p := New(Config{MemoryMB: 1024})
	g := p.Group(version("f", hearth.Exclusive, 1, 128))
	inst := startOne(t, p, g, epoch, "a")
	if destroy, _ := p.Close(epoch); len(destroy) != 1 || destroy[0] != inst || inst.Reason() != hearth.EndDrained {
		t.Errorf("destroy %v, %s", destroy, inst.Reason())
	}
	if _, _, err := p.Group(version("new", hearth.Exclusive, 1, 128)).Acquire(epoch, new(Waiter)); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed pool answers %v", err)
	}
	if infos := p.Snapshot(); len(infos) != 1 || infos[0].State != hearth.Dead {
		t.Errorf("%+v", infos)
	}
	inst.Reservation().Release()
	if s := p.Stats(); s.ReservedMB != 0 || s.Instances != 0 {
		t.Errorf("%+v", s)
	}
}

// caller plays many workers at once, to be run with the race detector.
type caller struct {
	t       *testing.T
	p       *Pool
	running sync.WaitGroup // starts under way
}

// body stands for a live instance: it counts who is inside.
type body struct{ inside atomic.Int32 }

type stressCall struct {
	Waiter
	answer chan Lease // the zero Lease is a refusal
}

func (c *caller) carryOut(g *Group, inst *Instance, out Outcome) {
	for _, grant := range out.Grants {
		grant.Waiter.Value.(*stressCall).answer <- grant.Lease
	}
	for _, w := range out.Fail {
		w.Value.(*stressCall).answer <- Lease{}
	}
	if out.Destroy {
		inst.Reservation().Release()
	}
	for range out.Start {
		c.start(g)
	}
}

func (c *caller) start(g *Group) {
	c.running.Go(func() {
		res, victims, err := c.p.Reserve(g, Disk{})
		if err != nil {
			c.carryOut(g, nil, g.StartAborted(time.Now(), err))
			return
		}
		for _, v := range victims.Instances {
			v.Reservation().Release()
		}
		inst := g.Starting(time.Now(), "i", new(body), res)
		c.carryOut(g, inst, inst.Ready(time.Now()))
	})
}

func (c *caller) serve(g *Group, l Lease, rng *rand.Rand) {
	b := l.Instance.Value.(*body)
	if n := b.inside.Add(1); int(n) > g.Slots() {
		c.t.Errorf("%d invocations in an instance of %d slots", n, g.Slots())
	}
	switch rng.IntN(200) {
	case 0:
		c.carryOut(g, l.Instance, l.Instance.Retire(time.Now(), hearth.EndTimedOut))
	case 1:
		c.carryOut(g, l.Instance, l.Instance.Lost(time.Now(), hearth.EndCrashed))
	}
	b.inside.Add(-1)
	next, destroy := l.Release(time.Now())
	if destroy {
		l.Instance.Reservation().Release()
	}
	if next.Waiter != nil {
		next.Waiter.Value.(*stressCall).answer <- next.Lease
	}
}

func (c *caller) invoke(g *Group, rng *rand.Rand) {
	call := &stressCall{answer: make(chan Lease, 1)}
	call.Value = call
	lease, start, err := g.Acquire(time.Now(), &call.Waiter)
	if err != nil {
		return
	}
	if lease.Instance == nil {
		if start {
			c.start(g)
		}
		if rng.IntN(20) == 0 && call.Abandon() {
			return
		}
		lease = <-call.answer
	}
	if lease.Instance != nil {
		c.serve(g, lease, rng)
	}
}

func TestManyCallersAtOnce(t *testing.T) {
	c := &caller{t: t, p: New(Config{MemoryMB: 500, QueueTimeout: 10 * time.Millisecond})}
	groups := []*Group{
		c.p.Group(version("a", hearth.Exclusive, 1, 100)),
		c.p.Group(version("b", hearth.Concurrent, 5, 200)),
		c.p.Group(version("c", hearth.Concurrent, 2, 300)),
	}
	stop := make(chan struct{})
	var expiry, clients sync.WaitGroup
	expiry.Go(func() {
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case now := <-tick.C:
				exp := c.p.Expire(now)
				for _, r := range exp.Refused {
					r.Waiter.Value.(*stressCall).answer <- Lease{}
				}
				for _, g := range exp.Start {
					c.start(g)
				}
			}
		}
	})
	for n := range 8 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			for range 2000 {
				c.invoke(groups[rng.IntN(len(groups))], rng)
			}
		})
	}
	clients.Wait()
	close(stop)
	expiry.Wait()
	c.running.Wait()
	destroy, moved := c.p.Close(time.Now())
	for _, inst := range destroy {
		inst.Reservation().Release()
	}
	if s := c.p.Stats(); len(moved) != 0 || s.ReservedMB != 0 || s.Instances+s.InFlight+s.Waiting+s.Starting != 0 {
		t.Errorf("left over: %d waiters, %+v", len(moved), s)
	}
}

// hearth.NoKeepAlive: an instance that has nothing to do is reaped at the next look.
func TestNoKeepAlive(t *testing.T) {
	p := New(Config{MemoryMB: 1024})
	v := version("f", hearth.Exclusive, 1, 128)
	v.Config.KeepAlive = hearth.NoKeepAlive
	g := p.Group(v)
	inst := startOne(t, p, g, epoch, "a")
	lease, _, err := g.Acquire(epoch, new(Waiter))
	if err != nil {
		t.Fatal(err)
	}
	if exp := p.Expire(epoch.Add(time.Minute)); len(exp.Reaped) != 0 {
		t.Error("reaped while busy")
	}
	later := epoch.Add(2 * time.Minute) // after the look that busyLook arranges
	lease.Release(later)
	if exp := p.Expire(later); len(exp.Reaped) != 1 || exp.Reaped[0] != inst {
		t.Errorf("reaped %v when idle, want the instance", exp.Reaped)
	}
}

// TestProlong: who waits for an init that is done again is not refused meanwhile.
func TestProlong(t *testing.T) {
	p := New(Config{MemoryMB: 1024, QueueTimeout: 10 * time.Second})
	g := p.Group(version("f", hearth.Exclusive, 1, 128))
	var w Waiter
	if _, start, err := g.Acquire(epoch, &w); !start || err != nil {
		t.Fatal(start, err)
	}
	res, _, err := p.Reserve(g, Disk{})
	if err != nil {
		t.Fatal(err)
	}
	inst := g.Starting(epoch, "i", nil, res)
	if !inst.Prolong(epoch.Add(time.Minute)) {
		t.Fatal("nobody wants it, though somebody waits")
	}
	if exp := p.Expire(epoch.Add(30 * time.Second)); len(exp.Refused) != 0 {
		t.Error("refused while the init was done again")
	}
	if exp := p.Expire(epoch.Add(time.Minute)); len(exp.Refused) != 1 {
		t.Error("waits for ever")
	}
	var first, second Waiter
	if lease, _, err := g.Acquire(epoch.Add(time.Minute), &first); lease.Instance != nil || err != nil {
		t.Fatal(lease, err)
	}
	inst.Prolong(epoch.Add(time.Hour))
	grants := inst.Ready(epoch.Add(time.Minute)).Grants
	if len(grants) != 1 || grants[0].Waiter != &first {
		t.Fatalf("grants %+v", grants)
	}
	if inst.Prolong(epoch.Add(time.Hour)) {
		t.Error("an instance that is ready does not start")
	}
	if lease, _, err := g.Acquire(epoch.Add(time.Minute), &second); lease.Instance != nil || err != nil {
		t.Fatal(lease, err)
	}
	if exp := p.Expire(epoch.Add(time.Minute + 10*time.Second)); len(exp.Refused) != 1 {
		t.Error("who waits for a slot is refused as ever, once the instance is ready")
	}
	grants[0].Lease.Release(epoch.Add(2 * time.Minute))
	g.Drain(epoch.Add(2 * time.Minute))
	inst.Lost(epoch.Add(2*time.Minute), hearth.EndDrained)
	res.Release()
}
