package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/sandbox"
)

// disk is a machine with disk for so many sandboxes. It says so, and refuses more.
type disk struct {
	*preparer
	places  atomic.Int32
	refused atomic.Int32
	shrinks atomic.Bool // a place is lost when the next sandbox is about to start
	// making, if set, is called before a blank sandbox is made; removing before one is
	// removed.
	making   func(context.Context)
	removing func()
}

func diskFor(places int32) *disk {
	d := &disk{preparer: &preparer{machine: &machine{script: echo}}}
	d.places.Store(places)
	return d
}

var errDiskFull = hearth.Errorf(hearth.ErrCapacity, "the disk is full")

func (d *disk) Room(int) (sandbox.Room, error) {
	return sandbox.Room{NeedMB: 568, TotalMB: 568*int(d.places.Load()) + 567, Full: errDiskFull}, nil
}

func (d *disk) full() error {
	d.machine.mu.Lock()
	defer d.machine.mu.Unlock()
	if d.running >= int(d.places.Load()) {
		d.refused.Add(1)
		return errDiskFull
	}
	return nil
}

func (d *disk) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if d.shrinks.Swap(false) {
		d.places.Add(-1)
	}
	if err := d.full(); err != nil {
		return nil, err
	}
	return d.preparer.Start(ctx, spec)
}

func (d *disk) StartBlank(ctx context.Context, spec sandbox.Spec) (sandbox.Blank, error) {
	if d.making != nil {
		d.making(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.full(); err != nil {
		return nil, err
	}
	b, err := d.preparer.StartBlank(ctx, spec)
	if err != nil || d.removing == nil {
		return b, err
	}
	return &slowToGo{b, d.removing}, nil
}

type slowToGo struct {
	sandbox.Blank
	removing func()
}

func (b *slowToGo) Destroy(ctx context.Context) error {
	b.removing()
	return b.Blank.Destroy(ctx)
}

// alone is a version that no sandbox that waits will do for: NODE_OPTIONS is read at the
// start of the interpreter.
func alone(name string) *hearth.Version {
	return version(name, hearth.Exclusive, func(c *hearth.Config) { c.Env = map[string]string{"NODE_OPTIONS": "-r x"} })
}

func onDisk(t *testing.T, d *disk) *Worker {
	return newWorker(t, d.machine, func(c *Config) { c.Driver, c.MemoryMB = d, 1<<20 })
}

func (w *Worker) mustServe(t *testing.T, v *hearth.Version) {
	t.Helper()
	if res, err := w.call(v); err != nil || string(res.Payload) != `"ok"` {
		t.Errorf("%s: %+v, %v", v.Function, res, err)
	}
}

// TestDiskOfIdleInstances: they give it to others, least recently used first, and no more
// of them than are needed.
func TestDiskOfIdleInstances(t *testing.T) {
	d := diskFor(3)
	w := onDisk(t, d)
	for _, name := range []string{"a", "b", "c", "a", "new"} {
		w.mustServe(t, alone(name))
	}
	var left []string
	for _, i := range w.Instances("") {
		left = append(left, i.Function)
	}
	if slices.Sort(left); !slices.Equal(left, []string{"a", "c", "new"}) {
		t.Errorf("left are %v, want all but b", left)
	}
	if n := d.refused.Load(); n > 0 {
		t.Errorf("the driver had to refuse %d sandboxes", n)
	}
}

// TestManyMoreThanTheDisk: functions that are called at once all get their turn, and only
// as many instances go as are in the way.
func TestManyMoreThanTheDisk(t *testing.T) {
	const places, functions = 6, 30
	d := diskFor(places)
	w := onDisk(t, d)
	var calls sync.WaitGroup
	for i := range functions {
		calls.Go(func() { w.mustServe(t, alone(fmt.Sprint("f", i))) })
	}
	calls.Wait()
	if s := w.Stats(); s.Evicted != functions-places {
		t.Errorf("%d were evicted, want %d", s.Evicted, functions-places)
	}
	d.machine.mu.Lock()
	defer d.machine.mu.Unlock()
	if n := d.refused.Load(); n > 0 || d.most > places {
		t.Errorf("there were %d at once, and the driver had to refuse %d", d.most, n)
	}
}

// TestDiskOfBusyInstances is theirs: others are refused at once, and in the driver's words.
func TestDiskOfBusyInstances(t *testing.T) {
	d := diskFor(1)
	running, end := make(chan struct{}), make(chan struct{})
	d.script = func(b *box) {
		b.serve(func(f frame) {
			close(running)
			<-end
			b.send(frame{kind: frameResult, stream: f.stream, body: []byte(`"ok"`)})
		})
	}
	w := onDisk(t, d)
	var calls sync.WaitGroup
	calls.Go(func() { w.mustServe(t, alone("busy")) })
	<-running
	if _, err := w.call(alone("other")); err != error(errDiskFull) {
		t.Errorf("beside a busy one: %v", err)
	}
	close(end)
	calls.Wait()
}

// TestDiskFilledByOthers: what was reserved is not there any more; another idle instance
// makes room, and when there is none the driver's refusal stands.
func TestDiskFilledByOthers(t *testing.T) {
	d := diskFor(3)
	w := onDisk(t, d)
	w.mustServe(t, alone("a"))
	w.mustServe(t, alone("b"))
	d.shrinks.Store(true)
	w.mustServe(t, alone("c"))
	if n := d.refused.Load(); n != 1 || len(w.Instances("")) != 2 {
		t.Errorf("%d refusals, and %d instances are left; want 1 and 2", n, len(w.Instances("")))
	}
	d.places.Store(0)
	if _, err := w.call(alone("d")); hearth.CodeOf(err) != hearth.ErrCapacity {
		t.Errorf("without any disk: %v", err)
	}
	d.places.Store(3)
	w.mustServe(t, alone("d"))
}

// TestPrewarmedLeavesTheDiskWhenItHasGone: one that waits is being removed for a function
// when another comes, which has to wait for the first.
func TestPrewarmedLeavesTheDiskWhenItHasGone(t *testing.T) {
	d := diskFor(1)
	removing, gone := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.removing = func() { once.Do(func() { close(removing) }); <-gone }
	w := prewarming(t, d.preparer, func(c *Config) { c.Driver = d }, version("f", hearth.Exclusive, nil))
	await(t, "one waits", func() bool { return w.ready() == 1 })
	var calls sync.WaitGroup
	calls.Go(func() { w.mustServe(t, alone("a")) })
	<-removing
	calls.Go(func() { w.mustServe(t, alone("b")) })
	// One start of a, and b has been refused and has asked again.
	await(t, "both wait", func() bool { s := w.Stats(); return s.Waiting == 2 && s.Starts >= 3 || s.Refused > 0 })
	close(gone)
	calls.Wait()
}

// TestPrewarmedIsNotMadeFirst: one that is just being made is given up for a function.
func TestPrewarmedIsNotMadeFirst(t *testing.T) {
	d := diskFor(1)
	making := make(chan struct{}, 100)
	d.making = func(ctx context.Context) { making <- struct{}{}; <-ctx.Done() }
	w := prewarming(t, d.preparer, func(c *Config) { c.Driver = d }, version("f", hearth.Exclusive, nil))
	<-making
	w.mustServe(t, alone("a"))
	if n := d.refused.Load(); n > 0 {
		t.Errorf("the driver had to refuse %d sandboxes", n)
	}
}

// TestPrewarmedLeavesTheDiskToMany: functions that start at once find room where sandboxes
// wait, are being made, or are just being removed for another of them.
func TestPrewarmedLeavesTheDiskToMany(t *testing.T) {
	for range 20 {
		d := diskFor(2)
		w := prewarming(t, d.preparer, func(c *Config) { c.Driver = d }, version("f", hearth.Exclusive, nil))
		await(t, "one waits", func() bool { return w.ready() >= 1 })
		var calls sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			calls.Go(func() { w.mustServe(t, alone(name)) })
		}
		calls.Wait()
		if n := d.refused.Load(); n > 0 {
			t.Errorf("the driver had to refuse %d sandboxes", n)
		}
	}
}

// TestPrewarmedLeavesTheDisk: where there is no room for another /tmp, as many that wait
// go as are in the way, and no other is made.
func TestPrewarmedLeavesTheDisk(t *testing.T) {
	d := diskFor(3)
	v := version("f", hearth.Exclusive, nil)
	w := prewarming(t, d.preparer, func(c *Config) { c.Driver = d }, v)
	w.mustServe(t, v)
	await(t, "two wait", func() bool { return w.ready() == 2 })
	w.mustServe(t, version("other", hearth.Exclusive, func(c *hearth.Config) { c.MemoryMB = 128 }))
	if n := w.ready(); n != 1 {
		t.Errorf("%d wait, want the one that was not in the way", n)
	}
}
