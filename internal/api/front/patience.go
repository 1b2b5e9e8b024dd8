package front

import "time"

// phase is what a client is waited for.
type phase int

const (
	nothing phase = iota
	idle          // another request
	headers       // the rest of its head
	body          // the rest of its body
	taking        // that it takes some of the answer
	linger        // the end
)

// patience begins to wait for something, at most so long; for nothing, it is not the
// client who is awaited. Waiting for the same thing again gives no more time.
func (c *conn) patience(what phase, most time.Duration) {
	if c.waitsFor == what && what != idle {
		return
	}
	c.waitsFor = what
	if what == nothing {
		c.due.Store(0)
		return
	}
	due := c.front.now.Load() + int64(most)
	if c.last != 0 && (what == headers || what == body) {
		due = min(due, c.last)
	}
	c.due.Store(due)
}

// expire ends the connection of a client who has taken too long. One who has begun a
// request is told.
func (c *conn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if due := c.due.Load(); c.gone || due == 0 || due >= c.front.now.Load() {
		return
	}
	if c.waitsFor != headers && c.waitsFor != body {
		c.close()
		return
	}
	_, _ = c.socket.Write(c.front.cfg.Handler.Late()) // as much as fits
	c.leave()
}

// drain closes the connection when it has nothing to do any more.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone || c.busy || c.lingering:
	case len(c.in) > c.at:
		c.last = c.front.now.Load() + int64(c.front.cfg.DrainGrace)
		c.due.Store(min(c.due.Load(), c.last)) // it is waited for a part of a request
	default:
		c.close()
	}
}
