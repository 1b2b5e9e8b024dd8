package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dirLock holds a directory for this process. The kernel gives it up when the
// process ends, however it ends, so there are no stale locks.
type dirLock struct{ file *os.File }

// lockDir makes dir if need be and locks it. The lock file holds the process id, for
// the words of whoever comes second.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: cannot make the directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: cannot open the lock file: %w", err)
	}
	if err := patiently(file); err != nil {
		defer file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by %s; stop that process, or use another data directory", ErrLocked, dir, holder(file))
		}
		return nil, fmt.Errorf("store: cannot lock %s: %w", path, err)
	}
	if err := writePID(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("store: cannot write %s: %w", path, err)
	}
	return &dirLock{file}, nil
}

// A process that was killed while it started another one holds its lock until that one
// is on its own feet: its lock is waited for.
const (
	lockPatience = 5 * time.Second
	lockPause    = 5 * time.Millisecond
)

// patiently locks the file. It waits only for processes that are gone.
func patiently(file *os.File) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPause) {
		err := flock(file)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		if pid := heldBy(file); pid == 0 || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			return err
		}
	}
}

func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// heldBy is the process id in the lock file; 0 if there is none.
func heldBy(file *os.File) int {
	var text [32]byte
	n, _ := file.ReadAt(text[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil || pid <= 0 {
		return 0
	}
	return pid
}

// holder names the process whose id is in the lock file.
func holder(file *os.File) string {
	pid := heldBy(file)
	if pid == 0 {
		return "another process"
	}
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
}

// release gives the directory up. The file stays: to remove it would let two
// processes lock two files of one name.
func (l *dirLock) release() { l.file.Close() }
