package api

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
)

// The frames of HTTP/2 (RFC 9113, 6), and the flags that are used here.
const (
	frameData, frameHeaders, frameReset, frameSettings = 0, 1, 3, 4
	framePing, frameGoAway, frameWindow, frameContinue = 6, 7, 8, 9

	flagAck, flagEndStream, flagEndHeaders = 1, 1, 4

	codeRefused = 7 // REFUSED_STREAM
)

// frame is one frame.
type frame struct {
	kind, flags byte
	stream      uint32
	body        []byte
}

func (f frame) append(b []byte) []byte {
	n := len(f.body)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), f.kind, f.flags)
	return append(binary.BigEndian.AppendUint32(b, f.stream), f.body...)
}

// code is the error code of a frame that has one.
func (f frame) code() uint32 {
	body := f.body
	if f.kind == frameGoAway && len(body) >= 8 {
		body = body[4:]
	}
	if len(body) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(body)
}

// header appends a field to a header block: literal, and remembered by nobody (RFC 7541,
// 6.2.2).
func header(b []byte, name, value string) []byte {
	b = append(b, 0)
	for _, text := range []string{name, value} {
		n := len(text)
		if n < 127 {
			b = append(b, byte(n))
		} else {
			b = append(b, 127)
			for n -= 127; n >= 128; n >>= 7 {
				b = append(b, byte(n)|128)
			}
			b = append(b, byte(n))
		}
		b = append(b, text...)
	}
	return b
}

// asks is the frame of a request with further fields, as pairs.
func asks(stream uint32, end bool, method, path string, pairs ...string) frame {
	b := header(header(header(header(nil, ":method", method), ":scheme", "http"), ":authority", "h"), ":path", path)
	for i := 0; i < len(pairs); i += 2 {
		b = header(b, pairs[i], pairs[i+1])
	}
	f := frame{kind: frameHeaders, flags: flagEndHeaders, stream: stream, body: b}
	if end {
		f.flags |= flagEndStream
	}
	return f
}

// peer is a client that writes and reads single frames.
type peer struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

// peer opens a connection of HTTP/2 and says hello.
func (d *door) peer(t testing.TB) *peer {
	c, r := d.knock(t)
	p := &peer{t, c, r}
	send(t, c, preface)
	p.send(frame{kind: frameSettings})
	return p
}

func (p *peer) send(frames ...frame) {
	p.t.Helper()
	if err := p.try(frames...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) try(frames ...frame) error {
	var b []byte
	for _, f := range frames {
		b = f.append(b)
	}
	_, err := p.c.Write(b)
	return err
}

// next reads a frame.
func (p *peer) next() (frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:]) &^ (1 << 31)}
	f.body = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err := io.ReadFull(p.r, f.body)
	return f, err
}

// await reads until a frame of this kind comes on this stream.
func (p *peer) await(kind byte, stream uint32) frame {
	p.t.Helper()
	for {
		f, err := p.next()
		if err != nil {
			p.t.Fatalf("no frame of kind %d on stream %d: %v", kind, stream, err)
		}
		if f.kind == kind && f.stream == stream {
			return f
		}
	}
}

// end reads until the connection ends, and returns the last frames of error.
func (p *peer) end() (reset, goAway *frame, err error) {
	for {
		f, err := p.next()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return reset, goAway, nil
		case err != nil:
			return reset, goAway, err
		case f.kind == frameReset:
			reset = &f
		case f.kind == frameGoAway:
			goAway = &f
		}
	}
}

// isStatus200 and isStatus400 tell by the index of a static field (RFC 7541, appendix A).
func isStatus200(f frame) bool { return len(f.body) > 0 && f.body[0] == 0x80|8 }
func isStatus400(f frame) bool { return len(f.body) > 0 && f.body[0] == 0x80|12 }
