package api

import (
	"net"
	"sync"
)

// handed is a listener for connections that are handed over.
type handed struct {
	addr net.Addr

	mu     sync.Mutex
	some   sync.Cond // signalled when conns or closed change
	conns  []net.Conn
	closed bool
}

var _ net.Listener = (*handed)(nil)

func newHanded(addr net.Addr) *handed {
	h := &handed{addr: addr}
	h.some.L = &h.mu
	return h
}

// put hands a connection over. It does not block. A listener that is closed closes it.
func (h *handed) put(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = c.Close()
		return
	}
	h.conns = append(h.conns, c)
	h.some.Signal()
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.conns) == 0 {
		if h.closed {
			return nil, net.ErrClosed
		}
		h.some.Wait()
	}
	c := h.conns[0]
	h.conns = h.conns[1:]
	return c, nil
}

// Close implements net.Listener.
func (h *handed) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, c := range h.conns {
		_ = c.Close()
	}
	h.conns = nil
	h.some.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (h *handed) Addr() net.Addr { return h.addr }
