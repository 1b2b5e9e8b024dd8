package front

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/loop"
)

const (
	// keepBuffer is the largest buffer that an idle connection keeps, in bytes.
	keepBuffer = 16 << 10
	// directBytes is from how much room on a body is read to where it belongs, in bytes.
	directBytes = 8 << 10
	// trust is for how many times of what has come of a request there may be room.
	trust = 16
	// readAhead is how much may have come beyond the request being served before no more is
	// read, in bytes.
	readAhead = 64 << 10
)

// LingerTime and LingerBytes bound what a client may still send that is not read any
// more.
const (
	LingerTime  = 2 * time.Second
	LingerBytes = 128 << 20
)

// Exchange is a request and the answer to it. A connection has one at a time, and uses
// its memory again.
type Exchange struct {
	Request
	Remote netip.Addr
	// Memory is the handler's own, kept for the next exchange of the connection, unless
	// that was a large one and the client leaves time until the next.
	Memory any

	conn *conn
}

// Answer writes an answer, whole, of which body is the second part or nil, and ends the
// exchange: another may have begun when it returns. closing closes the connection
// afterwards, as the answer has told the client. Both slices must stay as they are until
// the handler is told that the exchange is Done; if it never is, for ever.
func (x *Exchange) Answer(first, body []byte, closing bool) {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		c.release()
		return
	}
	c.out = [2][]byte{first, body}
	c.large = c.large || len(first)+len(body) > keepBuffer || c.size > keepBuffer
	c.closing = c.closing || closing
	c.flush()
}

// Closing tells whether the answer must tell the client that the connection closes.
func (x *Exchange) Closing() bool { return x.Close || x.conn.front.draining.Load() }

// Now is the time, up to a second late: enough for a Date.
func (x *Exchange) Now() time.Time { return time.Unix(0, x.conn.front.now.Load()) }

// Detach takes the connection out of the front's hands, for an answer of another kind;
// rest has come behind the request. The exchange is over.
func (x *Exchange) Detach() (c net.Conn, rest []byte, err error) {
	conn := x.conn
	conn.mu.Lock()
	defer conn.mu.Unlock()
	if conn.gone {
		conn.release()
		return nil, nil, net.ErrClosed
	}
	rest = append([]byte(nil), conn.in[conn.at+conn.size:]...)
	if c, err = conn.detach(); err != nil {
		return nil, nil, err
	}
	conn.release()
	return c, rest, nil
}

// conn is a client's connection.
type conn struct {
	front  *Front
	socket *loop.Socket
	due    atomic.Int64 // when patience ends, Unix nanoseconds

	mu        sync.Mutex // guards all below
	x         Exchange
	in        []byte // that has come; from at on not yet served
	at        int
	size      int // of the request being served
	out       [2][]byte
	waitsFor  phase
	taken     bool  // the handler takes the request, whose body has not come whole yet
	busy      bool  // an exchange is under way
	pumping   bool  // somebody is in pump
	ended     bool  // the client sends no more
	closing   bool  // when the answer is written
	lingering bool  // closed but for what the client still sends
	last      int64 // when half a request must be whole, after Drain; Unix nanoseconds
	dropped   int
	large     bool // an exchange since the last rest was larger than what is kept
	gone      bool // closed, or in other hands
}

var _ loop.Handler = (*conn)(nil)

// Ready is called by the loop.
func (c *conn) Ready(events loop.Events) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone:
	case c.lingering:
		c.drop()
	case events&loop.Broken != 0 && (c.busy || c.ended):
		c.close() // nobody is there for the answer
	case events&loop.Writable != 0 && len(c.out[0])+len(c.out[1]) > 0:
		c.flush()
	case events&loop.Readable != 0:
		c.read()
	}
}

// read reads once and serves what is whole.
func (c *conn) read() {
	scratch := c.socket.Loop().Scratch()
	free := c.in[len(c.in):cap(c.in)]
	direct := c.taken && len(free) >= directBytes // next has made room for the body
	switch {
	case direct:
		scratch = free[:min(len(free), len(scratch))]
	case c.busy:
		scratch = scratch[:readAhead]
	}
	n, err := c.socket.Read(scratch)
	switch {
	case errors.Is(err, loop.ErrAgain):
		return
	case errors.Is(err, io.EOF):
		c.ended = true
		if !c.busy {
			c.close()
			return
		}
		c.watch(0) // it may have closed one half only, and want its answer
		return
	case err != nil:
		c.close()
		return
	}
	switch {
	case direct:
		c.in = c.in[:len(c.in)+n]
	case len(c.in) == 0 && n >= len(scratch)/4: // as a rule a part of a large request
		loop.GiveBuffer(c.in)
		c.in = scratch[:n]
		c.socket.Loop().KeepScratch()
	default:
		c.room(n)
		c.in = append(c.in, scratch[:n]...)
	}
	if !c.busy {
		c.pump()
	}
	if c.busy && len(c.in)-c.at-c.size > readAhead {
		c.watch(0)
	}
}

func (c *conn) watch(events loop.Events) {
	if c.ended {
		events &^= loop.Readable
	}
	if c.socket.Want(events) != nil {
		c.close()
	}
}

// room moves what has not been served to the front of the buffer, if n bytes more
// would not fit. Nobody may look at it meanwhile.
func (c *conn) room(n int) {
	if c.busy || c.at == 0 || len(c.in)+n <= cap(c.in) {
		return
	}
	c.in = c.in[:copy(c.in, c.in[c.at:])]
	c.at = 0
}

// pump serves one request after the other, for as long as whole ones have come.
func (c *conn) pump() {
	if c.pumping {
		return // whoever is in it goes on
	}
	c.pumping = true
	for !c.busy && !c.gone && !c.lingering && c.next() {
		c.busy = true
		c.patience(nothing, 0)
		c.mu.Unlock()
		c.front.cfg.Handler.Begin(&c.x)
		c.mu.Lock()
	}
	c.pumping = false
}

// compact drops what has been served, once that is more than what has not: a client who
// always has another request under way would have it grow for ever.
func (c *conn) compact() {
	if c.at >= keepBuffer && c.at > len(c.in)-c.at {
		c.in = c.in[:copy(c.in, c.in[c.at:])]
		c.at = 0
	}
}

// next makes out the next request. If it is not whole, it sees to it that the rest
// comes, in time; what is not for the front is handed over.
func (c *conn) next() bool {
	c.compact()
	b := c.in[c.at:]
	if len(b) == 0 {
		c.rest()
		return false
	}
	var h head
	switch parse(b, &h) {
	case odd:
		c.handOver()
		return false
	case incomplete:
		if len(b) > c.front.cfg.MaxHeaderBytes {
			c.handOver()
			return false
		}
		c.wait(headers, c.front.cfg.HeaderTimeout)
		return false
	}
	if h.size > c.front.cfg.MaxHeaderBytes || h.body > c.front.cfg.MaxBodyBytes {
		c.handOver()
		return false
	}
	size := h.size + h.body
	whole := len(b) >= size
	if whole {
		h.Body, c.size = b[h.size:size], size
	}
	// Asked early, so that nobody sends a body for nothing; and again, as the buffer may
	// have moved meanwhile.
	c.x.Request = h.Request
	if (whole || !c.taken) && !c.front.cfg.Handler.Takes(&c.x) {
		c.handOver()
		return false
	}
	c.taken = !whole
	if !whole {
		c.widen(size)
		c.wait(body, c.front.cfg.BodyTimeout)
	}
	return whole
}

// widen makes room for a request of that size, which has not come whole; for one that has
// only begun to come, not for all of it: a client who says much and sends nothing must not
// cost much. A buffer may have twice the room it was taken for.
func (c *conn) widen(size int) {
	b := c.in[c.at:]
	if size = min(size, trust/2*len(b)); cap(c.in)-c.at >= size || len(b) < keepBuffer {
		return
	}
	if cap(c.in) >= size {
		c.in = c.in[:copy(c.in[:cap(c.in)], b)]
	} else {
		old := c.in
		c.in = append(loop.TakeBuffer(size), b...)
		loop.GiveBuffer(old)
	}
	c.at = 0
}

// rest is what a connection does between two requests.
func (c *conn) rest() {
	if c.ended || c.front.draining.Load() {
		c.close()
		return
	}
	c.at, c.in = 0, c.in[:0]
	if cap(c.in) > keepBuffer {
		loop.GiveBuffer(c.in)
		c.in = nil
	}
	if c.large { // the handler's memory may hold on to both sides of it
		c.large, c.x.Memory = false, nil
	}
	c.patience(idle, c.front.cfg.IdleTimeout)
	c.watch(loop.Readable)
}

// wait is what it does within one that has not come whole.
func (c *conn) wait(what phase, most time.Duration) {
	if c.ended {
		c.close()
		return
	}
	c.patience(what, most)
	c.watch(loop.Readable)
}

// flush writes what the socket takes, and goes on to the next request when all of the
// answer has left.
func (c *conn) flush() {
	for i := range c.out {
		for len(c.out[i]) > 0 {
			n, err := c.socket.Write(c.out[i])
			if errors.Is(err, loop.ErrAgain) {
				c.patience(taking, c.front.cfg.WriteTimeout)
				c.watch(loop.Writable)
				return
			}
			if err != nil {
				c.close()
				c.release()
				return
			}
			c.patience(nothing, 0) // it has taken some
			c.out[i] = c.out[i][n:]
		}
	}
	c.out = [2][]byte{}
	c.at += c.size
	c.size = 0
	c.release()
	if c.closing {
		c.leave()
		return
	}
	c.watch(loop.Readable)
	c.pump()
}

// release ends the exchange.
func (c *conn) release() {
	c.busy = false
	c.front.cfg.Handler.Done(&c.x)
	c.x.Request = Request{}
}

// handOver gives the connection to a server that knows all of HTTP.
func (c *conn) handOver() {
	rest := append([]byte(nil), c.in[c.at:]...)
	if nc, err := c.detach(); err == nil {
		c.front.cfg.HandOver(nc, rest)
	}
}

func (c *conn) detach() (net.Conn, error) {
	nc, err := c.socket.Detach()
	c.forget()
	return nc, err
}

// leave closes the connection so that the client can read what was written: closing
// it while something comes would have the system tell of a reset.
func (c *conn) leave() {
	if c.ended || len(c.in) == c.at || c.socket.CloseWrite() != nil {
		c.close()
		return
	}
	c.lingering = true
	c.patience(linger, LingerTime)
	c.watch(loop.Readable)
}

// drop reads what is of no use any more.
func (c *conn) drop() {
	n, err := c.socket.Read(c.socket.Loop().Scratch())
	if c.dropped += n; err != nil && !errors.Is(err, loop.ErrAgain) || c.dropped > LingerBytes {
		c.close()
	}
}

func (c *conn) close() {
	c.socket.Close()
	c.forget()
}

func (c *conn) forget() {
	if c.gone {
		return
	}
	c.gone, c.in, c.out = true, nil, [2][]byte{}
	c.front.forget(c)
}
