package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/child"
)

// box is one sandbox: a process, its descendants, and a directory.
type box struct {
	id     string
	driver *Driver
	dir    string

	// destroying is held by the one Destroy that works.
	destroying chan struct{}
	destroyed  bool // under destroying

	streams *child.Streams
	watcher *child.Watcher

	mu      sync.Mutex
	codeDir string
	limit   int64 // bytes of memory
	oom     bool
	peak    int64
	cpu     time.Duration // the most that was seen
}

var _ sandbox.Sandbox = (*box)(nil)

func newBox(d *Driver, spec *sandbox.Spec) *box {
	return &box{
		id:         spec.ID,
		driver:     d,
		dir:        filepath.Join(d.boxDir(), spec.ID),
		codeDir:    spec.CodeDir,
		limit:      int64(spec.MemoryMB) << 20,
		destroying: make(chan struct{}, 1),
	}
}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func check(s *sandbox.Spec) error {
	switch {
	case !validID.MatchString(s.ID):
		return fmt.Errorf("start sandbox %q: not a valid id", s.ID)
	case len(s.Args) == 0 || s.Args[0] == "":
		return fmt.Errorf("start sandbox %s: no command", s.ID)
	case s.MemoryMB < 1:
		return fmt.Errorf("start sandbox %s: memory must be more than nothing", s.ID)
	}
	return nil
}

func (b *box) tmp() string       { return filepath.Join(b.dir, "tmp") }
func (b *box) stateFile() string { return filepath.Join(b.dir, "process") }

func (b *box) start(ctx context.Context, spec *sandbox.Spec) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(b.tmp(), 0o700); err != nil {
		return err
	}
	paths := translator(spec)
	env := paths.all(spec.Env)
	path, err := lookPath(paths.translate(spec.Args[0]), env)
	if err != nil {
		return err
	}
	if b.streams, err = child.NewStreams(); err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	dir := spec.CodeDir
	if dir == "" {
		dir = b.tmp()
	}
	pid, err := b.driver.spawner.start(path, paths.all(spec.Args), &os.ProcAttr{
		Dir:   dir,
		Env:   append(env, "TMPDIR="+b.tmp(), strings.TrimSuffix(b.driver.table.mark, "/")+"/"+b.id),
		Files: []*os.File{null, b.streams.InnerOutput, b.streams.InnerOutput, b.streams.InnerConn},
	})
	b.streams.CloseInner()
	if err != nil {
		return err
	}
	if err := b.record(pid); err != nil {
		return errors.Join(err, b.abandon(pid))
	}
	if b.watcher, err = child.Watch(pid, b.finish); err != nil {
		return errors.Join(err, b.abandon(pid))
	}
	return ctx.Err()
}

// record notes the first process, for the watchdog and for Recover.
func (b *box) record(pid int) error {
	p, err := readStat(pid) // it cannot be gone: it is our child, and unwatched
	if err != nil {
		return err
	}
	b.driver.table.add(p.identity, b.id)
	return os.WriteFile(b.stateFile(), fmt.Appendf(nil, "%d %d\n", p.pid, p.start), 0o600)
}

// remember reads what record noted, if the process is still the same.
func (b *box) remember() {
	text, err := os.ReadFile(b.stateFile())
	if err != nil {
		return // killed before it was written; the mark will do
	}
	var who identity
	if _, err := fmt.Sscan(string(text), &who.pid, &who.start); err != nil {
		return
	}
	if p, err := readStat(who.pid); err == nil && p.identity == who {
		b.driver.table.add(who, b.id)
	}
}

// abandon ends a first process that cannot be watched.
func (b *box) abandon(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return err
	}
	_, err := unix.Wait4(pid, nil, 0, nil)
	return err
}

// finish completes the word on how the first process ended.
func (b *box) finish(e *sandbox.Exit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.OOM = b.oom && e.Signal == syscall.SIGKILL
}

// checkMemory adds up what the processes use and kills them if it is too much.
func (b *box) checkMemory(members []proc) {
	use := b.sum(members)
	b.mu.Lock()
	over := use.MemoryBytes > b.limit
	b.oom = b.oom || over
	b.mu.Unlock()
	if over {
		b.kill(members)
	}
}

// sum adds up the use of processes and remembers the peaks.
func (b *box) sum(members []proc) sandbox.Stats {
	var s sandbox.Stats
	for _, p := range members {
		if !p.zombie {
			s.MemoryBytes += p.memory
			s.Pids++
		}
		s.CPU += p.cpu
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peak, b.cpu = max(b.peak, s.MemoryBytes), max(b.cpu, s.CPU)
	s.PeakMemoryBytes, s.CPU = b.peak, b.cpu
	if b.oom {
		s.OOMKills = 1
	}
	return s
}

func (b *box) ID() string            { return b.id }
func (b *box) PID() int              { return b.watcher.PID() }
func (b *box) Conn() net.Conn        { return b.streams.Conn }
func (b *box) Output() *os.File      { return b.streams.Output }
func (b *box) Done() <-chan struct{} { return b.watcher.Done() }
func (b *box) Exit() sandbox.Exit    { return b.watcher.Exit() }
func (b *box) TmpDir() string        { return b.tmp() }

// CodeDir is the code's directory on the host.
func (b *box) CodeDir() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.codeDir
}

// Stats reads the process table. The peak is the most that was seen.
func (b *box) Stats() (sandbox.Stats, error) {
	members, err := b.driver.table.scan()
	if err != nil {
		return sandbox.Stats{}, err
	}
	return b.sum(members[b.id]), nil
}

// Destroy kills every process that is known to belong to the sandbox and removes its
// directory: see sandbox.Sandbox. After an error it can be tried again.
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
	if err := b.remove(ctx); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", b.id, err)
	}
	b.destroyed = true
	b.driver.dismiss(b)
	return nil
}

func (b *box) remove(ctx context.Context) error {
	if b.watcher != nil {
		b.watcher.Kill()
	}
	if err := b.killAll(ctx); err != nil {
		return err
	}
	if b.watcher != nil {
		select {
		case <-b.watcher.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := os.RemoveAll(b.dir); err != nil {
		return err
	}
	b.driver.table.drop(b.id)
	return nil
}

// killAll kills until nobody is left: killed processes may have started others a
// moment before. It looks twice, because a process that starts another and ends while
// the table is read hides both.
func (b *box) killAll(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for quiet := 0; ; {
		members, err := b.driver.table.scan()
		if err != nil {
			return err
		}
		if quiet++; b.kill(members[b.id]) > 0 {
			quiet = 0
		}
		if quiet == 2 {
			return nil
		}
		pause.Reset(time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// kill sends SIGKILL and tells how many processes were still there.
func (b *box) kill(members []proc) int {
	alive := 0
	for _, p := range members {
		if p.zombie {
			// An orphan that became ours, not the process that is watched.
			if p.parent == os.Getpid() && (b.watcher == nil || p.pid != b.watcher.PID()) {
				child.Reap(p.pid)
			}
			continue
		}
		alive++
		_ = unix.Kill(p.pid, unix.SIGKILL) // gone already, or not ours to kill
	}
	return alive
}
