//go:build !race

package loop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func read(fd int, p []byte) (int, error)  { return rw(unix.SYS_READ, fd, p) }
func write(fd int, p []byte) (int, error) { return rw(unix.SYS_WRITE, fd, p) }

// rw reads or writes without telling the scheduler: the descriptor does not block, and
// what remains, a copy and the network stack, takes some microseconds.
func rw(trap uintptr, fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
