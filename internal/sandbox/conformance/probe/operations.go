package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// operations are what the probe can be told to try.
var operations = map[string]func(args []string) (reply, error){
	"echo": func(a []string) (reply, error) { return reply{Out: strings.Join(a, " ")}, nil },
	"ids": func([]string) (reply, error) {
		return reply{N: int64(os.Getuid()), Out: fmt.Sprint(os.Getgroups())}, nil
	},
	"pid":    func([]string) (reply, error) { return reply{N: int64(os.Getpid())}, nil },
	"getenv": func(a []string) (reply, error) { return reply{Out: os.Getenv(a[0])}, nil },
	"cwd":    func([]string) (reply, error) { s, err := os.Getwd(); return reply{Out: s}, err },

	"read":   func(a []string) (reply, error) { b, err := os.ReadFile(a[0]); return reply{Out: string(b)}, err },
	"write":  func(a []string) (reply, error) { return reply{}, os.WriteFile(a[0], []byte(a[1]), 0o644) },
	"remove": func(a []string) (reply, error) { return reply{}, os.RemoveAll(a[0]) },
	"list":   list,
	"exists": func(a []string) (reply, error) { _, err := os.Lstat(a[0]); return reply{}, err },
	"space":  space,
	"fill":   fill,
	"flood":  flood,
	"mknod": func(a []string) (reply, error) {
		return reply{}, unix.Mknod(a[0], unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	},
	"exec": execute,

	"mount": func(a []string) (reply, error) { return reply{}, unix.Mount("x", a[0], "tmpfs", 0, "") },
	"remount": func(a []string) (reply, error) {
		return reply{}, unix.Mount("", a[0], "", unix.MS_REMOUNT|unix.MS_BIND, "")
	},
	"umount":    func(a []string) (reply, error) { return reply{}, unix.Unmount(a[0], unix.MNT_DETACH) },
	"chroot":    func(a []string) (reply, error) { return reply{}, unix.Chroot(a[0]) },
	"setuid":    func([]string) (reply, error) { return reply{}, unix.Setresuid(0, 0, 0) },
	"unshare":   unshare,
	"setns":     func([]string) (reply, error) { return reply{}, call(unix.SYS_SETNS, 0, 0) },
	"ptrace":    ptrace,
	"hostname":  func([]string) (reply, error) { return reply{}, unix.Sethostname([]byte("mine")) },
	"priority":  func([]string) (reply, error) { return reply{}, unix.Setpriority(unix.PRIO_PROCESS, 0, -20) },
	"rlimit":    raiseLimit,
	"socket":    socket,
	"forbidden": forbidden,

	"forks": forks,
	"spawn": spawn,
	"hog":   hog,
	"burn":  burn,
	"print": printBytes,
	"exit":  func(a []string) (reply, error) { os.Exit(int(number(a[0]))); return reply{}, nil },
	// orphans starts so many processes whose parent ends before them.
	"orphans": func(a []string) (reply, error) {
		for range number(a[0]) {
			if err := exec.Command("/bin/sh", "-c", "(sleep 0.05) &").Run(); err != nil {
				return reply{}, err
			}
		}
		return reply{}, nil
	},
	"kill": func(a []string) (reply, error) {
		return reply{}, unix.Kill(int(number(a[0])), unix.Signal(number(a[1])))
	},

	"addrs":  addrs,
	"dial":   dial,
	"listen": listen,
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // the suite writes numbers
	return n
}

func list(a []string) (reply, error) {
	entries, err := os.ReadDir(a[0])
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return reply{N: int64(len(names)), Out: strings.Join(names, "\n")}, err
}

// space tells how many bytes a file system has room for.
func space(a []string) (reply, error) {
	var st unix.Statfs_t
	err := unix.Statfs(a[0], &st)
	return reply{N: int64(st.Bavail) * st.Bsize}, err
}

// fill writes up to N bytes into a file and tells how many went in.
func fill(a []string) (reply, error) {
	f, err := os.Create(a[0])
	if err != nil {
		return reply{}, err
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for i := range block {
		block[i] = byte(i*7 + i>>8)
	}
	var n int64
	for limit := number(a[1]); n < limit; {
		k, err := f.Write(block)
		n += int64(k)
		if err != nil {
			return reply{N: n}, err
		}
	}
	return reply{N: n}, nil
}

// flood makes up to N empty files.
func flood(a []string) (reply, error) {
	if err := os.MkdirAll(a[0], 0o755); err != nil {
		return reply{}, err
	}
	for n := range number(a[1]) {
		fd, err := unix.Open(filepath.Join(a[0], strconv.FormatInt(n, 36)), unix.O_CREAT|unix.O_WRONLY, 0o600)
		if err != nil {
			return reply{N: n}, err
		}
		unix.Close(fd)
	}
	return reply{N: number(a[1])}, nil
}

func execute(a []string) (reply, error) {
	out, err := exec.Command(a[0], a[1:]...).CombinedOutput()
	return reply{Out: string(out)}, err
}

// call makes a system call with harmless arguments: one that is let through fails
// with an error of its own, or does nothing.
func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return errno
	}
	return nil
}

// forbidden makes every system call that a function has no business with and lists
// those that are not refused as such.
func forbidden([]string) (reply, error) {
	bad := ^uintptr(0) // no descriptor, no address
	calls := map[string]func() error{
		"keyctl":            func() error { return call(unix.SYS_KEYCTL, 0, 0) },
		"add_key":           func() error { return call(unix.SYS_ADD_KEY, bad) },
		"request_key":       func() error { return call(unix.SYS_REQUEST_KEY, bad) },
		"bpf":               func() error { return call(unix.SYS_BPF, bad) },
		"perf_event_open":   func() error { return call(unix.SYS_PERF_EVENT_OPEN, bad) },
		"userfaultfd":       func() error { return call(unix.SYS_USERFAULTFD, bad) },
		"io_uring_setup":    func() error { return call(unix.SYS_IO_URING_SETUP, bad) },
		"process_vm_readv":  func() error { return call(unix.SYS_PROCESS_VM_READV, 1) },
		"kcmp":              func() error { return call(unix.SYS_KCMP, 1, 1, bad) },
		"pidfd_getfd":       func() error { return call(unix.SYS_PIDFD_GETFD, bad) },
		"init_module":       func() error { return call(unix.SYS_INIT_MODULE, bad) },
		"kexec_load":        func() error { return call(unix.SYS_KEXEC_LOAD, bad) },
		"reboot":            func() error { return call(unix.SYS_REBOOT, 0) },
		"swapon":            func() error { return call(unix.SYS_SWAPON, bad) },
		"mount":             func() error { return call(unix.SYS_MOUNT, bad) },
		"fsopen":            func() error { return call(unix.SYS_FSOPEN, bad) },
		"open_tree":         func() error { return call(unix.SYS_OPEN_TREE, bad) },
		"move_mount":        func() error { return call(unix.SYS_MOVE_MOUNT, bad) },
		"pivot_root":        func() error { return call(unix.SYS_PIVOT_ROOT, bad) },
		"setns":             func() error { return call(unix.SYS_SETNS, bad) },
		"open_by_handle_at": func() error { return call(unix.SYS_OPEN_BY_HANDLE_AT, bad) },
		"settimeofday":      func() error { return call(unix.SYS_SETTIMEOFDAY, bad) },
		"clock_settime":     func() error { return call(unix.SYS_CLOCK_SETTIME, 0, bad) },
		"acct":              func() error { return call(unix.SYS_ACCT, bad) },
		"syslog":            func() error { return call(unix.SYS_SYSLOG, 10) },
		"fanotify_init":     func() error { return call(unix.SYS_FANOTIFY_INIT, bad) },
	}
	var through []string
	for name, try := range calls {
		if err := try(); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
			through = append(through, fmt.Sprintf("%s (%v)", name, err))
		}
	}
	return reply{N: int64(len(calls)), Out: strings.Join(through, ", ")}, nil
}

// unshare tries every kind of namespace and lists those it could make.
func unshare([]string) (reply, error) {
	kinds := map[string]int{
		"user": unix.CLONE_NEWUSER, "mount": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID,
		"net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP,
	}
	var made []string
	for kind, flag := range kinds {
		// A thread of its own, thrown away afterwards.
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			done <- call(unix.SYS_UNSHARE, uintptr(flag))
		}()
		if <-done == nil {
			made = append(made, kind+" by unshare")
		}
		cmd := exec.Command("/proc/self/exe", "exit", "0")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(flag)}
		if cmd.Run() == nil {
			made = append(made, kind+" by clone")
		}
	}
	return reply{Out: strings.Join(made, ", ")}, nil
}

func ptrace([]string) (reply, error) {
	cmd := exec.Command("/proc/self/exe", "stubborn")
	if err := cmd.Start(); err != nil {
		return reply{}, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	return reply{}, call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(cmd.Process.Pid), 0, 0)
}

// raiseLimit tries to have more open files than the hard limit.
func raiseLimit([]string) (reply, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return reply{}, err
	}
	hard := int64(l.Max)
	l.Max++
	return reply{N: hard}, unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}

// socket FAMILY TYPE PROTOCOL
func socket(a []string) (reply, error) {
	fd, err := unix.Socket(int(number(a[0])), int(number(a[1])), int(number(a[2])))
	if err == nil {
		unix.Close(fd)
	}
	return reply{}, err
}

// forks starts up to N processes that stay.
func forks(a []string) (reply, error) {
	for n := range number(a[0]) {
		if err := exec.Command("/bin/sleep", "3600").Start(); err != nil {
			return reply{N: n}, err
		}
	}
	return reply{N: number(a[0])}, nil
}

// spawn starts a process that does everything to outlive its parent: a session of
// its own, no controlling anything, its parent gone, signals ignored.
func spawn([]string) (reply, error) {
	out, err := exec.Command("/bin/sh", "-c", "setsid /proc/"+strconv.Itoa(os.Getpid())+"/exe stubborn >/dev/null 2>&1 3>&- & echo $!").Output()
	return reply{N: number(strings.TrimSpace(string(out)))}, err
}

var held [][]byte

// hog takes N MiB of memory and keeps it.
func hog(a []string) (reply, error) {
	for n := range number(a[0]) {
		b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return reply{N: n}, err
		}
		for i := 0; i < len(b); i += 4096 {
			*(*byte)(unsafe.Pointer(&b[i])) = 1
		}
		held = append(held, b)
	}
	return reply{N: number(a[0])}, nil
}

// burn keeps THREADS threads busy for N milliseconds and tells how many milliseconds
// of processor time they got.
func burn(a []string) (reply, error) {
	before := processorTime()
	end := time.Now().Add(time.Duration(number(a[0])) * time.Millisecond)
	runtime.GOMAXPROCS(int(number(a[1])))
	var threads sync.WaitGroup
	for range number(a[1]) {
		threads.Go(func() {
			for time.Now().Before(end) {
			}
		})
	}
	threads.Wait()
	return reply{N: (processorTime() - before) / int64(time.Millisecond)}, nil
}

// processorTime is what this process has used, in nanoseconds.
func processorTime() int64 {
	var use unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &use) // cannot fail with these arguments
	return use.Utime.Nano() + use.Stime.Nano()
}

// print writes N bytes, numbered lines, to standard output.
func printBytes(a []string) (reply, error) {
	var n int64
	for i := 0; n < number(a[0]); i++ {
		k, err := fmt.Printf("%015d\n", i)
		n += int64(k)
		if err != nil {
			return reply{N: n}, err
		}
	}
	return reply{N: n}, nil
}

func addrs([]string) (reply, error) {
	list, err := net.InterfaceAddrs()
	var words []string
	for _, a := range list {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() {
			words = append(words, ip.IP.String())
		}
	}
	return reply{Out: strings.Join(words, " ")}, err
}

// dial ADDRESS: connects and reads a word.
func dial(a []string) (reply, error) {
	conn, err := net.DialTimeout("tcp", a[0], time.Duration(number(a[1]))*time.Millisecond)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 64)
	n, err := conn.Read(b)
	return reply{Out: string(b[:n])}, err
}

// listen ADDRESS: greets everybody from then on; tells its port.
func listen(a []string) (reply, error) {
	l, err := net.Listen("tcp", a[0])
	if err != nil {
		return reply{}, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "hello from inside")
			conn.Close()
		}
	}()
	return reply{N: int64(l.Addr().(*net.TCPAddr).Port)}, nil
}
