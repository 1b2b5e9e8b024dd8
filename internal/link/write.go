package link

import (
	"runtime"
	"syscall"
	"time"
)

const (
	// writeTarget is how much of large payloads is added to one write, in bytes.
	writeTarget = 4 * chunk
	// keepBuffer is the largest buffer kept for the next write, in bytes.
	keepBuffer = 64 << 10
	// deafGrace is how long the reader goes on after the peer has stopped taking
	// frames: what it had sent before it died is still to be read.
	deafGrace = time.Second
)

// Send sends a call. It does not block: what the socket does not take waits in memory,
// at most one payload per call in flight. After an error nothing was sent and Done is
// not signalled; the errors are ErrBusy, ErrNotReady, ErrClosed (or the
// ProtocolError that ended the connection) and fields that are too long.
func (c *Conn) Send(call *Call) error {
	if err := call.check(); err != nil {
		return err
	}
	call.reset()
	c.mu.Lock()
	if err := c.admitLocked(call); err != nil {
		c.mu.Unlock()
		return err
	}
	c.appendInvokeLocked(call)
	c.unlockAndFlush()
	return nil
}

func (c *Conn) admitLocked(call *Call) error {
	switch {
	case c.failure != nil:
		return c.failure
	case c.closing || c.closed || c.writeErr || c.leaving.Load():
		return ErrClosed
	case c.phase != phaseReady:
		return ErrNotReady
	case !c.table.add(call):
		return ErrBusy
	}
	return nil
}

func (c *Conn) appendInvokeLocked(call *Call) {
	meta := call.metaSize()
	first := min(len(call.Payload), max(chunk-meta, 0))
	var flags uint8
	if call.HTTP {
		flags = flagHTTP
	}
	if first < len(call.Payload) {
		flags |= flagMore
		call.unsent = append([]byte(nil), call.Payload[first:]...)
		c.large = append(c.large, call)
	}
	c.pending = appendHeader(c.pending, kindInvoke, flags, call.stream, meta+first)
	c.pending = call.appendMeta(c.pending)
	c.pending = append(c.pending, call.Payload[:first]...)
}

// Cancel tells the shim that nobody waits for the call any more. The call stays in
// flight, and keeps its slot, until the shim has answered or the connection ends;
// then Done is signalled with Err = ErrCancelled. A call that has ended is left alone.
func (c *Conn) Cancel(call *Call) {
	c.mu.Lock()
	if call.stream == 0 || call.cancelled || c.closed {
		c.mu.Unlock()
		return
	}
	call.cancelled = true
	c.pending = appendHeader(c.pending, kindCancel, 0, call.stream, 0)
	c.unlockAndFlush()
}

// unlockAndFlush unlocks mu and sees to it that pending is written: by this goroutine
// if no other is writing. When several calls are in flight, others are likely to be
// about to send: yielding once lets their frames leave in the same write.
func (c *Conn) unlockAndFlush() {
	if c.writing || c.writeErr {
		c.mu.Unlock()
		return
	}
	c.writing = true
	crowded := c.table.inFlight > 1
	c.mu.Unlock()
	if c.socket != nil && c.opts.Loop.Later(c) {
		return
	}
	if crowded {
		runtime.Gosched()
	}
	c.flush()
}

// flush writes until nothing is pending; the caller has set writing. When the socket
// is full it hands over to a goroutine of its own, which may wait.
func (c *Conn) flush() {
	for c.next() {
		rest, err := c.tryWrite()
		if err != nil {
			c.deaf()
			return
		}
		if len(rest) > 0 {
			c.handOver(rest)
			return
		}
	}
}

// handOver starts drain, unless the reader, whose end Close waits for, has ended.
func (c *Conn) handOver(rest []byte) {
	if c.socket != nil {
		c.writeLater(rest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.writing = false
		return
	}
	c.goroutines.Go(func() { c.drain(rest) })
}

// drain writes rest and then all that is pending, waiting for the peer as it must.
func (c *Conn) drain(rest []byte) {
	for {
		if _, err := c.nc.Write(rest); err != nil {
			c.deaf()
			return
		}
		if !c.next() {
			return
		}
		rest = c.out
	}
}

// next makes out what is to be written next; it clears writing when there is nothing.
func (c *Conn) next() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fillLocked()
	if len(c.pending) == 0 || c.closed {
		c.writing = false
		return false
	}
	spare := c.out[:0]
	if cap(spare) > keepBuffer {
		spare = nil
	}
	c.out, c.pending = c.pending, spare
	return true
}

// fillLocked adds parts of large payloads to pending, a chunk of each in turn.
func (c *Conn) fillLocked() {
	for len(c.large) > 0 && len(c.pending) < writeTarget {
		call := c.large[0]
		c.large = c.large[1:]
		part := call.unsent[:min(chunk, len(call.unsent))]
		call.unsent = call.unsent[len(part):]
		var flags uint8
		if len(call.unsent) > 0 {
			flags = flagMore
			c.large = append(c.large, call)
		} else {
			call.unsent = nil
		}
		c.pending = appendHeader(c.pending, kindData, flags, call.stream, len(part))
		c.pending = append(c.pending, part...)
	}
}

// tryWrite writes what the socket takes of out without waiting, and returns the rest.
func (c *Conn) tryWrite() (rest []byte, err error) {
	if c.socket != nil {
		return c.writeSocket(c.out)
	}
	if c.raw == nil {
		return c.out, nil
	}
	if err := c.raw.Write(c.tryFn); err != nil {
		return nil, err
	}
	return c.out[c.tryN:], c.tryErr
}

// try is one write that does not wait; RawConn.Write calls it.
func (c *Conn) try(fd uintptr) bool {
	c.tryN = 0
	for c.tryN < len(c.out) {
		n, err := syscall.Write(int(fd), c.out[c.tryN:])
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			break
		}
		if c.tryErr = err; err != nil {
			break
		}
		c.tryN += n
	}
	return true
}

// deaf notes that the peer takes nothing any more. The reader soon finds the end of
// the connection; should a hostile peer keep its sending half open, time ends it.
func (c *Conn) deaf() {
	c.mu.Lock()
	c.writeErr, c.writing = true, false
	c.pending, c.large = nil, nil
	c.mu.Unlock()
	if c.socket != nil {
		time.AfterFunc(deafGrace, c.closeDeaf)
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(deafGrace))
}
