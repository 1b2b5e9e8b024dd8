package front

import (
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/loop"
)

// Handler serves requests.
type Handler interface {
	// Takes tells whether it serves a request, by its head: there may be no body yet.
	// False says that the connection is to be handed over. It may be asked twice.
	Takes(x *Exchange) bool
	// Begin begins to serve a request that it Takes: the exchange's Answer or Detach is
	// then called once, perhaps before Begin returns, by any goroutine.
	Begin(x *Exchange)
	// Both are called on a loop's goroutine and must not block.

	// Done tells that the exchange is over, with what Answer was given left to the handler
	// again: it has been written, or nobody is there any more. It is called by any
	// goroutine, must not block and has no business with x but its Memory. A connection
	// that ends while it writes may leave it out.
	Done(x *Exchange)

	// Late returns an answer for a client that did not send its request in time.
	Late() []byte
}

// Config of a Front. All fields are needed.
type Config struct {
	Loops   *loop.Group
	Handler Handler
	// HandOver takes a connection, of which some bytes have been read. It must not block.
	HandOver func(c net.Conn, read []byte)

	MaxHeaderBytes int           // request line and headers; what is larger is handed over
	MaxBodyBytes   int           // likewise
	HeaderTimeout  time.Duration // to receive the head of a request
	BodyTimeout    time.Duration // to receive its body
	WriteTimeout   time.Duration // for the client to take some of an answer
	IdleTimeout    time.Duration // between requests
	DrainGrace     time.Duration // for requests half received when Drain is called
}

const (
	// sweepEvery is how exact time-outs are.
	sweepEvery = 500 * time.Millisecond
	// acceptAtOnce bounds the connections that are taken in one turn of a loop.
	acceptAtOnce = 64
	// pauseWhenFull is for how long no connection is taken when descriptors run out.
	pauseWhenFull = 100 * time.Millisecond
	keepAlive     = 15 // seconds, as net's
)

// Front serves one listening socket.
type Front struct {
	cfg      Config
	listener *loop.Socket
	now      atomic.Int64 // Unix nanoseconds, somewhat late
	draining atomic.Bool
	stop     chan struct{}
	sweeper  sync.WaitGroup

	mu    sync.Mutex
	conns map[*conn]struct{}
	empty chan struct{} // closed when a drained Front has no connection any more
}

// New takes over l, which it closes, and begins to serve. The caller must Drain and
// Close the Front.
func New(l net.Listener, cfg Config) (*Front, error) {
	fd, err := listenerFD(l)
	if err != nil {
		return nil, err
	}
	f := &Front{cfg: cfg, conns: map[*conn]struct{}{}, stop: make(chan struct{}), empty: make(chan struct{})}
	f.now.Store(time.Now().UnixNano())
	f.listener = cfg.Loops.Next().Hold(fd, acceptor{f})
	if err := f.listener.Want(loop.Readable); err != nil {
		f.listener.Close()
		return nil, err
	}
	f.sweeper.Go(f.sweep)
	return f, nil
}

// listenerFD takes the descriptor out of a TCP listener.
func listenerFD(l net.Listener) (int, error) {
	sc, ok := l.(*net.TCPListener)
	if !ok {
		return -1, net.UnknownNetworkError(l.Addr().Network())
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	var fd int
	var dup error
	if err := raw.Control(func(old uintptr) { fd, dup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return -1, err
	}
	if dup != nil {
		return -1, os.NewSyscallError("dup", dup)
	}
	return fd, l.Close()
}

// Drain stops accepting, closes idle connections and lets the others finish. It does not
// wait; Empty tells.
func (f *Front) Drain() {
	f.listener.Close()
	f.mu.Lock()
	if !f.draining.Swap(true) && len(f.conns) == 0 {
		close(f.empty)
	}
	f.mu.Unlock()
	for _, c := range f.all() {
		c.drain()
	}
}

// Empty is closed when Drain was called and no connection is left.
func (f *Front) Empty() <-chan struct{} { return f.empty }

// Close drains, closes what is still open, and waits for the Front's own goroutine.
// Exchanges may still be under way; their answers go nowhere.
func (f *Front) Close() {
	f.Drain()
	for _, c := range f.all() {
		c.mu.Lock()
		c.close()
		c.mu.Unlock()
	}
	f.mu.Lock()
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.mu.Unlock()
	f.sweeper.Wait()
}

// Connections counts those that are open.
func (f *Front) Connections() int { return len(f.all()) }

func (f *Front) all() []*conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.conns))
}

func (f *Front) forget(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
	if f.draining.Load() && len(f.conns) == 0 {
		select {
		case <-f.empty:
		default:
			close(f.empty)
		}
	}
}

// acceptor takes new connections.
type acceptor struct{ f *Front }

// Ready is called by the loop when a connection waits.
func (a acceptor) Ready(loop.Events) {
	f := a.f
	for range acceptAtOnce {
		fd, from, err := f.listener.Accept()
		switch err {
		case nil:
			f.add(fd, addrOf(from))
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			if f.listener.Want(0) == nil {
				time.AfterFunc(pauseWhenFull, func() { _ = f.listener.Want(loop.Readable) })
			}
			return
		case unix.ECONNABORTED, unix.EINTR:
		default:
			return
		}
	}
}

func addrOf(from unix.Sockaddr) netip.Addr {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr).Unmap()
	}
	return netip.IPv4Unspecified()
}

func (f *Front) add(fd int, remote netip.Addr) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // these make it better; it works without
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAlive)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAlive)
	c := &conn{front: f}
	c.x.conn, c.x.Remote = c, remote
	c.mu.Lock() // the loop may call at once
	defer c.mu.Unlock()
	c.socket = f.cfg.Loops.Next().Hold(fd, c)
	c.patience(idle, f.cfg.HeaderTimeout)
	f.mu.Lock()
	if f.draining.Load() {
		f.mu.Unlock()
		c.socket.Close()
		return
	}
	f.conns[c] = struct{}{}
	f.mu.Unlock()
	if c.socket.Want(loop.Readable) != nil {
		c.close()
	}
}

// sweep looks after clients that let others wait.
func (f *Front) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case now := <-tick.C:
			f.now.Store(now.UnixNano())
		}
		for _, c := range f.late() {
			c.expire()
		}
	}
}

func (f *Front) late() (late []*conn) {
	now := f.now.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		if due := c.due.Load(); due != 0 && due < now {
			late = append(late, c)
		}
	}
	return late
}
