package child

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
)

// AdoptOrphans makes this process the parent of descendants whose own parent has
// gone (PR_SET_CHILD_SUBREAPER). A container's first process is started by a runtime
// that exits at once; with this it becomes our child, its exit status is ours to
// read, and its pid is not given to another process before we have read it.
func AdoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphaned processes: %w", err)
	}
	return nil
}

// Watcher waits for one child process. It costs a descriptor and a parked goroutine,
// not a thread: the runtime's poller waits for the process.
type Watcher struct {
	pid  int
	pidf *os.File
	done chan struct{}
	exit sandbox.Exit // set before done is closed
}

// Watch starts to wait for pid, a child of this process that nobody else waits for.
// finish, if not nil, may complete the Exit before Done is closed; it must not block
// for long. The Watcher ends by itself when the process does.
func Watch(pid int, finish func(*sandbox.Exit)) (*Watcher, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("pidfd of process %d: %w", pid, err)
	}
	w := &Watcher{
		pid:  pid,
		pidf: os.NewFile(uintptr(fd), "pidfd"),
		done: make(chan struct{}),
	}
	go w.wait(finish)
	return w, nil
}

// PID is the process's id. It stays valid until Done is closed.
func (w *Watcher) PID() int { return w.pid }

// Done is closed once the process has ended and its status has been read.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// Exit tells how the process ended. It is meaningful once Done is closed.
func (w *Watcher) Exit() sandbox.Exit {
	select {
	case <-w.done:
		return w.exit
	default:
		return sandbox.Exit{}
	}
}

// Kill sends SIGKILL to exactly this process, or to nobody if it has ended.
func (w *Watcher) Kill() {
	raw, err := w.pidf.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0)
	})
}

// Control calls do with a descriptor that refers to exactly this process. It fails if
// the process has ended.
func (w *Watcher) Control(do func(pidfd int) error) error {
	raw, err := w.pidf.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return fmt.Errorf("process %d has ended: %w", w.pid, err)
	}
	return failed
}

func (w *Watcher) wait(finish func(*sandbox.Exit)) {
	defer close(w.done)
	defer w.pidf.Close()
	w.exit = w.collect()
	if finish != nil {
		finish(&w.exit)
	}
}

func (w *Watcher) collect() sandbox.Exit {
	lost := sandbox.Exit{Code: 255} // somebody else has read the status
	raw, err := w.pidf.SyscallConn()
	if err != nil {
		return lost
	}
	exit := lost
	// Read calls back when the pidfd is readable, that is, when the process ended.
	_ = raw.Read(func(fd uintptr) bool {
		var ended bool
		if exit, ended, err = waitPidfd(int(fd)); err != nil {
			exit = lost
			return true
		}
		return ended
	})
	return exit
}

// sigchldInfo is the kernel's siginfo_t as waitid fills it in.
type sigchldInfo struct {
	signo, errno, code int32
	_                  int32 // alignment of the union on 64-bit machines
	pid, uid, status   int32
	_                  [100]byte
}

// cldExited in sigchldInfo.code: the child ended by itself, status is its exit
// status. With any other code, status is the signal that killed it.
const cldExited = 1

// waitPidfd reads the status of an ended child and lets go of its pid.
func waitPidfd(fd int) (exit sandbox.Exit, ended bool, err error) {
	var info sigchldInfo
	for {
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_PIDFD, uintptr(fd),
			uintptr(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return exit, false, errno
		}
		break
	}
	if info.pid == 0 {
		return exit, false, nil
	}
	if info.code == cldExited {
		return sandbox.Exit{Code: int(info.status)}, true, nil
	}
	sig := syscall.Signal(info.status)
	return sandbox.Exit{Code: 128 + int(sig), Signal: sig}, true, nil
}

// Reap reads the status of pid if it is an ended child of this process, so that
// what a failed start orphaned does not stay as a zombie. It does not wait.
func Reap(pid int) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
