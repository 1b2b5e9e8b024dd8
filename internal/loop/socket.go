package loop

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrAgain: nothing can be read or written without waiting. The loop tells when.
const ErrAgain = unix.EAGAIN

// Socket is a descriptor that a Loop watches. None of its methods waits. Its methods
// may be called from many goroutines.
type Socket struct {
	loop *Loop
	at   uint32

	mu     sync.RWMutex // held for writing while the descriptor goes away
	fd     int          // -1: closed
	want   Events       // guarded by wantMu
	wantMu sync.Mutex
}

// Watch takes over fd, which must not block, and watches it for reading. The first
// callback may come before it returns. On an error fd stays the caller's.
func (l *Loop) Watch(fd int, h Handler) (*Socket, error) {
	s := l.Hold(fd, h)
	if err := s.Want(Readable); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// Hold takes over fd as Watch does, and does not watch it yet: Want begins that.
func (l *Loop) Hold(fd int, h Handler) *Socket {
	return &Socket{loop: l, fd: fd, at: l.take(h), want: unwatched}
}

// unwatched is what a socket wants that the kernel does not know of yet.
const unwatched = ^Events(0)

// Take takes the descriptor out of a net.Conn, which it closes: nobody else must wait
// for the same socket.
func Take(c net.Conn) (fd int, err error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T is no socket", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	if controlErr := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
	}); controlErr != nil {
		return -1, controlErr
	}
	if err != nil {
		return -1, os.NewSyscallError("dup", err)
	}
	c.Close()
	return fd, nil
}

// Loop is the loop that watches the socket.
func (s *Socket) Loop() *Loop { return s.loop }

// Want changes what the socket is watched for.
func (s *Socket) Want(events Events) error {
	s.wantMu.Lock()
	defer s.wantMu.Unlock()
	if s.want == events {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return net.ErrClosed
	}
	op := unix.EPOLL_CTL_MOD
	if s.want == unwatched {
		op = unix.EPOLL_CTL_ADD
	}
	if err := s.loop.control(op, s.fd, s.at, events); err != nil {
		return err
	}
	s.want = events
	return nil
}

// Read reads what is there: ErrAgain when nothing is, io.EOF at the end.
func (s *Socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return 0, net.ErrClosed
	}
	n, err := read(s.fd, p)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes what the socket takes; the error is ErrAgain when it takes nothing.
func (s *Socket) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return 0, net.ErrClosed
	}
	return write(s.fd, p)
}

// Accept takes a connection off a listening socket; its descriptor does not block.
func (s *Socket) Accept() (fd int, from unix.Sockaddr, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return -1, nil, net.ErrClosed
	}
	return unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
}

// CloseWrite ends the sending half of the connection.
func (s *Socket) CloseWrite() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return net.ErrClosed
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(s.fd, unix.SHUT_WR))
}

// Close closes the socket. Closing twice is harmless.
func (s *Socket) Close() {
	if fd := s.release(); fd >= 0 {
		unix.Close(fd)
	}
}

// Detach stops watching and gives the connection back as one that blocks a goroutine.
func (s *Socket) Detach() (net.Conn, error) {
	fd := s.release()
	if fd < 0 {
		return nil, net.ErrClosed
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	return net.FileConn(f)
}

// release takes the descriptor away: -1 if it is gone already.
func (s *Socket) release() int {
	s.mu.Lock()
	fd := s.fd
	s.fd = -1
	s.mu.Unlock()
	if fd < 0 {
		return fd
	}
	s.wantMu.Lock()
	watched := s.want != unwatched
	s.wantMu.Unlock()
	if watched {
		_ = s.loop.control(unix.EPOLL_CTL_DEL, fd, s.at, 0) // the loop may be closed
	}
	s.loop.give(s.at)
	return fd
}
