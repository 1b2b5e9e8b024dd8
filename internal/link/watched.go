package link

import (
	"errors"

	"hearth/internal/loop"
)

// watch gives the socket to a loop. It returns false if it is none that a loop can watch.
func (c *Conn) watch(l *loop.Loop) bool {
	fd, err := loop.Take(c.nc)
	if err != nil {
		return false
	}
	c.socket = l.Hold(fd, c)
	if err := c.socket.Want(loop.Readable); err != nil {
		c.finish(err)
	}
	return true
}

// Ready is called by the loop: the socket can be read, or takes bytes again.
func (c *Conn) Ready(events loop.Events) {
	if events&loop.Writable != 0 {
		c.writeOn()
	}
	if events&loop.Readable == 0 {
		return
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.readSome(); err != nil {
		c.finish(err)
	}
}

// readSome reads once and handles what has come. What is left of a frame is kept.
func (c *Conn) readSome() error {
	buf, had := c.socket.Loop().Scratch(), len(c.part)
	if had > 0 {
		buf = c.part[:cap(c.part)]
	}
	n, err := c.socket.Read(buf[had:])
	if errors.Is(err, loop.ErrAgain) {
		return nil
	}
	if err != nil {
		return err
	}
	used, err := c.frames(buf[:had+n])
	if err != nil {
		return err
	}
	c.keep(buf[used : had+n])
	return nil
}

// keep keeps the beginning of a frame, with room for all of it.
func (c *Conn) keep(rest []byte) {
	if len(rest) == 0 {
		c.part = nil // an instance that says nothing costs nothing
		return
	}
	need := smallBuffer
	if len(rest) >= headerSize {
		h, _ := decodeHeader(rest) // was legal a moment ago
		need = max(need, headerSize+int(h.length))
	}
	if cap(c.part) < need {
		c.part = make([]byte, 0, need)
	}
	c.part = c.part[:len(rest)]
	copy(c.part, rest) // also where rest lies within it
}

// Flush writes what the turn of the loop has brought.
func (c *Conn) Flush() { c.flush() }

func (c *Conn) writeSocket(out []byte) (rest []byte, err error) {
	for len(out) > 0 {
		n, err := c.socket.Write(out)
		if errors.Is(err, loop.ErrAgain) {
			break
		}
		if err != nil {
			return nil, err
		}
		out = out[n:]
	}
	return out, nil
}

// writeLater leaves the rest to the time when the loop finds room in the socket.
// writing stays set until then.
func (c *Conn) writeLater(rest []byte) {
	c.mu.Lock()
	c.rest = rest
	c.mu.Unlock()
	if err := c.socket.Want(loop.Readable | loop.Writable); err != nil {
		c.deaf()
	}
}

func (c *Conn) writeOn() {
	c.mu.Lock()
	rest := c.rest
	c.rest = nil
	c.mu.Unlock()
	if len(rest) == 0 {
		return // it was told twice
	}
	rest, err := c.writeSocket(rest)
	switch {
	case err != nil:
		c.deaf()
		return
	case len(rest) > 0:
		c.writeLater(rest)
		return
	}
	if err := c.socket.Want(loop.Readable); err != nil {
		c.deaf()
		return
	}
	c.flush()
}

// closeDeaf ends a connection whose peer takes nothing and does not end it either.
func (c *Conn) closeDeaf() {
	c.socket.Close()
	c.reading.Lock()
	defer c.reading.Unlock()
	c.finish(ErrClosed)
}
