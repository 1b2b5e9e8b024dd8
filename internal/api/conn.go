package api

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/api/front"
)

// Lingering: a client that is refused while it still sends would see a reset
// instead of the answer. So its data is read and dropped for a moment.
const (
	lingerTime  = front.LingerTime
	lingerBytes = front.LingerBytes
)

type listener struct {
	net.Listener
	s *Server
}

// Accept is net.Listener's.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.s.tls != nil {
		c = tls.Server(c, l.s.tls)
	}
	return l.s.track(c), nil
}

// track makes a connection known, unless it is.
func (s *Server) track(c net.Conn) *conn {
	if known, ok := c.(*conn); ok {
		return known
	}
	tracked := &conn{Conn: c, s: s}
	s.mu.Lock()
	s.conns[tracked] = struct{}{}
	s.mu.Unlock()
	return tracked
}

// trackRead is track for a connection of which some has been read: that is read again.
func (s *Server) trackRead(c net.Conn, read []byte) *conn {
	tracked := s.track(c)
	tracked.early = read
	tracked.heard.Store(len(read) > 0)
	return tracked
}

// conn is a client's connection, known to the Server for as long as it is open.
type conn struct {
	net.Conn
	s      *Server
	heard  atomic.Bool // the client has sent something
	linger atomic.Bool // the client may be sending still when we close
	once   sync.Once
	err    error
	// multiplexed: many requests share the connection, so that none of them can tell how
	// long may be read from it.
	multiplexed atomic.Bool

	// These belong to the goroutine that serves the connection.
	protocol    string // negotiated, "" for HTTP/1.1
	early       []byte // was received and not read yet
	read, write deadline
}

// deadline is one that is set on the connection only when something waits for it, and
// only when it has moved: a server sets three for every request, each at the price of
// the runtime's lock on its timers. It belongs to the goroutine that serves the
// connection.
type deadline struct {
	want, set time.Time
}

// deadlineSlack is by how much a deadline may be missed.
const deadlineSlack = time.Second

// moved tells whether what is set must be set anew.
func (d *deadline) moved() bool {
	if d.want.IsZero() || d.set.IsZero() {
		return d.want != d.set
	}
	return d.want.Sub(d.set).Abs() >= deadlineSlack
}

// Read is net.Conn's.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		return n, nil
	}
	if draining := c.s.draining.Load() != 0; draining || c.read.moved() {
		if err := c.Conn.SetReadDeadline(c.clamp(c.read.want)); err != nil {
			return 0, err
		}
		c.read.set = c.read.want
	}
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	return n, err
}

// Write is net.Conn's.
func (c *conn) Write(p []byte) (int, error) {
	if c.write.moved() {
		if err := c.Conn.SetWriteDeadline(c.write.want); err != nil {
			return 0, err
		}
		c.write.set = c.write.want
	}
	return c.Conn.Write(p)
}

// clamp gives no more time to read than Shutdown leaves.
func (c *conn) clamp(t time.Time) time.Time {
	if ns := c.s.draining.Load(); ns != 0 && !c.multiplexed.Load() {
		if last := time.Unix(0, ns); t.IsZero() || t.After(last) {
			return last
		}
	}
	return t
}

// SetReadDeadline takes effect with the next Read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.read.want = t
	return nil
}

// SetWriteDeadline takes effect with the next Write.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.write.want = t
	return nil
}

// SetDeadline is both.
func (c *conn) SetDeadline(t time.Time) error {
	c.read.want, c.write.want = t, t
	return nil
}

// Close closes the connection; calling it again is harmless.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.s.mu.Lock()
		delete(c.s.conns, c)
		c.s.mu.Unlock()
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
			lingering(c.Conn, c.clamp(time.Now().Add(lingerTime)))
		}
		c.err = c.Conn.Close()
	})
	return c.err
}

// lingering reads and drops what a client sends, until it ends or the time is over.
func lingering(c net.Conn, until time.Time) {
	if c.SetReadDeadline(until) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c, lingerBytes))
	}
}

// drain ends the streams, closes connections on which nothing was ever said and
// leaves the others a moment to finish what they are sending.
func (s *Server) drain() {
	last := time.Now().Add(s.cfg.DrainGrace)
	s.draining.Store(last.UnixNano())
	s.endStream()
	for _, c := range s.openConns() {
		if !c.heard.Load() {
			_ = c.Close()
			continue
		}
		_ = c.Conn.SetReadDeadline(last)
	}
}

func (s *Server) closeAll() {
	for _, c := range s.openConns() {
		c.linger.Store(false)
		if t, ok := c.Conn.(*tls.Conn); ok {
			_ = t.NetConn().Close() // without the words that end TLS, which may be stuck
		}
		_ = c.Close()
	}
}

func (s *Server) openConns() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

func sprintf(format string, args []any) string { return fmt.Sprintf(format, args...) }
