package link

import "bytes"

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
	c.mu.Lock()
	call := c.table.get(h.stream)
	if call == nil {
		c.mu.Unlock()
		return violation("RESULT for stream %d, which is not in flight", h.stream)
	}
	if call.begun {
		c.mu.Unlock()
		return violation("second RESULT for stream %d", h.stream)
	}
	if call.unsent != nil {
		c.mu.Unlock()
		return violation("RESULT for stream %d before its payload was sent", h.stream)
	}
	last := h.flags&flagMore == 0
	if last {
		c.table.remove(call)
	}
	cancelled := call.cancelled
	c.mu.Unlock()
	call.begun = true
	call.Failed = h.flags&flagFailed != 0
	c.receive(call, body, last, cancelled)
	return nil
}

func (c *Conn) onData(h header, body []byte) error {
	c.mu.Lock()
	call := c.table.get(h.stream)
	if call == nil || !call.begun {
		c.mu.Unlock()
		return violation("DATA for stream %d, whose RESULT has not come or has ended", h.stream)
	}
	last := h.flags&flagMore == 0
	if !last && len(body) == 0 {
		c.mu.Unlock()
		return violation("empty DATA for stream %d that announces more", h.stream)
	}
	if last {
		c.table.remove(call)
	}
	cancelled := call.cancelled
	c.mu.Unlock()
	c.receive(call, body, last, cancelled)
	return nil
}

// receive adds a part of a response and, after the last one, ends the call.
func (c *Conn) receive(call *Call, part []byte, last, cancelled bool) {
	if !cancelled {
		call.take(part, last, c.opts.MaxResponseBytes)
	}
	if !last {
		return
	}
	switch {
	case cancelled:
		call.Response, call.Err = nil, ErrCancelled
	case call.tooLarge:
		call.Err = ErrResponseTooLarge
	}
	call.done <- struct{}{}
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
