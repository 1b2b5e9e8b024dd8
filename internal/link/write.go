package link

import (
	"errors"
	"runtime"
	"time"

	"hearth/internal/loop"
)

const (
	// writeTarget is how much of large payloads is added to one write, in bytes.
	writeTarget = 256 << 10
	// mostPending is from how much on that is not written yet payloads stay with their
	// owners, all of them, in bytes: the peer is slow.
	mostPending = 2 << 20
	// keepBuffer is the largest buffer kept for the next write, in bytes.
	keepBuffer = 64 << 10
	// wide is for how much a buffer with frames of large payloads is taken, in bytes: for
	// what fillLocked fills, and a frame more.
	wide = writeTarget + 2*chunk
	// deafGrace is how long the reader goes on after the peer has stopped taking
	// frames: what it had sent before it died is still to be read.
	deafGrace = time.Second
)

// Send sends a call. It does not block: what the socket does not take waits where the
// owner has it, until the call streams or ends. After an error nothing was sent and Done is
// not signalled; the errors are ErrBusy, ErrNotReady, ErrCancelled, ErrClosed (or the
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
	case call.cancelled:
		return ErrCancelled
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
	room := max(chunk-meta, 0)
	if len(c.pending) > mostPending {
		room = 0
	}
	first := min(len(call.Payload), room)
	second := min(len(call.HTTP.Body), room-first)
	call.unsent, call.unsentBody = call.Payload[first:], call.HTTP.Body[second:]
	var flags uint8
	if call.HTTP.Form != 0 {
		flags = flagHTTP
	}
	if call.sending() {
		flags |= flagMore
		c.large = append(c.large, call)
	}
	c.roomLocked(headerSize + meta + first + second)
	c.pending = appendHeader(c.pending, kindInvoke, flags, call.stream, meta+first+second)
	c.pending = call.appendMeta(c.pending)
	c.pending = append(c.pending, call.Payload[:first]...)
	c.pending = append(c.pending, call.HTTP.Body[:second]...)
}

// Cancel tells the shim that nobody waits for the call any more. The call stays in
// flight, and keeps its slot, until the shim has answered or the connection ends;
// then Done is signalled with Err = ErrCancelled. A call that is not in flight is only
// marked: Send refuses it until it is Released, since its owner may have given its payload
// away by then.
func (c *Conn) Cancel(call *Call) {
	c.mu.Lock()
	known := call.cancelled
	call.cancelled = true
	if call.stream == 0 || known || c.closed {
		c.mu.Unlock()
		return
	}
	call.own()
	c.pending = appendHeader(c.pending, kindCancel, 0, call.stream, 0)
	c.unlockAndFlush()
}

// unlockAndFlush unlocks mu and sees to it that pending is written: by this goroutine
// if no other is writing. When several calls are in flight, others are likely to be
// about to send: yielding once, or waiting for the end of the loop's turn, lets their
// frames leave in the same write.
func (c *Conn) unlockAndFlush() {
	if c.writing || c.writeErr {
		c.mu.Unlock()
		return
	}
	c.writing = true
	crowded := c.table.inFlight > 1
	c.mu.Unlock()
	if c.opts.Loop.Later(c) {
		return
	}
	if crowded {
		runtime.Gosched()
	}
	c.flush()
}

// Flush writes what a turn of the loop has brought.
func (c *Conn) Flush() { c.flush() }

// flush writes until nothing is pending; the caller has set writing. When the socket is
// full it leaves the rest to the loop.
func (c *Conn) flush() {
	for c.next() {
		if !c.write(c.out) {
			return
		}
	}
}

// write writes out, as far as the socket takes it. It returns false if something is
// left, for the loop to write when there is room, or if the peer takes nothing any more.
func (c *Conn) write(out []byte) bool {
	for len(out) > 0 {
		n, err := c.socket.Write(out)
		if errors.Is(err, loop.ErrAgain) {
			c.mu.Lock()
			c.rest = out
			c.mu.Unlock()
			err = c.socket.Want(loop.Readable | loop.Writable)
			if err == nil {
				return false
			}
		}
		if err != nil {
			c.deaf()
			return false
		}
		out = out[n:]
	}
	return true
}

// writeOn goes on where write had to leave off.
func (c *Conn) writeOn() {
	c.mu.Lock()
	rest := c.rest
	c.rest = nil
	c.mu.Unlock()
	if len(rest) == 0 || !c.write(rest) { // the loop may tell twice
		return
	}
	if err := c.socket.Want(loop.Readable); err != nil {
		c.deaf()
		return
	}
	c.flush()
}

// next makes out what is to be written next; it clears writing when there is nothing.
func (c *Conn) next() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cap(c.out) > keepBuffer { // it has been written
		loop.GiveBuffer(c.out)
		c.out = nil
	}
	c.fillLocked()
	if len(c.pending) == 0 || c.closed {
		c.writing = false
		return false
	}
	c.out, c.pending = c.pending, c.out[:0]
	return true
}

// roomLocked makes room in pending for n bytes more. What is large goes into a buffer
// that is used again.
func (c *Conn) roomLocked(n int) {
	need := len(c.pending) + n
	if need <= max(keepBuffer, cap(c.pending)) || need > loop.MostBuffer {
		return
	}
	old := c.pending
	c.pending = append(loop.TakeBuffer(max(need, wide)), old...)
	loop.GiveBuffer(old)
}

// fillLocked adds parts of large payloads to pending, a chunk of each in turn.
func (c *Conn) fillLocked() {
	for len(c.large) > 0 && len(c.pending) < writeTarget {
		call := c.large[0]
		c.large = c.large[1:]
		part := call.part()
		var flags uint8
		if call.sending() {
			flags = flagMore
			c.large = append(c.large, call)
		}
		c.roomLocked(headerSize + len(part))
		c.pending = appendHeader(c.pending, kindData, flags, call.stream, len(part))
		c.pending = append(c.pending, part...)
	}
}

// deaf notes that the peer takes nothing any more. The reader soon finds the end of
// the connection; should a hostile peer keep its sending half open, time ends it.
func (c *Conn) deaf() {
	c.mu.Lock()
	c.writeErr, c.writing = true, false
	c.pending, c.rest, c.large = nil, nil, nil
	c.mu.Unlock()
	_ = c.socket.Want(loop.Readable) // whether there is room does not matter any more
	time.AfterFunc(deafGrace, func() { c.stop(ErrClosed) })
}
