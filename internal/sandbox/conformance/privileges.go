package conformance

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
)

func user(i sandbox.Isolation) bool       { return i.User }
func fileSystem(i sandbox.Isolation) bool { return i.FileSystem }
func syscalls(i sandbox.Isolation) bool   { return i.Syscalls }

// refusal is how the kernel says no.
var refusal = []string{"EPERM", "EACCES", "ENOSYS"}

// hostUID is the user that the host sees.
func hostUID(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)`).FindStringSubmatch(string(b))
	if m == nil || m[1] != m[2] || m[1] != m[3] || m[1] != m[4] {
		t.Fatalf("process %d has several users: %v", pid, m)
	}
	uid, _ := strconv.Atoi(m[1]) // digits
	return uid
}

func identity(t *testing.T, s *suite) {
	d := s.promises(t, user)
	a, b := s.start(t, d), s.start(t, d)
	if uid := a.must("ids").N; uid == 0 {
		t.Error("root inside")
	}
	if groups := a.must("ids").Out; strings.Contains(strings.Trim(groups, "[]"), "0 ") || groups == "[0]" {
		t.Errorf("groups %s", groups)
	}
	ua, ub := hostUID(t, a.PID()), hostUID(t, b.PID())
	if ua < 65536 || ub < 65536 || ua == ub {
		t.Errorf("users on the host: %d and %d; want different ones, of nobody else", ua, ub)
	}
	status := a.must("read", "/proc/self/status").Out
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if !strings.Contains(status, set+":\t0000000000000000\n") {
			t.Errorf("capabilities in %s", set)
		}
	}
	if !strings.Contains(status, "NoNewPrivs:\t1\n") {
		t.Error("new privileges can be had")
	}
	if pid := a.must("pid").N; pid > 16 { // those before it started it
		t.Errorf("process id %d inside", pid)
	}
}

func privileges(t *testing.T, s *suite) {
	in := s.start(t, s.promises(t, user))
	tmp := in.TmpDir()
	for _, order := range [][]string{
		{"mount", tmp}, {"mount", "/var/task"}, {"remount", "/usr"}, {"remount", "/"}, {"remount", "/proc/sys"},
		{"umount", "/proc/sys"}, {"umount", "/proc/kcore"}, {"umount", tmp}, {"umount", "/usr/local"},
		{"chroot", tmp}, {"setuid"}, {"setns"}, {"ptrace"}, {"mknod", tmp + "/null"}, {"hostname"},
		{"priority"}, {"rlimit"},
	} {
		in.refused(refusal, order[0], order[1:]...)
	}
	if made := in.must("unshare").Out; made != "" {
		t.Errorf("namespaces could be made: %s", made)
	}
	// A copy of a program that its owner marks set-user-id gives nothing.
	in.must("exec", "/bin/sh", "-c", "cp /bin/id "+tmp+"/id && chmod 4755 "+tmp+"/id && test \"$("+tmp+"/id -u)\" != 0")
}

func systemCalls(t *testing.T, s *suite) {
	in := s.start(t, s.promises(t, syscalls))
	if status := in.must("read", "/proc/self/status").Out; !strings.Contains(status, "Seccomp:\t2\n") {
		t.Error("no system call filter")
	}
	r := in.must("forbidden")
	if r.Out != "" || r.N < 20 {
		t.Errorf("of %d forbidden system calls these were not refused: %s", r.N, r.Out)
	}
}

func sockets(t *testing.T, s *suite) {
	in := s.start(t, s.promises(t, syscalls))
	for _, family := range []int{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6} {
		in.must("socket", strconv.Itoa(family), strconv.Itoa(unix.SOCK_STREAM), "0")
	}
	for _, family := range []int{unix.AF_VSOCK, unix.AF_ALG, unix.AF_PACKET, unix.AF_KEY, unix.AF_TIPC, unix.AF_CAN, unix.AF_BLUETOOTH} {
		in.refused(refusal, "socket", strconv.Itoa(family), strconv.Itoa(unix.SOCK_DGRAM), "0")
	}
	in.refused(refusal, "socket", strconv.Itoa(unix.AF_INET), strconv.Itoa(unix.SOCK_RAW), strconv.Itoa(unix.IPPROTO_ICMP))
}

func readOnly(t *testing.T, s *suite) {
	in := s.start(t, s.promises(t, fileSystem))
	for _, path := range []string{
		"/x", "/usr/x", "/usr/bin/x", "/usr/bin/env", "/usr/local/x", "/etc/x", "/etc/passwd", "/etc/hosts",
		"/etc/resolv.conf", "/dev/x", "/var/x", "/opt/x", sandbox.TaskRoot + "/x", sandbox.TaskRoot + "/index.js",
		sandbox.RuntimeRoot + "/x", sandbox.RuntimeRoot + "/probe", "/proc/sys/kernel/hostname",
		"/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger",
		"/sys/kernel/x", "/proc/1/oom_score_adj_x",
	} {
		in.refused([]string{"EROFS", "EACCES", "EPERM", "ENOENT", "ETXTBSY"}, "write", path, "x")
	}
	if got := in.must("read", in.CodeDir()+"/index.js").Out; got != "the code" {
		t.Errorf("the code reads %q", got)
	}
	if got := readFile(t, s.code+"/index.js"); got != "the code" {
		t.Errorf("the code on the host reads %q", got)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func hostInvisible(t *testing.T, s *suite) {
	d, dir := s.driver(t)
	if !d.Isolation().FileSystem {
		t.Skip("the driver makes no such promise")
	}
	secret, err := os.CreateTemp("/tmp", "hearth-conformance-secret-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(secret.Name())
	secret.Close()
	in := s.start(t, d)
	for _, path := range []string{
		"/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/root", "/home", "/run", "/var/run", "/var/lib",
		"/var/log", "/boot", "/srv", "/mnt", "/media", "/lost+found", "/.dockerenv", secret.Name(), dir, s.shim, s.code,
	} {
		in.refused([]string{"ENOENT"}, "exists", path)
	}
	known := []string{"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "sbin", "tmp", "usr", "var"}
	for _, name := range strings.Split(in.must("list", "/").Out, "\n") {
		if !slices.Contains(known, name) {
			t.Errorf("/%s is visible", name)
		}
	}
	// The way out through another process's root leads back in.
	in.refused([]string{"ENOENT"}, "exists", "/proc/1/root/"+secret.Name())
	in.refused([]string{"ENOENT"}, "exists", "/proc/1/cwd/../../../../.."+secret.Name())
}

// strangers are the processes visible inside besides the sandbox's first and the probe.
func (in *inside) strangers() (pids []int) {
	own := in.must("pid").N
	for _, name := range strings.Split(in.must("list", "/proc").Out, "\n") {
		if pid, err := strconv.Atoi(name); err == nil && pid != 1 && pid != int(own) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// orphans: a process whose parent has gone does not stay as a zombie until zombies
// fill the pids limit.
func orphans(t *testing.T, s *suite) {
	in := s.start(t, s.promises(t, fileSystem))
	in.must("orphans", "50")
	var left []int
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if left = in.strangers(); len(left) == 0 {
			return
		}
	}
	t.Errorf("%d of 50 orphans are still there", len(left))
}

func procFileSystem(t *testing.T, s *suite) {
	in := s.start(t, s.promises(t, fileSystem))
	if strangers := in.strangers(); len(strangers) > 0 {
		t.Errorf("processes %v are visible", strangers)
	}
	for _, file := range []string{"cmdline", "kcore", "keys", "key-users", "kallsyms", "timer_list", "interrupts", "modules", "sched_debug", "kmsg"} {
		r := in.try("read", "/proc/"+file)
		if r.Out != "" || r.Err == "" && strings.TrimSpace(r.Out) != "" {
			t.Errorf("/proc/%s can be read: %.80q", file, r.Out)
		}
	}
	for _, dir := range []string{"/proc/acpi", "/proc/scsi", "/sys", "/sys/fs/cgroup"} {
		if r := in.try("list", dir); r.N > 0 {
			t.Errorf("%s is not empty: %.80q", dir, r.Out)
		}
	}
	// The host's names for things do not show in the sandbox's view of its cgroups.
	for _, line := range strings.Fields(in.must("read", "/proc/self/cgroup").Out) {
		if !strings.HasSuffix(line, ":/") {
			t.Errorf("cgroup %q is not the root of its namespace", line)
		}
	}
}

// descriptors: nothing of the host's comes in as an open file.
func descriptors(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	in := s.start(t, d)
	listing := in.must("exec", "/bin/sh", "-c", "for f in /proc/"+strconv.FormatInt(in.must("pid").N, 10)+"/fd/*; do readlink $f; done; true").Out
	for _, target := range strings.Fields(listing) {
		ours := target == "/dev/null" || strings.HasPrefix(target, "anon_inode:") ||
			strings.HasPrefix(target, "pipe:") || strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "/proc/") ||
			strings.HasPrefix(target, "/sys/fs/cgroup/cpu") // the probe's own: Go looks for its limit
		if !ours {
			t.Errorf("%s is open inside", target)
		}
	}
	if n := strings.Count(listing, "socket:"); n != 1 {
		t.Errorf("%d sockets are open inside, want descriptor 3 alone:\n%s", n, listing)
	}
}
