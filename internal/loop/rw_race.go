//go:build race

package loop

import "syscall"

// The race detector knows what these two order.

func read(fd int, p []byte) (int, error)  { return again(syscall.Read, fd, p) }
func write(fd int, p []byte) (int, error) { return again(syscall.Write, fd, p) }

func again(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		if n, err := call(fd, p); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
