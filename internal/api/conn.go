package api

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Lingering: a client that is refused while it still sends would see a reset
// instead of the answer. So its data is read and dropped for a moment.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 128 << 20
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
	tracked := &conn{Conn: c, s: l.s}
	l.s.mu.Lock()
	l.s.conns[tracked] = struct{}{}
	l.s.mu.Unlock()
	return tracked, nil
}

// conn is a client's connection, known to the Server for as long as it is open.
type conn struct {
	net.Conn
	s      *Server
	heard  atomic.Bool // the client has sent something
	linger atomic.Bool // the client may be sending still when we close
	once   sync.Once
	err    error
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	return n, err
}

// SetReadDeadline gives no more time than Shutdown leaves.
func (c *conn) SetReadDeadline(t time.Time) error {
	if ns := c.s.draining.Load(); ns != 0 {
		if last := time.Unix(0, ns); t.IsZero() || t.After(last) {
			t = last
		}
	}
	return c.Conn.SetReadDeadline(t)
}

// Close closes the connection; calling it again is harmless.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.s.mu.Lock()
		delete(c.s.conns, c)
		c.s.mu.Unlock()
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
			if c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
				_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, lingerBytes))
			}
		}
		c.err = c.Conn.Close()
	})
	return c.err
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
		_ = c.Close()
	}
}

func (s *Server) openConns() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	return open
}

func sprintf(format string, args []any) string { return fmt.Sprintf(format, args...) }
