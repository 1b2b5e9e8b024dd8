// Package cgroup limits, measures, freezes and kills groups of processes on
// cgroups v1, v2 and the hybrid of both. What a machine has is read from its mounts
// at start, controller by controller; nothing is assumed.
//
// # Where groups live
//
// All groups of one Hearth are children of one parent, and the path of a group is
// the same in every hierarchy, because that is how OCI runtimes read an absolute
// linux.cgroupsPath.
//
// On v1 and hybrid hosts the parent is at the top of each mounted hierarchy
// (/hearth-xxxx), where container engines with the cgroupfs driver put theirs: our
// own group differs from one v1 hierarchy to the next, so there is no one path below
// it. In a container the top of the mount is the container's own group, so its
// limits still hold.
//
// On v2 the parent is inside the nearest group around us that systemd has delegated
// (a unit with Delegate=yes, or user@.service): a delegated subtree is ours by
// systemd's rules, the unit's own limits hold for all sandboxes together, and
// stopping the unit stops them. Without delegation the parent is at the top of the
// mount. systemd does not object: it leaves groups alone that it does not know, and
// the kernel refuses to switch a controller off while a child uses it.
//
// A v2 group that has processes of its own cannot hand controllers to children. If
// that is so where the parent goes (the top of a container, or a unit without
// DelegateSubgroup=), CreateParent moves those processes into a child beside the
// parent, named hearth-init; everything in such a place is ours to move.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
)

// initName is the child that takes processes out of the parent's way on v2.
const initName = "hearth-init"

// Versions of a host, as Host.Version gives them.
const (
	V1     = "v1"
	Hybrid = "hybrid"
	V2     = "v2"
)

// Host is the machine's cgroups as this process sees them. Its methods may be
// called from many goroutines.
type Host struct {
	root        string                // "/" but in tests
	hierarchies []*hierarchy          // every one that is mounted
	controllers map[string]*hierarchy // where a controller is; absent when nowhere
	unified     *hierarchy            // the v2 hierarchy, or nil
	base        string                // the parent's own parent, from the top of the mount; "" is the top
	own         map[string]string     // our own path in the hierarchy of a controller; "" for v2

	mu      sync.Mutex
	missing []string
}

// Version is V1, Hybrid (v1 controllers with a v2 hierarchy beside them) or V2.
func (h *Host) Version() string {
	switch {
	case h.unified == nil:
		return V1
	case len(h.hierarchies) > 1:
		return Hybrid
	default:
		return V2
	}
}

// Missing lists what this host cannot do, each as "name: what follows from it";
// empty when everything needed is there. CreateParent may find more.
func (h *Host) Missing() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.missing)
}

func (h *Host) miss(name string) {
	what := map[string]string{
		"memory":  "memory limits are not enforced and memory is not measured (boot with cgroup_enable=memory)",
		"cpu":     "processor shares are not enforced",
		"pids":    "the number of processes is not limited",
		"cpuacct": "processor time is not measured",
		"freezer": "instances cannot be frozen",
		"swap":    "swap does not count against the memory limit (boot with swapaccount=1, or switch swap off)",
	}[name]
	h.mu.Lock()
	defer h.mu.Unlock()
	if line := name + ": " + what; !slices.Contains(h.missing, line) {
		h.missing = append(h.missing, line)
	}
}

// Path is the cgroup path of the sandbox id under parent, as an OCI runtime wants
// it (linux.cgroupsPath): "/hearth-xxxx/iNNN", below the delegated group if there is
// one. Both are single names.
func (h *Host) Path(parent, id string) string { return path.Join("/", h.base, parent, id) }

// CreateParent makes parent, a single name, in every hierarchy that Hearth uses and
// switches on the controllers that its children need. What cannot be switched on is
// added to Missing. It is harmless when parent exists.
func (h *Host) CreateParent(parent string) error {
	if err := checkName(parent); err != nil {
		return err
	}
	for _, hi := range h.used() {
		dir := hi.dir(path.Join(h.base, parent))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the parent cgroup: %w", err)
		}
		if hi.v2 {
			if err := h.delegate(hi, parent); err != nil {
				return fmt.Errorf("make the parent cgroup: %w", err)
			}
		} else if hi.has("memory") {
			// Before 5.11 children counted for themselves unless this was set; later
			// kernels always have it set and refuse nothing but 0.
			_ = writeFile(filepath.Join(dir, "memory.use_hierarchy"), "1")
		}
	}
	return nil
}

// delegate hands the v2 controllers down to parent and to its children.
func (h *Host) delegate(hi *hierarchy, parent string) error {
	base := hi.dir(h.base)
	for _, dir := range []string{base, filepath.Join(base, parent)} {
		for _, c := range needed() {
			if h.controllers[c] != hi {
				continue
			}
			err := writeFile(filepath.Join(dir, "cgroup.subtree_control"), "+"+c)
			if errors.Is(err, syscall.EBUSY) && dir == base {
				if err = moveAll(base, filepath.Join(base, initName)); err != nil {
					return err
				}
				err = writeFile(filepath.Join(dir, "cgroup.subtree_control"), "+"+c)
			}
			switch {
			case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
				return err
			case err != nil:
				// EINVAL and ENOENT: the controller is busy elsewhere (cpu with
				// real-time processes) or not handed down to us.
				h.miss(c)
			}
		}
	}
	return nil
}

// moveAll moves the processes of one v2 group into another, which it makes.
func moveAll(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for range 10 { // what is forked meanwhile is moved in the next round
		pids, err := readPids(filepath.Join(from, "cgroup.procs"))
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			err := writeFile(filepath.Join(to, "cgroup.procs"), fmt.Sprint(pid))
			if err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return fmt.Errorf("%s: processes keep appearing in it", from)
}

// Leftovers lists the ids of the groups under parent, over all hierarchies, sorted;
// none when there is no parent.
func (h *Host) Leftovers(parent string) ([]string, error) {
	if err := checkName(parent); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, hi := range h.hierarchies {
		entries, err := os.ReadDir(hi.dir(path.Join(h.base, parent)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() {
				seen[e.Name()] = true
			}
		}
	}
	ids := make([]string, 0, len(seen))
	for id := range seen {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids, nil
}

// RemoveParent kills whatever still runs under parent and removes parent and the
// groups in it from every hierarchy, also those that only the OCI runtime uses. It
// blocks until that is done and is harmless when there is none.
func (h *Host) RemoveParent(parent string) error {
	if err := checkName(parent); err != nil {
		return err
	}
	g := h.Group(path.Join(h.base, parent))
	if err := g.Kill(); err != nil {
		return err
	}
	return g.Remove()
}

// used are the hierarchies that Hearth itself needs.
func (h *Host) used() []*hierarchy {
	var list []*hierarchy
	for _, hi := range h.hierarchies {
		if hi.v2 || slices.ContainsFunc(append(needed(), "cpuacct", "freezer"), hi.has) {
			list = append(list, hi)
		}
	}
	return list
}

// needed are the controllers that limits are made of.
func needed() []string { return []string{"memory", "cpu", "pids"} }

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00\n") {
		return fmt.Errorf("cgroup: %q cannot be the name of a group", name)
	}
	return nil
}

// Shares converts CPUs to cgroup v1 cpu.shares (OCI linux.resources.cpu.shares):
// 1 CPU, which comes with 1,769 MB, is 1,024 shares, the weight of any other group
// of the host. The kernel's bounds are 2 and 262,144.
func Shares(cpus float64) uint64 {
	return uint64(min(max(math.Round(cpus*1024), 2), 262144))
}

// Weight converts cpu.shares to cgroup v2 cpu.weight, [2, 262144] to [1, 10000],
// the linear way of the OCI runtimes: shares stay proportional.
func Weight(shares uint64) uint64 {
	shares = min(max(shares, 2), 262144)
	return 1 + (shares-2)*9999/262142
}
