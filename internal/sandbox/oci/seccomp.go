package oci

import (
	"slices"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// denied are system calls that the default profile allows a container without
// capabilities and that a function has no use for. Some let processes of one
// sandbox look into each other, the others have a history of kernel bugs.
var denied = []string{
	"add_key", "keyctl", "request_key",
	"bpf", "perf_event_open", "userfaultfd", "uretprobe",
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"modify_ldt", "name_to_handle_at", "open_by_handle_at", "fanotify_init", "fanotify_mark",
	"lookup_dcookie", "quotactl", "quotactl_fd", "vmsplice",
	"mount", "umount2", "pivot_root", "setns", "unshare", "listmount", "statmount",
	"remap_file_pages", "memfd_secret", "map_shadow_stack",
	"adjtimex", "clock_adjtime", "clock_adjtime64",
}

// families are the kinds of sockets that functions may open. AF_VSOCK in particular
// would lead past every network namespace to a virtual machine's host.
var families = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// filter is the system call filter of every sandbox: the default profile of the
// Moby project, resolved for a process without capabilities, with denied and all but
// a few socket families taken out, for this machine's own instruction set only.
func filter() (*specs.LinuxSeccomp, error) {
	profile, err := seccomp.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}},
	})
	if err != nil {
		return nil, err
	}
	if len(profile.Architectures) > 1 {
		profile.Architectures = profile.Architectures[:1] // its own, then the older ones it can run
	}
	kept := profile.Syscalls[:0]
	for _, call := range profile.Syscalls {
		call.Names = slices.DeleteFunc(slices.Clone(call.Names), func(name string) bool {
			return name == "socket" || slices.Contains(denied, name)
		})
		if len(call.Names) > 0 {
			kept = append(kept, call)
		}
	}
	profile.Syscalls = kept
	for _, family := range families {
		profile.Syscalls = append(profile.Syscalls, specs.LinuxSyscall{
			Names:  []string{"socket"},
			Action: specs.ActAllow,
			Args:   []specs.LinuxSeccompArg{{Index: 0, Value: family, Op: specs.OpEqualTo}},
		})
	}
	return profile, nil
}
