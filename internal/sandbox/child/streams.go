// Package child holds what every driver needs for the first process of a sandbox:
// descriptor 3, the output pipe, and a reliable word on how the process ended.
package child

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Streams are both ends of a sandbox's descriptor 3 and of its output pipe. The
// caller passes the inner ends to the first process and then calls CloseInner, or
// the host never sees the end of either.
type Streams struct {
	Conn   net.Conn // the host's end of descriptor 3
	Output *os.File // reading end of standard output and standard error

	InnerConn   *os.File // becomes descriptor 3
	InnerOutput *os.File // becomes descriptors 1 and 2
}

// NewStreams makes a connected pair of stream sockets and a pipe. No descriptor is
// inherited by processes other than those it is handed to.
func NewStreams() (*Streams, error) {
	conn, inner, err := socketPair()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		conn.Close()
		inner.Close()
		return nil, fmt.Errorf("output pipe: %w", err)
	}
	return &Streams{Conn: conn, Output: r, InnerConn: inner, InnerOutput: w}, nil
}

// sendBuffer is half of how much may be under way in each direction, in bytes, as the kernel
// doubles it: some large bodies, so that neither side waits for the other in the middle of one.
const sendBuffer = 1 << 20

func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	for _, fd := range fds {
		// Root may go beyond the machine's bound; without it large bodies take more turns.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
		}
	}
	outer := os.NewFile(uintptr(fds[0]), "descriptor 3, host")
	defer outer.Close() // FileConn duplicates it
	inner := os.NewFile(uintptr(fds[1]), "descriptor 3, sandbox")
	conn, err := net.FileConn(outer)
	if err != nil {
		inner.Close()
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	return conn, inner, nil
}

// Chown gives the pipe to a user, so that the process may open /dev/stdout again
// (shells and some loggers do).
func (s *Streams) Chown(uid, gid int) error {
	if err := s.InnerOutput.Chown(uid, gid); err != nil {
		return fmt.Errorf("output pipe: %w", err)
	}
	return nil
}

// CloseInner closes the ends that the first process has inherited.
func (s *Streams) CloseInner() {
	s.InnerConn.Close()
	s.InnerOutput.Close()
}

// Close closes all four ends, for a start that failed.
func (s *Streams) Close() {
	s.CloseInner()
	s.Conn.Close()
	s.Output.Close()
}
