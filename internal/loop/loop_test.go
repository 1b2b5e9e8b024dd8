package loop_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"hearth/internal/loop"
	"hearth/internal/loop/looptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// pair returns a socket's descriptor that does not block, and its other end.
func pair(t testing.TB) (fd int, far net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[1]), "far")
	defer f.Close()
	if far, err = net.FileConn(f); err != nil {
		t.Fatal(err)
	}
	if err := far.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return fds[0], far
}

// handler is a Handler of a function. mu orders the function after socket is set.
type handler struct {
	mu     sync.Mutex
	socket *loop.Socket
	ready  func(*loop.Socket, loop.Events)
}

func (h *handler) Ready(e loop.Events) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready(h.socket, e)
}

func watch(t testing.TB, l *loop.Loop, fd int, ready func(*loop.Socket, loop.Events)) *handler {
	t.Helper()
	h := &handler{ready: ready}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.socket = l.Hold(fd, h)
	if err := h.socket.Want(loop.Readable); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.socket.Close)
	return h
}

// echo writes back what has been read, as far as it is taken.
func echo(s *loop.Socket, _ loop.Events) {
	n, err := s.Read(s.Loop().Scratch())
	if err != nil {
		if !errors.Is(err, loop.ErrAgain) {
			s.Close()
		}
		return
	}
	_, _ = s.Write(s.Loop().Scratch()[:n])
}

func TestEcho(t *testing.T) {
	l := looptest.New(t)
	var all sync.WaitGroup
	for i := range 50 {
		fd, far := pair(t)
		watch(t, l, fd, echo)
		all.Go(func() {
			for j := range 100 {
				want := bytes.Repeat([]byte{byte(i), byte(j)}, 50)
				got := make([]byte, len(want))
				if _, err := far.Write(want); err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("socket %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// flushes counts, and writes what has been put off.
type flushes struct {
	socket *loop.Socket
	times  atomic.Int32
	bytes  []byte
}

func (f *flushes) Flush() {
	f.times.Add(1)
	_, _ = f.socket.Write(f.bytes)
}

func TestLater(t *testing.T) {
	l := looptest.New(t)
	outFD, out := pair(t)
	f := &flushes{}
	f.socket = l.Hold(outFD, &handler{})
	t.Cleanup(f.socket.Close)
	inFD, in := pair(t)
	watch(t, l, inFD, func(s *loop.Socket, _ loop.Events) {
		n, err := s.Read(s.Loop().Scratch())
		if err != nil {
			return
		}
		f.bytes = append(f.bytes, s.Loop().Scratch()[:n]...)
		if !l.Later(f) {
			t.Error("there is no turn within a callback")
		}
		if f.times.Load() != 0 {
			t.Error("flushed before the turn ended")
		}
	})
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	// Once the loop sleeps again there is no turn to wait for the end of.
	for deadline := time.Now().Add(patience); l.Later(&flushes{socket: f.socket}); {
		if time.Now().After(deadline) {
			t.Fatal("the turn does not end")
		}
	}
}

// A write that waits is told of when there is room, and not while nobody waits.
func TestWritable(t *testing.T) {
	l := looptest.New(t)
	fd, far := pair(t)
	const size = 4 << 20
	rest := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	h := watch(t, l, fd, func(s *loop.Socket, e loop.Events) {
		if e&loop.Writable == 0 {
			return
		}
		if len(rest) == 0 {
			t.Error("told of room that nobody waits for")
		}
		for len(rest) > 0 {
			n, err := s.Write(rest)
			if errors.Is(err, loop.ErrAgain) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
		_ = s.Want(loop.Readable)
	})
	if err := h.socket.Want(loop.Writable); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.LimitReader(far, size))
	if err != nil || len(got) != size {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestBroken(t *testing.T) {
	l := looptest.New(t)
	fd, far := pair(t)
	broken := make(chan loop.Events, 1)
	h := watch(t, l, fd, func(s *loop.Socket, e loop.Events) {
		if e&loop.Broken != 0 {
			s.Close()
			broken <- e
		}
	})
	if err := h.socket.Want(0); err != nil { // also for who watches for nothing
		t.Fatal(err)
	}
	far.Close()
	select {
	case e := <-broken:
		if e&loop.Readable == 0 {
			t.Errorf("events %b", e)
		}
	case <-time.After(patience):
		t.Fatal("the end of the connection was not told")
	}
}

// A closed socket's methods touch no descriptor, whoever has its number by now.
func TestClosed(t *testing.T) {
	l := looptest.New(t)
	fd, far := pair(t)
	h := watch(t, l, fd, echo)
	h.socket.Close()
	h.socket.Close()
	heir, heirFar := pair(t) // has the same number, most likely
	defer unix.Close(heir)
	if _, err := h.socket.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if _, err := h.socket.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if err := h.socket.Want(loop.Writable); !errors.Is(err, net.ErrClosed) {
		t.Errorf("want: %v", err)
	}
	if _, err := h.socket.Detach(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("detach: %v", err)
	}
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other end: %v", err)
	}
	_ = heirFar.SetReadDeadline(time.Now())
	if _, err := heirFar.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the heir: %v", err)
	}
}

func TestDetach(t *testing.T) {
	l := looptest.New(t)
	fd, far := pair(t)
	h := watch(t, l, fd, func(*loop.Socket, loop.Events) { t.Error("called back about a detached socket") })
	c, err := h.socket.Detach()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := far.Write([]byte("hi")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hi" {
		t.Errorf("%q, %v", got, err)
	}
}

// Sockets that come and go while others are busy are not mistaken for each other.
func TestComeAndGo(t *testing.T) {
	l := looptest.New(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				fd, far := pair(t)
				h := watch(t, l, fd, echo)
				if _, err := far.Write([]byte("ping")); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(far, make([]byte, 4)); err != nil {
					t.Error(err)
				}
				h.socket.Close()
				far.Close()
			}
		})
	}
	all.Wait()
}

func TestCloseOfALoop(t *testing.T) {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	fd, far := pair(t)
	h := watch(t, l, fd, echo)
	l.Close()
	l.Close()
	if l.Later(&flushes{}) {
		t.Error("a closed loop has a turn")
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := h.socket.Want(loop.Writable); err == nil {
		t.Error("a closed loop watches")
	}
}
