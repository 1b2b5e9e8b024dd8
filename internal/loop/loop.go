package loop

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Events are what a socket is ready for, or is watched for.
type Events uint32

const (
	// Readable also stands for the end of the connection, and for errors: a read tells.
	Readable Events = 1 << iota
	Writable
	// Broken comes with Readable, whatever the socket is watched for: the connection has
	// been reset, or both its halves are closed.
	Broken
)

// Handler is called back about one socket.
type Handler interface {
	// Ready is called on the loop's goroutine and must not block. A socket that has been
	// closed a moment ago may be called about once more.
	Ready(Events)
}

// Flusher has something to write at the end of a turn.
type Flusher interface {
	// Flush is called on the loop's goroutine and must not block.
	Flush()
}

const (
	batch       = 256       // sockets looked at in one turn
	scratchSize = 256 << 10 // bytes
)

// Loop watches sockets. Its methods may be called from many goroutines.
type Loop struct {
	epoll, wake int // descriptors
	scratch     []byte
	events      [batch]unix.EpollEvent
	ready       [batch]call
	spin        spinner
	stopping    atomic.Bool
	done        chan struct{}

	mu      sync.Mutex
	places  []place // of watched sockets
	free    []uint32
	turning bool // a turn is under way, and its end will flush
	later   []Flusher
	spare   []Flusher // what later was before
}

type place struct {
	handler Handler
	uses    uint32 // tells a late event for an earlier socket of this place
}

type call struct {
	handler Handler
	events  Events
}

// New makes a Loop and starts its goroutine. The caller must Close it.
func New() (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &Loop{epoll: epoll, wake: wake, scratch: TakeBuffer(scratchSize)[:scratchSize], done: make(chan struct{})}
	l.spin = newSpinner(runtime.GOMAXPROCS(0))
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1, Pad: -1}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &event); err != nil {
		unix.Close(epoll)
		unix.Close(wake)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	go l.run()
	return l, nil
}

// Close ends the loop's goroutine and waits for it. Sockets that are still watched are
// not closed, and are called back no more.
func (l *Loop) Close() {
	if !l.stopping.Swap(true) {
		one := [8]byte{1}
		_, _ = unix.Write(l.wake, one[:])
	}
	<-l.done
}

// Later has f flushed at the end of the turn that is under way. It returns false when
// there is none: the caller then flushes by itself.
func (l *Loop) Later(f Flusher) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turning {
		l.later = append(l.later, f)
	}
	return l.turning
}

// Scratch is room for one read, which every Ready of this loop may use: what is to be
// kept must be copied, or kept with KeepScratch.
func (l *Loop) Scratch() []byte { return l.scratch }

// KeepScratch leaves the scratch to the caller, who is in Ready: it is a buffer, for
// GiveBuffer in the end. The loop takes another.
func (l *Loop) KeepScratch() { l.scratch = TakeBuffer(scratchSize)[:scratchSize] }

func (l *Loop) run() {
	defer l.close()
	for !l.stopping.Load() {
		n := l.wait()
		for i := range l.begin(n) {
			c := l.ready[i]
			l.ready[i] = call{}
			c.handler.Ready(c.events)
		}
		l.end()
	}
}

func (l *Loop) close() {
	l.mu.Lock()
	l.turning, l.places, l.later = false, nil, nil
	unix.Close(l.epoll)
	unix.Close(l.wake)
	l.epoll = -1
	l.mu.Unlock()
	close(l.done)
}

// wait waits until sockets are ready and returns how many.
func (l *Loop) wait() int {
	for began := time.Duration(0); ; {
		if n := l.poll(); n != 0 {
			l.spin.woke(n)
			return n
		}
		runtime.Gosched() // what this turn made runnable need not wait for another thread
		if began = l.spin.next(began); began < 0 {
			break
		}
	}
	for {
		n, err := unix.EpollWait(l.epoll, l.events[:], -1)
		switch {
		case err == nil:
			l.spin.slept(n)
			return n
		case err != unix.EINTR:
			panic(fmt.Sprintf("loop: epoll_wait: %v", err)) // a broken invariant: epoll is ours
		}
	}
}

// poll looks without waiting, and without telling the scheduler: it takes less than a
// microsecond.
func (l *Loop) poll() int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll),
		uintptr(unsafe.Pointer(&l.events[0])), batch, 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// begin begins a turn: it finds out who is to be called about n events.
func (l *Loop) begin(n int) (calls int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turning = true
	for i := range l.events[:n] {
		e := &l.events[i]
		if e.Fd < 0 {
			continue // only Close writes to wake
		}
		at := &l.places[e.Fd]
		if at.handler == nil || at.uses != uint32(e.Pad) {
			continue
		}
		var events Events
		if e.Events&^unix.EPOLLOUT != 0 {
			events = Readable
		}
		if e.Events&unix.EPOLLOUT != 0 {
			events |= Writable
		}
		if e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			events |= Broken
		}
		l.ready[calls] = call{at.handler, events}
		calls++
	}
	return calls
}

// end ends a turn: it flushes until nobody wants to any more.
func (l *Loop) end() {
	for {
		l.mu.Lock()
		flush := l.later
		if len(flush) == 0 {
			l.turning = false
			l.mu.Unlock()
			return
		}
		l.later, l.spare = l.spare[:0], flush
		l.mu.Unlock()
		for i, f := range flush {
			flush[i] = nil
			f.Flush()
		}
	}
}

func (l *Loop) take(h Handler) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		l.free = append(l.free, uint32(len(l.places)))
		l.places = append(l.places, place{})
	}
	at := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.places[at].handler = h
	return at
}

func (l *Loop) give(at uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places == nil {
		return // the loop is closed
	}
	l.places[at].handler = nil
	l.places[at].uses++
	l.free = append(l.free, at)
}

func (l *Loop) control(op, fd int, at uint32, want Events) error {
	event := unix.EpollEvent{Fd: int32(at)}
	if want&Readable != 0 {
		event.Events = unix.EPOLLIN
	}
	if want&Writable != 0 {
		event.Events |= unix.EPOLLOUT
	}
	l.mu.Lock()
	if l.places == nil {
		l.mu.Unlock()
		return os.ErrClosed
	}
	event.Pad = int32(l.places[at].uses)
	err := unix.EpollCtl(l.epoll, op, fd, &event)
	l.mu.Unlock()
	return os.NewSyscallError("epoll_ctl", err)
}
