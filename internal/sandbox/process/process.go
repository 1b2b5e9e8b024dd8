// Package process runs functions as plain child processes, for people without root
// and for trying things out. It promises nearly nothing: a function can do whatever
// the user who runs Hearth can do. What it has in common with real sandboxes is the
// life cycle: descriptor 3, captured output, an end that is told truly, and nothing
// left behind.
//
// A function's memory is watched and not enforced: several times a second the driver
// adds up what the processes of each sandbox use, and kills those that are over
// their limit. Processes belong to a sandbox by descent, by session, or by a mark in
// their environment, whichever they have not shed. One that sheds all three within
// a moment escapes.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/statedir"
)

// DefaultInterval is how often memory is looked at. At 100 ms a function that
// allocates as fast as it can gets some 100 MB too much.
const DefaultInterval = 100 * time.Millisecond

// Config says how a Driver keeps its sandboxes. StateDir and Name are needed.
type Config struct {
	// StateDir keeps the sandboxes' temporary files, and which processes there are.
	StateDir string
	// Name tells the Hearths on one machine apart.
	Name string
	// Interval is how often memory is looked at; 0 means DefaultInterval.
	Interval time.Duration
	// Logger gets what goes wrong beside the path; nil discards it.
	Logger *slog.Logger
}

// Driver makes sandboxes that are none.
type Driver struct {
	cfg     Config
	lock    *os.File // on StateDir
	spawner *spawner
	table   *table
	stop    chan struct{} // closed by Close
	watch   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	boxes  map[string]*box
}

var _ sandbox.Driver = (*Driver)(nil)

// Supported tells what this machine lacks; nil if nothing.
func Supported() error {
	fd, err := unix.PidfdOpen(os.Getpid(), unix.PIDFD_NONBLOCK)
	if err != nil {
		return errors.New("the kernel is older than Linux 5.10")
	}
	unix.Close(fd)
	if _, err := readStat(os.Getpid()); err != nil {
		return fmt.Errorf("/proc does not tell about processes; mount it: %w", err)
	}
	return nil
}

// New makes a driver. It starts two goroutines that end with Close.
func New(cfg Config) (*Driver, error) {
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.StateDir == "" || cfg.Name == "" {
		return nil, errors.New("process driver: no state directory or no name")
	}
	if err := Supported(); err != nil {
		return nil, fmt.Errorf("process driver: %w", err)
	}
	dir, err := filepath.Abs(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	cfg.StateDir = dir
	lock, err := statedir.Lock(cfg.StateDir)
	if err != nil {
		return nil, fmt.Errorf("process driver: %w", err)
	}
	d := &Driver{
		cfg:     cfg,
		lock:    lock,
		spawner: newSpawner(),
		table:   newTable(cfg.Name),
		stop:    make(chan struct{}),
		boxes:   map[string]*box{},
	}
	d.watch.Go(d.watchMemory)
	return d, nil
}

func (d *Driver) boxDir() string { return filepath.Join(d.cfg.StateDir, "sandboxes") }

// Name is "process".
func (d *Driver) Name() string { return "process" }

// Isolation promises next to nothing.
func (d *Driver) Isolation() sandbox.Isolation { return sandbox.Isolation{TmpOnDisk: true} }

// Warnings tells in sentences what that means.
func (d *Driver) Warnings() []string { return d.Isolation().Missing() }

// Start starts a process: see sandbox.Driver.
func (d *Driver) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	b, err := d.startBox(ctx, spec)
	if err != nil {
		return nil, err // and no box that is nil inside
	}
	return b, nil
}

func (d *Driver) startBox(ctx context.Context, spec sandbox.Spec) (*box, error) {
	if err := check(&spec); err != nil {
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

func (d *Driver) admit(spec *sandbox.Spec) (*box, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, sandbox.ErrClosed
	}
	if d.boxes[spec.ID] != nil {
		return nil, fmt.Errorf("start sandbox %s: there is one with that id", spec.ID)
	}
	b := newBox(d, spec)
	d.boxes[spec.ID] = b
	return b, nil
}

func (d *Driver) dismiss(b *box) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.boxes, b.id)
}

// all lists the sandboxes of the moment.
func (d *Driver) all() []*box {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*box, 0, len(d.boxes))
	for _, b := range d.boxes {
		list = append(list, b)
	}
	return list
}

// watchMemory kills sandboxes that are over their limit, until the driver closes.
func (d *Driver) watchMemory() {
	ticker := time.NewTicker(d.cfg.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-ticker.C:
		}
		boxes := d.all()
		if len(boxes) == 0 {
			continue
		}
		members, err := d.table.scan()
		if err != nil {
			d.cfg.Logger.Warn("the memory of functions cannot be watched", "error", err)
			continue
		}
		for _, b := range boxes {
			b.checkMemory(members[b.id])
		}
	}
}

// Close ends the driver's goroutines: see sandbox.Driver. It refuses while there are
// sandboxes.
func (d *Driver) Close() error {
	d.mu.Lock()
	if n := len(d.boxes); n > 0 {
		d.mu.Unlock()
		return fmt.Errorf("close process driver: %d sandboxes have not been destroyed", n)
	}
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	close(d.stop)
	d.watch.Wait()
	d.spawner.close()
	return d.lock.Close()
}

// Recover kills the processes of an earlier driver on the same StateDir and removes
// their files: see sandbox.Driver.
func (d *Driver) Recover(ctx context.Context) (int, error) {
	names, err := statedir.Names(d.boxDir())
	if err != nil {
		return 0, fmt.Errorf("recover: %w", err)
	}
	members, err := d.table.scan()
	if err != nil {
		return 0, fmt.Errorf("recover: %w", err)
	}
	left := map[string]*box{}
	for _, id := range names {
		left[id] = newBox(d, &sandbox.Spec{ID: id})
		left[id].remember()
	}
	for id := range members { // known only by the mark in their environment
		if left[id] == nil {
			left[id] = newBox(d, &sandbox.Spec{ID: id})
		}
	}
	var errs []error
	for id, b := range left {
		if err := b.remove(ctx); err != nil {
			errs = append(errs, fmt.Errorf("recover sandbox %s: %w", id, err))
		}
	}
	return len(left), errors.Join(errs...)
}
