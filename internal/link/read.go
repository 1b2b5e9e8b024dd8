package link

import (
	"errors"
	"fmt"
)

// Sizes of the reader's buffer, in bytes. An instance that says little costs little.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// run is the reader: it ends when the connection does, and then ends every call.
func (c *Conn) run() {
	c.finish(c.read())
}

// finish ends the connection and all its calls, once. Only the reader, or who keeps it
// from reading, may call it.
func (c *Conn) finish(err error) {
	c.closeSocket()
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
	var orphans []*Call
	for _, call := range c.table.places {
		if call != nil {
			c.table.remove(call)
			orphans = append(orphans, call)
			if !call.cancelled {
				c.lost++
			}
		}
	}
	c.pending, c.large = nil, nil
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

// read takes frames off the socket until it ends or the shim breaks the protocol.
func (c *Conn) read() error {
	buf := make([]byte, smallBuffer)
	start, end := 0, 0
	for {
		n, err := c.nc.Read(buf[end:])
		end += n
		filled := end == len(buf)
		used, broken := c.frames(buf[start:end])
		if broken != nil {
			return broken
		}
		start += used
		if err != nil {
			return err
		}
		buf, start, end = makeRoom(buf, start, end, filled)
	}
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

// makeRoom moves what is left of a frame to the front of a buffer that the frame
// fits. filled tells that the last read found no more room: more is likely waiting.
func makeRoom(buf []byte, start, end int, filled bool) ([]byte, int, int) {
	size := len(buf)
	if filled && size < largeBuffer {
		size *= 4
	}
	need := smallBuffer
	if end-start >= headerSize {
		h, _ := decodeHeader(buf[start:end]) // was legal a moment ago
		need = headerSize + int(h.length)
	}
	if size > largeBuffer {
		size = largeBuffer
	}
	size = max(size, need)
	if size != len(buf) {
		fresh := make([]byte, size)
		return fresh, 0, copy(fresh, buf[start:end])
	}
	if start == end {
		return buf, 0, 0
	}
	return buf, 0, copy(buf, buf[start:end])
}
