package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/cgroup"
	"hearth/internal/sandbox/child"
	"hearth/internal/sandbox/network"
	"hearth/internal/sandbox/rootfs"
	"hearth/internal/sandbox/scratch"
	"hearth/internal/sandbox/statedir"
)

// Driver makes sandboxes with an OCI runtime.
type Driver struct {
	cfg         Config
	engine      *engine
	cgroups     *cgroup.Host
	network     *network.Manager // nil when offline
	scratch     *scratch.Store
	root        *rootfs.Root
	ids         *idPool
	seccomp     *specs.LinuxSeccomp
	swapCounted bool
	lock        *os.File // held on StateDir

	mu     sync.Mutex
	closed bool
	boxes  map[string]*box // started or starting, not yet destroyed
}

var _ sandbox.Roomy = (*Driver)(nil)

// New makes a driver. It needs root, changes nothing outside StateDir, RunDir and
// its own cgroup, and takes some 10 ms. The error tells what the machine lacks and
// how to get it.
func New(cfg Config) (_ *Driver, err error) {
	cfg, err = cfg.complete()
	if err != nil {
		return nil, err
	}
	m, err := inspect(&cfg)
	if err != nil {
		return nil, err
	}
	d := &Driver{
		cfg:         cfg,
		engine:      m.engine,
		cgroups:     m.cgroups,
		swapCounted: m.swapCounted,
		ids:         newIDPool(cfg.Name),
		boxes:       map[string]*box{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	return d, d.open()
}

func (d *Driver) open() (err error) {
	if err := d.cfg.makeDirs(); err != nil {
		return err
	}
	if d.lock, err = statedir.Lock(d.cfg.StateDir); err != nil {
		return fmt.Errorf("sandbox driver: %w", err)
	}
	if d.engine.seccomp {
		if d.seccomp, err = filter(); err != nil {
			return fmt.Errorf("system call filter: %w", err)
		}
	}
	if err := child.AdoptOrphans(); err != nil {
		return err
	}
	if d.scratch, err = scratch.New(d.cfg.tmpDir()); err != nil {
		return err
	}
	if err := rootfs.Remove(d.cfg.rootPath()); err != nil { // a killed process's
		return err
	}
	if d.root, err = rootfs.Build(d.cfg.rootPath(), d.cfg.Runtimes); err != nil {
		return err
	}
	if !d.cfg.Offline {
		d.network, err = network.New(d.cfg.Network)
	}
	return err
}

// Name is the runtime's name.
func (d *Driver) Name() string { return d.cfg.Runtime }

// Isolation is everything, as far as this machine allows.
func (d *Driver) Isolation() sandbox.Isolation {
	return sandbox.Isolation{
		User:       true,
		FileSystem: true,
		TmpLimit:   true,
		TmpOnDisk:  d.scratch.InMemory() == nil,
		Network:    !d.cfg.Offline,
		Memory:     true,
		Pids:       true,
		CPU:        true,
		Syscalls:   true,
		Freeze:     d.cgroups.CanFreeze(),
	}
}

// Warnings tells, in sentences, what on this machine is not as it should be.
func (d *Driver) Warnings() []string {
	words := d.Isolation().Missing()
	if err := d.scratch.InMemory(); err != nil {
		words = append(words, "Temporary files are kept in memory: "+err.Error()+".")
	}
	if d.network != nil {
		words = append(words, d.network.Warnings()...)
	}
	return words
}

// Start makes a sandbox: see sandbox.Driver. When ctx ends while the runtime runs,
// the sandbox is finished first and destroyed then.
func (d *Driver) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	b, err := d.startBox(ctx, spec)
	if err != nil {
		return nil, err // and no box that is nil inside
	}
	return b, nil
}

func (d *Driver) startBox(ctx context.Context, spec sandbox.Spec) (*box, error) {
	if spec.Pids == 0 {
		spec.Pids = sandbox.DefaultPids
	}
	if err := check(&spec); err != nil {
		return nil, err
	}
	if err := d.checkProgram(&spec); err != nil {
		return nil, err
	}
	b, err := d.admit(&spec)
	if err != nil {
		return nil, err
	}
	if err := b.start(ctx, &spec); err != nil {
		err = fmt.Errorf("start sandbox %s: %w", spec.ID, err)
		if b.streams != nil {
			b.streams.Close()
		}
		return nil, errors.Join(err, b.Destroy(context.WithoutCancel(ctx)))
	}
	return b, nil
}

// admit registers a sandbox that is to be started.
func (d *Driver) admit(spec *sandbox.Spec) (*box, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, sandbox.ErrClosed
	}
	if d.boxes[spec.ID] != nil {
		return nil, fmt.Errorf("start sandbox %s: there is one with that id", spec.ID)
	}
	b := newBox(d, spec.ID)
	d.boxes[spec.ID] = b
	return b, nil
}

// dismiss forgets a sandbox that has been destroyed.
func (d *Driver) dismiss(b *box) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.boxes, b.id)
	close(b.gone)
}

// Close removes what was made for all sandboxes: see sandbox.Driver. It refuses
// while there are sandboxes.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.boxes); n > 0 {
		return fmt.Errorf("close %s driver: %d sandboxes have not been destroyed", d.cfg.Runtime, n)
	}
	if d.closed {
		return nil
	}
	d.closed = true
	var errs []error
	if d.network != nil {
		errs = append(errs, d.network.Close())
	}
	if d.lock != nil { // else it is another's cgroup and root
		errs = append(errs, d.cgroups.RemoveParent(d.cfg.cgroupParent()))
		if d.root != nil {
			errs = append(errs, d.root.Close())
		}
		os.Remove(filepath.Dir(d.cfg.rootPath())) // unless somebody else has put something there
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}
