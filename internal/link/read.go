package link

import (
	"errors"
	"fmt"

	"hearth/internal/loop"
)

// smallBuffer is the least that is kept ready for a frame of which only a part has come,
// in bytes.
const smallBuffer = 4 << 10

// stealBytes is from how much of a frame on the scratch is kept instead of a copy.
const stealBytes = 8 << 10

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
	if err := c.read(); err != nil {
		c.finish(err)
	}
}

// read reads once, until the socket ends or the shim breaks the protocol, and handles
// what has come. What is left of a frame is kept.
func (c *Conn) read() error {
	buf, had := c.socket.Loop().Scratch(), len(c.part)
	if had > 0 {
		buf = c.part[:min(had+len(buf), cap(c.part))] // as much in a turn as otherwise
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
	c.keep(buf[used:had+n], buf)
	return nil
}

// frames handles the frames that are whole at the beginning of b, and tells how many
// bytes they have.
func (c *Conn) frames(b []byte) (used int, err error) {
	for len(b)-used >= headerSize {
		h, err := decodeHeader(b[used:])
		if err != nil {
			return used, err
		}
		next := used + headerSize + int(h.length)
		if next > len(b) {
			break
		}
		if err := c.dispatch(h, b[used+headerSize:next:next]); err != nil {
			return used, err
		}
		used = next
	}
	return used, nil
}

// keep keeps the beginning of a frame, with room for all of it: what is left of buf, which
// is the scratch or where parts are kept.
func (c *Conn) keep(rest, buf []byte) {
	if len(rest) == 0 {
		loop.GiveBuffer(c.kept)
		c.kept, c.part = nil, nil // an instance that says nothing costs nothing
		return
	}
	need := smallBuffer
	if len(rest) >= headerSize {
		h, _ := decodeHeader(rest) // was legal a moment ago
		need = max(need, headerSize+int(h.length))
	}
	old := c.kept
	switch {
	case cap(old) >= need:
		c.part = append(old[:0], rest...) // also where rest lies within it
		return
	case old == nil && len(rest) >= stealBytes && cap(rest) >= need:
		c.kept, c.part = buf, rest
		c.socket.Loop().KeepScratch()
		return
	case need == smallBuffer:
		c.kept = make([]byte, 0, need)
	default:
		c.kept = loop.TakeBuffer(need)
	}
	c.part = append(c.kept, rest...)
	loop.GiveBuffer(old)
}

// stop ends the connection from elsewhere than the reader, which it waits for.
func (c *Conn) stop(err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.finish(err)
}

// finish ends the connection, and then every call. The caller holds reading.
func (c *Conn) finish(err error) {
	c.socket.Close()
	c.leaving.Store(true)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	var broken *ProtocolError
	switch {
	case errors.As(err, &broken):
		c.err = err
	case c.failure != nil:
		c.err = c.failure
	default:
		c.err = fmt.Errorf("%w by the process inside", ErrClosed)
	}
	c.failure = c.err
	orphans := c.orphansLocked()
	c.pending, c.rest, c.large = nil, nil, nil
	c.mu.Unlock()
	for _, call := range orphans {
		call.Response, call.Err = nil, c.err
		if call.Stream != nil {
			call.Stream.End()
		}
		call.signal()
	}
	close(c.done)
}

// orphansLocked takes all calls out of the table, and counts those that are lost.
func (c *Conn) orphansLocked() (orphans []*Call) {
	for _, call := range c.table.places {
		if call == nil {
			continue
		}
		c.table.remove(call)
		orphans = append(orphans, call)
		if !call.cancelled {
			c.lost++
		}
	}
	return orphans
}
