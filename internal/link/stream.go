package link

import (
	"encoding/binary"
	"io"
	"sync"
)

// Stream is a response that comes in parts while the function still runs. One
// goroutine reads it; Close and End may be called by others.
//
// The shim may be ahead of the reader by no more than a window. So a stream that
// nobody reads costs at most two windows of memory here, and its function waits; the
// other streams of the connection do not.
type Stream struct {
	// ContentType is what the function said about the response, "" if nothing.
	ContentType string

	conn *Conn
	call *Call
	id   uint32
	news chan struct{} // holds a value when there is something for Next to look at

	// Touched by the connection's reader alone.
	total int

	mu     sync.Mutex
	room   int    // bytes that the shim may still send
	owed   int    // bytes that have been read and not yet been told to the shim
	parts  []byte // that have come, not yet read
	taken  []byte // that Next gave out last
	ended  bool   // nothing more will come
	closed bool   // nobody reads
}

// Next returns the next bytes of the response, which are valid until it is called
// again. It blocks until there are some; at the end it returns io.EOF, and the Call's
// result tells whether it was a good one.
func (s *Stream) Next() ([]byte, error) {
	for {
		part, grant, err := s.take()
		if grant > 0 {
			s.grant(grant)
		}
		if len(part) > 0 || err != nil {
			return part, err
		}
		<-s.news
	}
}

// take swaps what has come for what was given out last, which has been read by now.
func (s *Stream) take() (part []byte, grant int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed += len(s.taken)
	s.parts, s.taken = s.taken[:0], s.parts
	if s.owed >= window/2 && !s.ended {
		grant, s.owed = s.owed, 0
		s.room += grant
	}
	if s.closed || s.ended && len(s.taken) == 0 {
		err = io.EOF
	}
	return s.taken, grant, err
}

// Close tells that nobody reads any more. The function goes on, as on Lambda, and
// what it writes is dropped. Closing twice is harmless.
func (s *Stream) Close() error {
	s.mu.Lock()
	grant := s.owed + len(s.parts) + len(s.taken)
	s.owed, s.parts, s.taken = 0, nil, nil
	if s.closed || s.ended {
		grant = 0
	}
	s.closed = true
	s.room += grant
	s.mu.Unlock()
	s.wake()
	if grant > 0 {
		s.grant(grant)
	}
	return nil
}

// End cuts the stream off: what has come can still be read, and nothing more will
// come. The reader of the connection ends it by itself when the response does; the
// owner of the Call does after Cancel.
func (s *Stream) End() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.wake()
}

func (s *Stream) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// put adds a part that has come. It tells the bytes to grant at once, which there are
// when nobody reads, and false when the shim has sent more than it may.
func (s *Stream) put(part []byte) (grant int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room -= len(part); s.room < 0 {
		return 0, false
	}
	switch {
	case s.ended:
	case s.closed:
		if s.owed += len(part); s.owed >= window/2 {
			grant, s.owed = s.owed, 0
			s.room += grant
		}
	default:
		s.parts = append(s.parts, part...)
		s.wake()
	}
	return grant, true
}

// grant lets the shim send n bytes more, unless the response has ended.
func (s *Stream) grant(n int) {
	c := s.conn
	c.mu.Lock()
	if c.table.get(s.id) != s.call || s.call.cancelled || c.closed {
		c.mu.Unlock()
		return
	}
	c.pending = appendHeader(c.pending, kindWindow, 0, s.id, 4)
	c.pending = binary.LittleEndian.AppendUint32(c.pending, uint32(n))
	c.unlockAndFlush()
}

// checkStreamed holds a RESULT to the rules of a streamed response, if it begins one.
func checkStreamed(h header, body []byte) error {
	switch {
	case h.flags&flagStreamed == 0:
		return nil
	case len(body) == 0 || len(body) < 1+int(body[0]):
		return violation("streamed RESULT for stream %d that is too short for its content type", h.stream)
	case h.flags&flagFailed != 0:
		return violation("streamed RESULT for stream %d that tells of a failure", h.stream)
	}
	return nil
}

// beginStream begins a streamed response: u8 length of the content type, that, and
// the first part.
func (c *Conn) beginStream(call *Call, h header, body []byte, cancelled bool) error {
	size := 1 + int(body[0])
	call.Stream = &Stream{
		ContentType: string(body[1:size]), conn: c, call: call, id: h.stream,
		room: window, news: make(chan struct{}, 1),
	}
	c.mu.Lock()
	call.own()
	c.mu.Unlock()
	call.streams()
	return c.streamed(call, h, body[size:], cancelled)
}

// streamed takes a part of a streamed response, and ends the call after the last one.
func (c *Conn) streamed(call *Call, h header, part []byte, cancelled bool) (err error) {
	s, last := call.Stream, h.flags&flagMore == 0
	if h.flags&flagFailed != 0 {
		call.Failed, call.Response = true, append([]byte(nil), part...)
	} else {
		err = c.takeStreamed(call, h.stream, part, cancelled)
	}
	if !last {
		return err
	}
	s.End()
	switch {
	case err != nil:
		call.Err = err
	case call.tooLarge:
		call.Response, call.Err = nil, ErrResponseTooLarge
	case cancelled:
		call.Response, call.Err = nil, ErrCancelled
	}
	call.signal()
	return err
}

func (c *Conn) takeStreamed(call *Call, stream uint32, part []byte, cancelled bool) error {
	s := call.Stream
	grant, ok := s.put(part)
	if !ok {
		return violation("stream %d: more bytes than it had room for", stream)
	}
	if grant > 0 {
		s.grant(grant)
	}
	if s.total += len(part); s.total > c.opts.MaxStreamBytes && !cancelled {
		call.tooLarge = true
		s.End()
		c.Cancel(call)
	}
	return nil
}
