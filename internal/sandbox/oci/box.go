package oci

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"syscall"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/cgroup"
	"hearth/internal/sandbox/child"
	"hearth/internal/sandbox/network"
	"hearth/internal/sandbox/rootfs"
	"hearth/internal/sandbox/scratch"
)

// box is one sandbox, from the moment its id is taken until everything is gone. Its
// parts are made in the order of the fields by start and removed by Destroy, which
// copes with any of them missing: a start that failed half-way is destroyed like a
// sandbox that ran for a day.
type box struct {
	id     string
	driver *Driver

	// destroying is held by the one Destroy that works; a channel, because waiting
	// for it must end with the context.
	destroying chan struct{}
	destroyed  bool // under destroying

	leaving atomic.Bool   // the first process has ended, or must
	gone    chan struct{} // closed when nothing is left

	dir     string
	firstID uint32
	group   *cgroup.Group
	net     *network.Net
	tmp     *scratch.Volume
	tmpMB   int
	streams *child.Streams
	watcher *child.Watcher
}

var _ sandbox.Sandbox = (*box)(nil)

func newBox(d *Driver, id string) *box {
	path := d.cgroups.Path(d.cfg.cgroupParent(), id)
	return &box{
		id:         id,
		driver:     d,
		destroying: make(chan struct{}, 1),
		gone:       make(chan struct{}),
		dir:        filepath.Join(d.cfg.boxDir(), id),
		group:      d.cgroups.Group(path),
	}
}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// check refuses specifications that make no sense.
func check(s *sandbox.Spec) error {
	switch {
	case !validID.MatchString(s.ID):
		return fmt.Errorf("start sandbox %q: not a valid id", s.ID)
	case len(s.Args) == 0 || s.Args[0] == "":
		return fmt.Errorf("start sandbox %s: no command", s.ID)
	case s.MemoryMB < 1 || s.TmpMB < 1 || s.Pids < 1 || s.CPUs <= 0:
		return fmt.Errorf("start sandbox %s: memory, /tmp, processes and CPUs must be more than nothing", s.ID)
	}
	return nil
}

// start makes every part and runs the first process.
func (b *box) start(ctx context.Context, spec *sandbox.Spec) (err error) {
	d := b.driver
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return err
	}
	if b.firstID, err = d.ids.take(); err != nil {
		return err
	}
	files := &bundle{dir: b.dir, firstID: b.firstID, cgroup: b.group.Path()}
	if d.network != nil {
		if b.net, err = d.network.Acquire(ctx, b.id); err != nil {
			return err
		}
		files.netns, files.resolvers = b.net.Path(), b.net.Resolvers()
	}
	uid, gid := int(b.firstID+rootfs.UID), int(b.firstID+rootfs.GID)
	if b.tmp, err = d.makeTmp(ctx, b.id, spec.TmpMB, uid, gid); err != nil {
		return err
	}
	b.tmpMB = spec.TmpMB
	files.tmp = b.tmp.Path()
	if b.streams, err = child.NewStreams(); err != nil {
		return err
	}
	if err := b.streams.Chown(uid, gid); err != nil {
		return err
	}
	if err := d.write(spec, files); err != nil {
		return err
	}
	return b.run(ctx)
}

func (b *box) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	pid, err := b.driver.engine.run(ctx, b.id, b.dir, b.streams)
	b.streams.CloseInner()
	if err != nil {
		return err
	}
	if b.watcher, err = child.Watch(pid, b.finish); err != nil {
		return err
	}
	// The container holds its /tmp now; the host need not see it.
	if err := b.tmp.Detach(); err != nil {
		return err
	}
	return ctx.Err()
}

// finish completes the word on how the first process ended. That is init, which tells
// of its child by a status.
func (b *box) finish(e *sandbox.Exit) {
	b.leaving.Store(true)
	if s := syscall.Signal(e.Code - 128); e.Signal == nil && slices.Contains(deadly, s) {
		e.Signal = s
	}
	if e.Signal != syscall.SIGKILL {
		return
	}
	kills, err := b.group.OOMKills()
	e.OOM = err == nil && kills > 0
}

// deadly are the signals that statuses above 128 are taken for. Others are left alone:
// node itself ends with 128 and 129.
var deadly = []syscall.Signal{
	syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE,
	syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGTERM,
}

func (b *box) ID() string            { return b.id }
func (b *box) PID() int              { return b.watcher.PID() }
func (b *box) Conn() net.Conn        { return b.streams.Conn }
func (b *box) Output() *os.File      { return b.streams.Output }
func (b *box) Done() <-chan struct{} { return b.watcher.Done() }
func (b *box) Exit() sandbox.Exit    { return b.watcher.Exit() }
func (b *box) CodeDir() string       { return sandbox.TaskRoot }
func (b *box) TmpDir() string        { return rootfs.Tmp }

func (b *box) Stats() (sandbox.Stats, error) { return b.group.Stats() }

// Destroy kills every process and removes every part: see sandbox.Sandbox. Several
// at once wait for the first. After an error, which names the parts that resisted,
// it can be tried again.
func (b *box) Destroy(ctx context.Context) error {
	select {
	case b.destroying <- struct{}{}:
		defer func() { <-b.destroying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.destroyed {
		return nil
	}
	b.leaving.Store(true)
	if err := b.remove(ctx); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", b.id, err)
	}
	b.destroyed = true
	b.driver.dismiss(b)
	return nil
}

func (b *box) remove(ctx context.Context) error {
	if err := b.kill(ctx); err != nil {
		return err // nothing else can go before the processes
	}
	if b.net != nil {
		b.net.Discard() // nobody is left to use it
	}
	d := b.driver
	errs := []error{d.engine.delete(ctx, b.id), b.group.Remove()}
	if b.tmp != nil {
		errs = append(errs, b.tmp.Discard())
	}
	errs = append(errs, os.RemoveAll(b.dir))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if b.firstID != 0 {
		d.ids.give(b.firstID)
	}
	return nil
}

// kill ends every process and waits until they have gone. With the first process
// the kernel kills all others of the sandbox; the cgroup makes sure.
func (b *box) kill(ctx context.Context) error {
	if b.watcher != nil {
		b.watcher.Kill()
	}
	// A start that failed may have left a first process that nobody watches.
	orphans, err := b.group.Procs()
	if err != nil {
		return err
	}
	if err := b.group.Kill(); err != nil {
		return err
	}
	if b.watcher == nil {
		for _, pid := range orphans {
			child.Reap(pid)
		}
		return nil
	}
	select {
	case <-b.watcher.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process %d does not end: %w", b.watcher.PID(), ctx.Err())
	}
}
