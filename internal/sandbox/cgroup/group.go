package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"hearth/internal/sandbox"
)

// Limits bound a group. Zero fields are left as they are.
type Limits struct {
	// MemoryBytes is the hard limit; where the kernel counts swap, memory and swap
	// together may not exceed it.
	MemoryBytes int64
	// CPUs is the share of processor time when others compete; see Shares.
	CPUs float64
	// QuotaCPUs is the processor time that may be used even if nobody competes.
	QuotaCPUs float64
	// Pids bounds processes and threads.
	Pids int
}

// quotaPeriod is the window of a hard processor limit (the kernel's default).
const quotaPeriod = 100 * time.Millisecond

// Group is one cgroup: a directory of the same path in each hierarchy. Its methods
// may be called from many goroutines.
type Group struct {
	h    *Host
	path string
	peak atomic.Int64 // highest use seen
}

// Group is the group at a path that Path made. It need not exist yet. Keep it: on
// kernels without memory.peak it remembers the highest use that its Stats saw.
func (h *Host) Group(groupPath string) *Group {
	return &Group{h: h, path: path.Clean("/" + groupPath)}
}

// Path is the group's path, from the top of every hierarchy.
func (g *Group) Path() string { return g.path }

// file is a control file of the controller's hierarchy; ok if there is one.
func (g *Group) file(controller, v1, v2 string) (name string, isV2, ok bool) {
	hi := g.h.controllers[controller]
	if hi == nil {
		return "", false, false
	}
	if hi.v2 {
		return filepath.Join(hi.dir(g.path), v2), true, true
	}
	return filepath.Join(hi.dir(g.path), v1), false, true
}

// errTop guards against limiting, freezing or killing the whole machine.
func (g *Group) errTop() error {
	if g.path == "/" {
		return errors.New("cgroup: the top group is not ours")
	}
	return nil
}

// Create makes the group in every hierarchy that Hearth uses; its parent must exist
// there. An OCI runtime does this by itself, other drivers need it. It is harmless
// when the group exists.
func (g *Group) Create() error {
	if err := g.errTop(); err != nil {
		return err
	}
	for _, hi := range g.h.used() {
		if err := os.Mkdir(hi.dir(g.path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make cgroup %s: %w", g.path, err)
		}
	}
	return nil
}

// Add moves a process, with all its threads, into the group. What it has forked
// before stays outside.
func (g *Group) Add(pid int) error {
	for _, hi := range g.h.used() {
		if err := writeFile(filepath.Join(hi.dir(g.path), "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("move process %d into cgroup %s: %w", pid, g.path, err)
		}
	}
	return nil
}

// SetLimits writes limits; those whose controller is missing (Host.Missing) are
// passed over. A memory limit below what is in use fails on v1; on v2 the kernel
// reclaims, then kills.
func (g *Group) SetLimits(l Limits) error {
	if err := g.errTop(); err != nil {
		return err
	}
	err := errors.Join(g.limitMemory(l.MemoryBytes), g.limitCPU(l.CPUs, l.QuotaCPUs), g.limitPids(l.Pids))
	if err != nil {
		return fmt.Errorf("limit cgroup %s: %w", g.path, err)
	}
	return nil
}

func (g *Group) limitMemory(bytes int64) error {
	name, v2, ok := g.file("memory", "memory.limit_in_bytes", "memory.max")
	if !ok || bytes <= 0 {
		return nil
	}
	value := strconv.FormatInt(bytes, 10)
	dir := filepath.Dir(name)
	if v2 {
		// On v2 swap is counted apart, so none at all keeps the sum at the limit.
		return errors.Join(writeFile(name, value), optional(writeFile(filepath.Join(dir, "memory.swap.max"), "0")))
	}
	// On v1 the limit of memory and swap together may never be below that of memory.
	both := filepath.Join(dir, "memory.memsw.limit_in_bytes")
	now, err := number(both)
	switch {
	case errors.Is(err, fs.ErrNotExist): // swap is not counted
		return writeFile(name, value)
	case err != nil:
		return err
	case bytes > now:
		name, both = both, name
	}
	if err := writeFile(name, value); err != nil {
		return err
	}
	return writeFile(both, value)
}

func (g *Group) limitCPU(cpus, quota float64) error {
	name, v2, ok := g.file("cpu", "cpu.shares", "cpu.weight")
	if !ok {
		return nil
	}
	var errs []error
	if cpus > 0 {
		value := Shares(cpus)
		if v2 {
			value = Weight(value)
		}
		errs = append(errs, writeFile(name, strconv.FormatUint(value, 10)))
	}
	if quota > 0 {
		dir, period := filepath.Dir(name), quotaPeriod.Microseconds()
		micros := max(int64(quota*float64(period)), 1000) // the kernel's least
		if v2 {
			errs = append(errs, writeFile(filepath.Join(dir, "cpu.max"), fmt.Sprintf("%d %d", micros, period)))
		} else {
			errs = append(errs,
				writeFile(filepath.Join(dir, "cpu.cfs_period_us"), strconv.FormatInt(period, 10)),
				writeFile(filepath.Join(dir, "cpu.cfs_quota_us"), strconv.FormatInt(micros, 10)))
		}
	}
	return errors.Join(errs...)
}

func (g *Group) limitPids(n int) error {
	name, _, ok := g.file("pids", "pids.max", "pids.max")
	if !ok || n <= 0 {
		return nil
	}
	return writeFile(name, strconv.Itoa(n))
}

// Stats reads what the group uses, six small files. What the host cannot measure is
// zero. The error wraps fs.ErrNotExist when the group is gone.
//
// MemoryBytes leaves the page cache of files out, active or not, because the kernel
// drops it before it kills; what is in a tmpfs counts. The peak is the highest of what
// Stats has seen and of the kernel's high-water mark less the cache there is now: the
// kernel counts cache in its mark, and a function that writes files would seem to need
// all the memory it may have.
func (g *Group) Stats() (sandbox.Stats, error) {
	var s sandbox.Stats
	var err error
	fail := func(e error) (sandbox.Stats, error) {
		return sandbox.Stats{}, fmt.Errorf("read cgroup %s: %w", g.path, e)
	}
	if s.MemoryBytes, s.PeakMemoryBytes, err = g.memory(); err != nil {
		return fail(err)
	}
	if s.OOMKills, err = g.OOMKills(); err != nil {
		return fail(err)
	}
	if s.CPU, err = g.cpuTime(); err != nil {
		return fail(err)
	}
	if s.Pids, err = g.pids(); err != nil {
		return fail(err)
	}
	return s, nil
}

func (g *Group) memory() (inUse, peak int64, err error) {
	name, v2, ok := g.file("memory", "memory.usage_in_bytes", "memory.current")
	if !ok {
		return 0, 0, nil
	}
	all, err := number(name)
	if err != nil {
		return 0, 0, err
	}
	dir, prefix, mark := filepath.Dir(name), "total_", "memory.max_usage_in_bytes"
	if v2 {
		prefix, mark = "", "memory.peak"
	}
	stat := filepath.Join(dir, "memory.stat")
	text, err := os.ReadFile(stat)
	if err != nil {
		return 0, 0, err
	}
	active, err1 := fieldOf(stat, text, prefix+"active_file")
	inactive, err2 := fieldOf(stat, text, prefix+"inactive_file")
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, err
	}
	inUse = max(all-active-inactive, 0)
	peak, err = number(filepath.Join(dir, mark))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // memory.peak came with Linux 5.19
		return 0, 0, err
	}
	return inUse, g.sample(max(inUse, peak-active-inactive)), nil
}

// sample takes a reading into the high-water mark that we keep ourselves.
func (g *Group) sample(reading int64) int64 {
	for {
		old := g.peak.Load()
		if reading <= old || g.peak.CompareAndSwap(old, reading) {
			return max(old, reading)
		}
	}
}

// ResetPeak starts the high-water mark of memory afresh. Only v1 can; elsewhere it
// does nothing but forget what was sampled.
func (g *Group) ResetPeak() error {
	g.peak.Store(0)
	if name, v2, ok := g.file("memory", "memory.max_usage_in_bytes", ""); ok && !v2 {
		return writeFile(name, "0")
	}
	return nil
}

// OOMKills is how many processes the kernel has killed at the memory limit: one
// small read.
func (g *Group) OOMKills() (int, error) {
	name, _, ok := g.file("memory", "memory.oom_control", "memory.events")
	if !ok {
		return 0, nil
	}
	n, err := field(name, "oom_kill")
	return int(n), err
}

func (g *Group) cpuTime() (time.Duration, error) {
	if name, v2, ok := g.file("cpuacct", "cpuacct.usage", ""); ok && !v2 {
		n, err := number(name)
		return time.Duration(n), err
	}
	if hi := g.h.unified; hi != nil {
		n, err := field(filepath.Join(hi.dir(g.path), "cpu.stat"), "usage_usec")
		return time.Duration(n) * time.Microsecond, err
	}
	return 0, nil
}

func (g *Group) pids() (int, error) {
	if name, _, ok := g.file("pids", "pids.current", "pids.current"); ok {
		n, err := number(name)
		return int(n), err
	}
	procs, err := g.Procs()
	return len(procs), err
}

// optional forgives a control file that this kernel does not have.
func optional(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
