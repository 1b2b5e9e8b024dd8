package link

import (
	"bytes"
	"encoding/binary"
)

// dispatch handles one frame of the shim. body is the reader's and must not be kept.
// An error is a violation, and ends the connection.
func (c *Conn) dispatch(h header, body []byte) error {
	switch h.kind {
	case kindResult:
		return c.onResult(h, body)
	case kindResultData:
		return c.onData(h, body)
	case kindLog:
		return c.onLog(h, body)
	case kindHello:
		return c.onHello(body)
	case kindReady:
		return c.onReady(body)
	default: // decodeHeader lets no other through
		return c.onInitError(body)
	}
}

func (c *Conn) onResult(h header, body []byte) error {
	call, cancelled, err := c.claim(h, func(call *Call) error {
		if call == nil {
			return violation("RESULT for stream %d, which is not in flight", h.stream)
		}
		if call.begun {
			return violation("second RESULT for stream %d", h.stream)
		}
		if h.flags&flagSized != 0 {
			return checkSized(h, body, call)
		}
		return checkStreamed(h, body)
	})
	if err != nil {
		return err
	}
	c.heed(h)
	call.begun = true
	if h.flags&flagStreamed != 0 {
		return c.beginStream(call, h, body, cancelled)
	}
	call.Failed = h.flags&flagFailed != 0
	if h.flags&flagSized != 0 {
		call.announce(body, c.opts.MaxResponseBytes)
		body = body[resultMeta:]
	}
	return c.receive(call, h, body, cancelled)
}

// checkSized holds a RESULT to the rules of one that tells the sizes of its parts.
func checkSized(h header, body []byte, call *Call) error {
	if h.flags&flagStreamed != 0 || len(body) < resultMeta {
		return violation("RESULT for stream %d with flags %#02x and %d bytes: no place for the sizes of its parts", h.stream, h.flags, len(body))
	}
	if binary.LittleEndian.Uint32(body[4:]) > 0 && (h.flags&flagFailed != 0 || call.HTTP.Form == 0) {
		return violation("RESULT for stream %d with a body of its own, but it is no answer to an HTTP event", h.stream)
	}
	return nil
}

func (c *Conn) onData(h header, body []byte) error {
	if h.flags&flagMore != 0 && len(body) == 0 {
		return violation("empty DATA for stream %d that announces more", h.stream)
	}
	call, cancelled, err := c.claim(h, func(call *Call) error {
		if call == nil || !call.begun {
			return violation("DATA for stream %d, whose RESULT has not come or has ended", h.stream)
		}
		if h.flags&(flagFailed|flagLeaving) != 0 && (call.Stream == nil || h.flags&flagMore != 0) {
			return violation("DATA for stream %d tells of a failure, but does not end a streamed response", h.stream)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.heed(h)
	if call.Stream != nil {
		return c.streamed(call, h, body, cancelled)
	}
	return c.receive(call, h, body, cancelled)
}

// heed notes that the shim will end, before the owner of the call can learn that it is done.
func (c *Conn) heed(h header) {
	if h.flags&flagLeaving != 0 {
		c.leaving.Store(true)
	}
}

// claim finds the call that a part of a response is for, if check lets it, and with
// the last part takes it out of the table: it is the reader's alone then.
func (c *Conn) claim(h header, check func(*Call) error) (call *Call, cancelled bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call = c.table.get(h.stream)
	if err := check(call); err != nil {
		return nil, false, err
	}
	if h.flags&flagMore == 0 {
		if call.sending() {
			return nil, false, violation("the response of stream %d ended before its payload was sent", h.stream)
		}
		c.table.remove(call)
	}
	return call, call.cancelled, nil
}

// receive adds a part of a response and, after the last one, ends the call.
func (c *Conn) receive(call *Call, h header, part []byte, cancelled bool) error {
	last := h.flags&flagMore == 0
	if !cancelled {
		call.take(part, last, c.opts.MaxResponseBytes)
	}
	if !last {
		return nil
	}
	switch {
	case cancelled:
		call.Response, call.Err = nil, ErrCancelled
	case call.tooLarge:
		call.Err = ErrResponseTooLarge
	case !call.split():
		// It has left the table, so nobody else tells its owner.
		err := violation("RESULT for stream %d of %d bytes, which announced %d", h.stream, len(call.Response), call.size)
		call.Response, call.Err = nil, err
		call.signal()
		return err
	}
	call.signal()
	return nil
}

func (c *Conn) onLog(h header, body []byte) error {
	if len(body) == 0 || body[0] != 1 && body[0] != 2 {
		return violation("LOG frame that names neither standard output nor standard error")
	}
	c.mu.Lock()
	call := c.table.get(h.stream)
	phase := c.phase
	c.mu.Unlock()
	if phase == phaseNew {
		return violation("LOG before HELLO")
	}
	// A line that comes after its invocation's result is nobody's.
	if c.opts.OnLog == nil || call == nil && h.stream != 0 {
		return nil
	}
	c.opts.OnLog(call, int(body[0]), body[1:])
	return nil
}

// advance moves from one phase to the next, in which what is a legal frame.
func (c *Conn) advance(from, to phase, what kind) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != from {
		return violation("%v out of place", what)
	}
	c.phase = to
	return nil
}

func (c *Conn) onHello(body []byte) error {
	if err := c.advance(phaseNew, phaseWaiting, kindHello); err != nil {
		return err
	}
	hello, err := parseHello(body)
	if err != nil {
		return err
	}
	c.hello = hello
	close(c.helloed)
	return nil
}

func (c *Conn) onReady(body []byte) error {
	if len(body) > maxReady || !bytes.HasPrefix(body, []byte("{")) {
		return violation("READY is not the small JSON object it must be")
	}
	if err := c.advance(phaseIniting, phaseReady, kindReady); err != nil {
		return err
	}
	close(c.initDone)
	return nil
}

func (c *Conn) onInitError(body []byte) error {
	if err := c.advance(phaseIniting, phaseFailed, kindInitError); err != nil {
		return err
	}
	failure, err := parseInitError(body)
	if err != nil {
		return err
	}
	c.initErr = failure
	close(c.initDone)
	return nil
}
