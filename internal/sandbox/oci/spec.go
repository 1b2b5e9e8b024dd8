package oci

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/cgroup"
	"hearth/internal/sandbox/rootfs"
)

// maskedPaths tell about the host, or let a process inside disturb it. What cannot be
// masked is /proc/self/mountinfo: it names the directories on the host that the mounts
// come from, the data directory among them.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/bootconfig", "/proc/cmdline", "/proc/config.gz", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/key-users",
	"/proc/kallsyms", "/proc/kmsg", "/proc/latency_stats", "/proc/modules", "/proc/sched_debug",
	"/proc/scsi", "/proc/sysvipc", "/proc/timer_list", "/proc/timer_stats",
}

var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

const (
	openFilesSoft = 1024
	openFilesHard = 4096
	// oomScore makes the kernel prefer a function to everything else when the whole
	// machine, not just the function, is out of memory.
	oomScore = 500
	shmMB    = 64
)

// bundle is what a container is made from.
type bundle struct {
	dir       string // on the host; holds config.json and two small files
	firstID   uint32
	netns     string // "" = an empty one of its own
	resolvers []netip.Addr
	tmp       string // on the host
	cgroup    string // linux.cgroupsPath
}

// write puts config.json and the files that it mounts into the bundle's directory.
func (d *Driver) write(s *sandbox.Spec, b *bundle) error {
	// No ::1: sandboxes have no IPv6, and some programs would try it first.
	if err := os.WriteFile(b.hosts(), []byte("127.0.0.1\tlocalhost "+s.ID+"\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(b.resolvConf(), resolvConf(b.resolvers), 0o644); err != nil {
		return err
	}
	for _, file := range []string{b.hosts(), b.resolvConf()} {
		if err := os.Chmod(file, 0o644); err != nil { // whatever the umask is
			return err
		}
	}
	spec, err := d.spec(s, b)
	if err != nil {
		return err
	}
	config, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "config.json"), config, 0o600)
}

func (b *bundle) hosts() string      { return filepath.Join(b.dir, "hosts") }
func (b *bundle) resolvConf() string { return filepath.Join(b.dir, "resolv.conf") }

func resolvConf(resolvers []netip.Addr) []byte {
	var text strings.Builder
	for _, r := range resolvers {
		fmt.Fprintf(&text, "nameserver %s\n", r)
	}
	return []byte(text.String())
}

func (d *Driver) spec(s *sandbox.Spec, b *bundle) (*specs.Spec, error) {
	mounts, err := d.mounts(s, b)
	if err != nil {
		return nil, err
	}
	return &specs.Spec{
		Version:  "1.0.2",
		Hostname: s.ID,
		Root:     &specs.Root{Path: d.root.Path(), Readonly: true},
		Mounts:   mounts,
		Process:  process(s),
		Linux: &specs.Linux{
			UIDMappings:   mapping(b.firstID),
			GIDMappings:   mapping(b.firstID),
			Namespaces:    namespaces(b.netns),
			CgroupsPath:   b.cgroup,
			Resources:     d.resources(s),
			Seccomp:       d.seccomp,
			MaskedPaths:   maskedPaths,
			ReadonlyPaths: readonlyPaths,
		},
	}, nil
}

// initArgs is the sandbox's first process: a shell that runs the command, waits for it
// and for every orphan, and ends with its status. Without it the command would be
// process 1: orphans would stay zombies until they fill the pids limit, and the kernel
// would hide abort(3) and kill(2) from a process that uses them on itself (ADR 8).
var initArgs = []string{"/bin/sh", "-c", `"$@"; exit $?`, "init"}

func process(s *sandbox.Spec) *specs.Process {
	cwd := "/"
	if s.CodeDir != "" {
		cwd = sandbox.TaskRoot
	}
	oom := oomScore
	return &specs.Process{
		User:            specs.User{UID: rootfs.UID, GID: rootfs.GID},
		Args:            append(slices.Clone(initArgs), s.Args...),
		Env:             s.Env,
		Cwd:             cwd,
		Capabilities:    &specs.LinuxCapabilities{}, // none at all
		NoNewPrivileges: true,
		OOMScoreAdj:     &oom,
		Rlimits: []specs.POSIXRlimit{
			{Type: "RLIMIT_NOFILE", Soft: openFilesSoft, Hard: openFilesHard},
			{Type: "RLIMIT_CORE", Soft: 0, Hard: 0},
		},
	}
}

func mapping(first uint32) []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: first, Size: idsEach}}
}

func namespaces(netns string) []specs.LinuxNamespace {
	return []specs.LinuxNamespace{
		{Type: specs.UserNamespace},
		{Type: specs.PIDNamespace},
		{Type: specs.MountNamespace},
		{Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace},
		{Type: specs.CgroupNamespace},
		{Type: specs.NetworkNamespace, Path: netns},
	}
}

// mounts are a sandbox's own; the rest comes with the root.
func (d *Driver) mounts(s *sandbox.Spec, b *bundle) ([]specs.Mount, error) {
	list := []specs.Mount{
		// The root has a complete /dev. Naming it here tells runc not to make one.
		{Destination: "/dev", Type: "bind", Source: filepath.Join(d.root.Path(), "dev"),
			Options: []string{"bind", "ro", "nosuid", "noexec"}},
		{Destination: rootfs.Proc, Type: "proc", Source: "proc", Options: []string{"nosuid", "nodev", "noexec"}},
		{Destination: rootfs.Shm, Type: "tmpfs", Source: "shm",
			Options: []string{"nosuid", "nodev", "noexec", "mode=1777", fmt.Sprintf("size=%dm", shmMB)}},
	}
	binds := []struct{ from, to, mode string }{
		{b.tmp, rootfs.Tmp, "rw"},
		{b.hosts(), rootfs.Hosts, "ro"},
		{b.resolvConf(), rootfs.ResolvConf, "ro"},
		{s.CodeDir, sandbox.TaskRoot, "ro"},
		{s.ShimDir, sandbox.RuntimeRoot, "ro"},
		{s.OptDir, sandbox.OptRoot, "ro"},
	}
	for _, m := range binds {
		if m.from == "" {
			continue
		}
		options, err := bindOptions(m.from, m.mode)
		if err != nil {
			return nil, err
		}
		list = append(list, specs.Mount{Destination: m.to, Type: "bind", Source: m.from, Options: options})
	}
	return list, nil
}

// bindOptions are the options to bind from with. Inside a user namespace a bind
// mount may not lose restrictions that its source has on the host, so they are
// repeated.
func bindOptions(from, mode string) ([]string, error) {
	options := []string{"bind", mode, "nosuid", "nodev"}
	var st unix.Statfs_t
	if err := unix.Statfs(from, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	for _, o := range []struct {
		flag int64
		name string
	}{{unix.ST_NOEXEC, "noexec"}, {unix.ST_NOATIME, "noatime"}, {unix.ST_NODIRATIME, "nodiratime"}, {unix.ST_RELATIME, "relatime"}} {
		if int64(st.Flags)&o.flag != 0 {
			options = append(options, o.name)
		}
	}
	return options, nil
}

// cpuPeriod is the period of a hard CPU limit, in microseconds (the kernel's default).
const cpuPeriod = 100_000

func (d *Driver) resources(s *sandbox.Spec) *specs.LinuxResources {
	memory := int64(s.MemoryMB) << 20
	pids := int64(s.Pids)
	shares := cgroup.Shares(s.CPUs)
	r := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		Memory:  &specs.LinuxMemory{Limit: &memory},
		Pids:    &specs.LinuxPids{Limit: &pids},
		CPU:     &specs.LinuxCPU{Shares: &shares},
	}
	if d.swapCounted {
		r.Memory.Swap = &memory // memory and swap together: no swap on top
	}
	if d.cfg.CPUQuota {
		period, quota := uint64(cpuPeriod), int64(s.CPUs*cpuPeriod)
		r.CPU.Period, r.CPU.Quota = &period, &quota
	}
	return r
}
