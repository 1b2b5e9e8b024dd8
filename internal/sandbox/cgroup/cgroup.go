// Package cgroup limits, measures, freezes and kills groups of processes on
// cgroups v1, v2 and the hybrid of both, whichever it detects.
package cgroup

import (
	"errors"

	"hearth/internal/sandbox"
)

var errNotYet = errors.New("cgroup: not built yet")

// Host is the machine's cgroups as this process sees them.
type Host struct{}

// Detect looks at this machine.
func Detect() (*Host, error) { return DetectAt("/") }

// DetectAt looks at a machine whose /proc and /sys are below root.
func DetectAt(root string) (*Host, error) { return nil, errNotYet }

// Version is "v1", "hybrid" or "v2".
func (h *Host) Version() string { return "" }

// Missing lists what the host cannot do, in words ("memory: …"); empty when
// everything needed is there.
func (h *Host) Missing() []string { return nil }

// MemoryTotal is the memory that may be given away, in bytes: the machine's, or
// the limit of our own cgroup if that is smaller.
func (h *Host) MemoryTotal() (int64, error) { return 0, errNotYet }

// Path is the cgroup path of the sandbox id under parent, as an OCI runtime wants
// it (linux.cgroupsPath); both are single names.
func (h *Host) Path(parent, id string) string { return "" }

// Group is the group at a path that Path made. It need not exist yet.
func (h *Host) Group(path string) *Group { return nil }

// CreateParent makes parent, with the controllers that its children need switched
// on. It is harmless when parent exists.
func (h *Host) CreateParent(parent string) error { return errNotYet }

// Leftovers lists the ids of the groups under parent, over all hierarchies, sorted.
func (h *Host) Leftovers(parent string) ([]string, error) { return nil, errNotYet }

// RemoveParent kills whatever still runs under parent and removes it everywhere.
// It is harmless when there is none.
func (h *Host) RemoveParent(parent string) error { return errNotYet }

// Limits bound a group. Zero fields are left as they are.
type Limits struct {
	MemoryBytes int64   // hard limit; swap counts against it where it is counted
	CPUs        float64 // share when others compete; 1 CPU = 1024 shares
	QuotaCPUs   float64 // hard limit of processor time
	Pids        int     // processes and threads
}

// Group is one cgroup: a directory in each hierarchy.
type Group struct{}

// Path is what Host.Path gave.
func (g *Group) Path() string { return "" }

// Create makes the group in every hierarchy that Hearth uses. An OCI runtime does
// this by itself; other drivers need it.
func (g *Group) Create() error { return errNotYet }

// Add moves a process, with all its threads, into the group.
func (g *Group) Add(pid int) error { return errNotYet }

// SetLimits writes limits.
func (g *Group) SetLimits(l Limits) error { return errNotYet }

// Stats reads what the group uses.
func (g *Group) Stats() (sandbox.Stats, error) { return sandbox.Stats{}, errNotYet }

// OOMKills is Stats().OOMKills alone: one small read.
func (g *Group) OOMKills() (int, error) { return 0, errNotYet }

// ResetPeak starts the high-water mark of memory afresh, where the kernel can.
func (g *Group) ResetPeak() error { return errNotYet }

// Freeze stops every process in the group and blocks until they stand still.
func (g *Group) Freeze() error { return errNotYet }

// Thaw lets them run again.
func (g *Group) Thaw() error { return errNotYet }

// Procs lists the processes in the group and in groups below it.
func (g *Group) Procs() ([]int, error) { return nil, errNotYet }

// Kill kills every process in the group, frozen ones too, and blocks until none is
// left.
func (g *Group) Kill() error { return errNotYet }

// Remove removes the empty group from every hierarchy. It is harmless when there
// is none.
func (g *Group) Remove() error { return errNotYet }

// Shares converts CPUs to cgroup v1 cpu.shares (OCI linux.resources.cpu.shares).
func Shares(cpus float64) uint64 { return 0 }

// Weight converts cpu.shares to cgroup v2 cpu.weight, as OCI runtimes do.
func Weight(shares uint64) uint64 { return 0 }
