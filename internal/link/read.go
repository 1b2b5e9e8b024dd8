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
	err := c.read()
	c.nc.Close()
	c.leaving.Store(true)
	c.mu.Lock()
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
		call.done <- struct{}{}
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
		for end-start >= headerSize {
			h, err := decodeHeader(buf[start:end])
			if err != nil {
				return err
			}
			next := start + headerSize + int(h.length)
			if next > end {
				break
			}
			if err := c.dispatch(h, buf[start+headerSize:next:next]); err != nil {
				return err
			}
			start = next
		}
		if err != nil {
			return err
		}
		buf, start, end = makeRoom(buf, start, end, filled)
	}
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
