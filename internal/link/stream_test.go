package link_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hearth/internal/link"
)

const (
	tWindow  = 6
	streamed = 4
	windowed = 256 << 10 // bytes before the first WINDOW
)

// begin sends a call and has the peer begin a streamed response.
func begin(tb testing.TB, c *link.Conn, p peer, contentType, first string) (*link.Call, uint32) {
	tb.Helper()
	call := newCall("r1", "{}")
	if err := c.Send(call); err != nil {
		tb.Fatal(err)
	}
	id := p.expect(tInvoke).stream
	p.write(frame(tResult, streamed|more, id, append([]byte{byte(len(contentType))}, contentType+first...)))
	await(tb, call)
	if call.Stream == nil {
		tb.Fatal("the stream has not begun")
	}
	return call, id
}

func TestStream(t *testing.T) {
	c, p := ready(t, link.Options{})
	call, id := begin(t, c, p, "text/plain", "one")
	if call.Stream.ContentType != "text/plain" {
		t.Errorf("content type %q", call.Stream.ContentType)
	}
	if part, err := call.Stream.Next(); string(part) != "one" || err != nil {
		t.Errorf("the first part is %q, %v, while the function goes on", part, err)
	}
	p.write(frame(tResData, more, id, []byte("two")), frame(tResData, 0, id, nil))
	await(t, call)
	rest, err := readAll(call.Stream)
	if string(rest) != "two" || err != nil || call.Err != nil || call.Failed {
		t.Errorf("rest %q, %v; call: failed %v, %v", rest, err, call.Failed, call.Err)
	}
	call.Release()
	if n := c.InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func readAll(s *link.Stream) (all []byte, err error) {
	for {
		part, err := s.Next()
		all = append(all, part...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func TestStreamFailsMidway(t *testing.T) {
	c, p := ready(t, link.Options{})
	call, id := begin(t, c, p, "", "half")
	p.write(frame(tResData, failed, id, []byte(`{"errorType":"E"}`)))
	await(t, call)
	if got, _ := readAll(call.Stream); string(got) != "half" || !call.Failed || string(call.Response) != `{"errorType":"E"}` {
		t.Errorf("%q, failed %v, %s", got, call.Failed, call.Response)
	}
}

func TestStreamOfADeadPeerEnds(t *testing.T) {
	c, p := ready(t, link.Options{})
	call, _ := begin(t, c, p, "", "half")
	p.conn.Close()
	await(t, call)
	if got, err := readAll(call.Stream); string(got) != "half" || err != nil || !errors.Is(call.Err, link.ErrClosed) {
		t.Errorf("%q, %v; call: %v", got, err, call.Err)
	}
}

// TestStreamWindow: the peer is told of room only when the reader has made some.
func TestStreamWindow(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 2})
	call, id := begin(t, c, p, "", "")
	part := make([]byte, windowed/4)
	for range 4 {
		p.write(frame(tResData, more, id, part))
	}
	// A second invocation is served although nobody reads the first.
	other := newCall("r2", "{}")
	if err := c.Send(other); err != nil {
		t.Fatal(err)
	}
	p.write(frame(tResult, 0, p.expect(tInvoke).stream, []byte("2")))
	await(t, other)
	got := 0
	for got < windowed {
		taken, err := call.Stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		got += len(taken)
	}
	told := make(chan uint32)
	go func() {
		r := p.expect(tWindow)
		p.write(frame(tResData, more, id, part))
		told <- binary.LittleEndian.Uint32(r.body)
	}()
	if _, err := call.Stream.Next(); err != nil {
		t.Fatal(err)
	}
	if n := <-told; n < windowed/2 || n > windowed {
		t.Errorf("WINDOW of %d", n)
	}
}

func TestStreamBeyondItsWindowBreaksTheProtocol(t *testing.T) {
	c, p := ready(t, link.Options{})
	call, id := begin(t, c, p, "", "")
	p.write(frame(tResData, more, id, make([]byte, windowed)), frame(tResData, more, id, []byte{1}))
	await(t, call)
	var broken *link.ProtocolError
	if !errors.As(call.Err, &broken) {
		t.Errorf("got %v", call.Err)
	}
}

// TestStreamWithoutReader: what a closed stream is sent is dropped, and room is told
// of all the same.
func TestStreamWithoutReader(t *testing.T) {
	c, p := ready(t, link.Options{})
	call, id := begin(t, c, p, "", "x")
	call.Stream.Close()
	room := windowed - 1
	for sent := 0; sent < 4*windowed; {
		for ; room >= windowed/4; room -= windowed / 4 {
			p.write(frame(tResData, more, id, make([]byte, windowed/4)))
			sent += windowed / 4
		}
		room += int(binary.LittleEndian.Uint32(p.expect(tWindow).body))
	}
	p.write(frame(tResData, 0, id, nil))
	await(t, call)
	if part, err := call.Stream.Next(); err != io.EOF || len(part) > 0 {
		t.Errorf("%d bytes, %v", len(part), err)
	}
}

func TestStreamThatIsTooLarge(t *testing.T) {
	c, p := ready(t, link.Options{MaxStreamBytes: 1000})
	call, id := begin(t, c, p, "", "x")
	p.write(frame(tResData, more, id, make([]byte, 1000)))
	p.expect(tCancel)
	p.write(frame(tResData, more, id, make([]byte, 1000)), frame(tResData, 0, id, nil))
	await(t, call)
	if !errors.Is(call.Err, link.ErrResponseTooLarge) {
		t.Errorf("got %v", call.Err)
	}
}

func TestCancelledStream(t *testing.T) {
	c, p := ready(t, link.Options{})
	call, id := begin(t, c, p, "", "x")
	c.Cancel(call)
	call.Stream.End()
	p.expect(tCancel)
	if got, _ := readAll(call.Stream); string(got) != "x" {
		t.Errorf("got %q", got)
	}
	p.write(frame(tResData, 0, id, nil))
	await(t, call)
	if !errors.Is(call.Err, link.ErrCancelled) {
		t.Errorf("got %v", call.Err)
	}
}

// TestStreamModel sends parts at random within the window, to readers that close at
// random: what is read is a prefix of what was sent, all of it without a close.
func TestStreamModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		near, far := pair(t)
		c, p := connect(near, link.Options{}), peer{t, far}
		defer far.Close()
		defer c.Close()
		initialise(t, c, p)
		call, id := begin(t, c, p, "", "")
		parts := rapid.SliceOfN(rapid.IntRange(1, windowed/2), 0, 20).Draw(rt, "parts")
		closeAfter := rapid.IntRange(-1, 10).Draw(rt, "close after")
		var sent bytes.Buffer
		done := make(chan struct{})
		go func() {
			defer close(done)
			room := windowed
			for i, n := range parts {
				for room < n {
					room += int(binary.LittleEndian.Uint32(p.expect(tWindow).body))
				}
				part := bytes.Repeat([]byte{byte(i)}, n)
				sent.Write(part)
				p.write(frame(tResData, more, id, part))
				room -= n
			}
			p.write(frame(tResData, 0, id, nil))
		}()
		var got []byte
		closed := false
		for i := 0; ; i++ {
			if i == closeAfter {
				call.Stream.Close()
				closed = true
			}
			part, err := call.Stream.Next()
			got = append(got, part...)
			if err != nil {
				break
			}
		}
		select {
		case <-done:
		case <-time.After(patience):
			rt.Fatalf("the peer waits for room that it is not told of")
		}
		await(rt, call)
		if !bytes.HasPrefix(sent.Bytes(), got) || !closed && len(got) != sent.Len() {
			rt.Fatalf("read %d bytes of %d, closed %v", len(got), sent.Len(), closed)
		}
	})
}

func TestStreamRules(t *testing.T) {
	for name, frames := range map[string]func(id uint32) [][]byte{
		"no content type":       func(id uint32) [][]byte { return [][]byte{frame(tResult, streamed|more, id, nil)} },
		"short content type":    func(id uint32) [][]byte { return [][]byte{frame(tResult, streamed|more, id, []byte{9, 'x'})} },
		"begins with a failure": func(id uint32) [][]byte { return [][]byte{frame(tResult, streamed|failed, id, []byte{0})} },
		"fails and goes on": func(id uint32) [][]byte {
			return [][]byte{frame(tResult, streamed|more, id, []byte{0}), frame(tResData, failed|more, id, []byte("{}"))}
		},
		"failure of a whole answer": func(id uint32) [][]byte {
			return [][]byte{frame(tResult, more, id, nil), frame(tResData, failed, id, []byte("{}"))}
		},
		"streamed DATA": func(id uint32) [][]byte {
			return [][]byte{frame(tResult, more, id, nil), frame(tResData, streamed, id, []byte("{}"))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := ready(t, link.Options{})
			call := newCall("r1", "{}")
			if err := c.Send(call); err != nil {
				t.Fatal(err)
			}
			p.write(frames(p.expect(tInvoke).stream)...)
			select {
			case <-c.Done():
			case <-time.After(patience):
				t.Fatal("the connection goes on")
			}
			var broken *link.ProtocolError
			if !errors.As(c.Err(), &broken) {
				t.Errorf("got %v", c.Err())
			}
		})
	}
}

// TestLeaving: a shim that says that it ends is sent no more.
func TestLeaving(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 2})
	call, other := newCall("r1", "{}"), newCall("r2", "{}")
	if err := c.Send(call); err != nil {
		t.Fatal(err)
	}
	p.write(frame(tResult, 16|failed, p.expect(tInvoke).stream, []byte("{}")))
	await(t, call)
	if err := c.Send(other); !c.Leaving() || !errors.Is(err, link.ErrClosed) || c.Err() != nil {
		t.Errorf("leaving %v, sent: %v, ended: %v", c.Leaving(), err, c.Err())
	}
}

// TestLeavingAmidstAResponse: the end of a streamed response may say it, too.
func TestLeavingAmidstAResponse(t *testing.T) {
	c, p := ready(t, link.Options{})
	call := newCall("r1", "{}")
	if err := c.Send(call); err != nil {
		t.Fatal(err)
	}
	stream := p.expect(tInvoke).stream
	p.write(frame(tResult, streamed|more, stream, []byte("\x00part")))
	await(t, call) // it begins
	p.write(frame(tResData, 16|failed, stream, []byte("{}")))
	await(t, call)
	if !c.Leaving() || !call.Failed || c.Err() != nil {
		t.Errorf("leaving %v, failed %v, ended: %v", c.Leaving(), call.Failed, c.Err())
	}
}
