package api

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	protocolHTTP2 = "h2" // its name in ALPN
	// maxStreams is how many requests a client may have under way on one connection.
	maxStreams = 250
)

// http2 serves the connections that speak HTTP/2. It is the standard library's server,
// which reads frames; each request then takes the same way as one of HTTP/1.1
// (http2request.go).
type http2 struct {
	server  *http.Server
	conns   *handed
	once    sync.Once // starts it
	serving sync.WaitGroup
	calls   sync.Pool // of *http2Call
}

// newHTTP2 makes what serves HTTP/2 for s. It starts nothing.
func newHTTP2(s *Server) *http2 {
	h := &http2{conns: newHanded(&net.TCPAddr{})} // nobody asks for the address
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true) // TLS, if there is any, ends before
	h.server = &http.Server{
		Handler:                      http.HandlerFunc(s.serveStream),
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: s.cfg.WriteTimeout},
		MaxHeaderBytes:               4 * s.cfg.MaxHeaderBytes, // up to there we say why we refuse
		ReadHeaderTimeout:            s.cfg.HeaderTimeout,
		IdleTimeout:                  s.cfg.IdleTimeout,
		ErrorLog:                     log.New(debugLog{s}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, http2ConnKey{}, c)
		},
	}
	h.calls.New = func() any { return newHTTP2Call(s.cfg.MaxHeaderBytes) }
	return h
}

// debugLog is where net/http says what clients do wrong.
type debugLog struct{ s *Server }

func (d debugLog) Write(line []byte) (int, error) {
	d.s.log.Debug("http: " + string(line))
	return len(line), nil
}

// serveHTTP2 serves a connection whose client begins with HTTP/2's preface, which Read
// has yet to give. It returns when the connection and all that was asked on it have
// ended; closing c is left to the caller.
func (s *Server) serveHTTP2(c net.Conn) error {
	if tracked, ok := c.(*conn); ok {
		tracked.multiplexed.Store(true)
	}
	m := &http2Conn{Conn: c, s: s, done: make(chan struct{})}
	s.http2.accept(m)
	<-m.done
	return nil
}

// accept hands c to the server. One that has ended closes it.
func (h *http2) accept(c net.Conn) {
	h.once.Do(func() { h.serving.Go(func() { _ = h.server.Serve(h.conns) }) })
	h.conns.put(c)
}

// shutdown tells clients to ask nothing more (GOAWAY) and waits for what they have
// asked, at most until ctx ends.
func (h *http2) shutdown(ctx context.Context) {
	h.once.Do(func() {}) // if it has not started, it will not
	_ = h.conns.Close()
	_ = h.server.Shutdown(ctx)
	_ = h.server.Close()
	h.serving.Wait()
}

type http2ConnKey struct{}

// http2Conn is a connection of HTTP/2 as net/http gets it.
type http2Conn struct {
	net.Conn
	s    *Server
	done chan struct{} // closed when the connection and its requests have ended

	mu     sync.Mutex
	active int // requests under way
	ended  int // and over
	closed bool
}

// enter counts a request; false means that the connection has gone.
func (c *http2Conn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.active++
	return true
}

func (c *http2Conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active--
	c.ended++
	c.endLocked()
}

func (c *http2Conn) endLocked() {
	if c.closed && c.active == 0 {
		close(c.done)
	}
}

// usage is how many requests are under way, and how many are over.
func (c *http2Conn) usage() (active, ended int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active, c.ended
}

// Read is net.Conn's. A draining server ends connections when they have no requests any
// more; net/http sees to that. Until then it has to read: clients say there how much
// they have taken. Connections that net/http overlooked, because they came while the
// draining began, end when nothing happens on them.
func (c *http2Conn) Read(p []byte) (int, error) {
	for {
		draining := c.s.draining.Load() != 0
		if draining {
			if err := c.SetReadDeadline(time.Now().Add(c.s.cfg.DrainGrace + lingerTime)); err != nil {
				return 0, err
			}
		}
		before, endedBefore := c.usage()
		n, err := c.Conn.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.s.draining.Load() == 0 {
			return n, err
		}
		if after, ended := c.usage(); draining && before+after == 0 && ended == endedBefore {
			return n, err
		}
	}
}

// Close closes the connection; calling it again is harmless.
func (c *http2Conn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.endLocked()
	}
	return err
}
