package runtimeapi

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
)

// The shim's side of the frame protocol (PROTOCOL.md).
const (
	kindInit     = 1
	kindInvoke   = 2
	kindData     = 3
	kindCancel   = 4
	kindShutdown = 5
	kindWindow   = 6

	kindHello      = 16
	kindReady      = 17
	kindInitError  = 18
	kindResult     = 19
	kindResultData = 20
	kindLog        = 21

	flagMore     = 1
	flagFailed   = 2
	flagStreamed = 4
	flagHTTP     = 8
	flagLeaving  = 16

	headerSize = 12
	maxFrame   = 256 << 10
	chunk      = 64 << 10
	window     = 256 << 10
	maxDoc     = 200 << 10                  // bytes of a failure document in one frame
	maxPayload = 2 * hearth.MaxPayloadBytes // with the body of an HTTP event
)

// frame is one frame from the host. body is valid until the next read.
type frame struct {
	kind   byte
	flags  byte
	stream uint32
	body   []byte
}

// host is the connection to the host. Frames are read by one goroutine and written by
// any.
type host struct {
	conn net.Conn
	in   []byte

	mu  sync.Mutex
	out []byte
}

// read returns the next frame.
func (h *host) read() (frame, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(h.conn, head[:]); err != nil {
		return frame{}, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > maxFrame {
		return frame{}, fmt.Errorf("a frame of %d bytes", size)
	}
	if int(size) > cap(h.in) {
		h.in = make([]byte, size)
	}
	f := frame{kind: head[4], flags: head[5], stream: binary.LittleEndian.Uint32(head[8:]), body: h.in[:size]}
	_, err := io.ReadFull(h.conn, f.body)
	return f, err
}

// write sends one frame, whose body is head and body. When the host does not take it,
// it blocks. A connection that is broken is found by the reader.
func (h *host) write(kind, flags byte, stream uint32, head string, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := binary.LittleEndian.AppendUint32(h.out[:0], uint32(len(head)+len(body)))
	b = append(b, kind, flags, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, stream)
	b = append(append(b, head...), body...)
	_, _ = h.conn.Write(b)
	h.out = b
}

// result sends a whole response, in frames between which those of others pass.
func (h *host) result(stream uint32, flags byte, body []byte) {
	kind := byte(kindResult)
	for {
		part := body[:min(chunk, len(body))]
		body = body[len(part):]
		if len(body) > 0 {
			h.write(kind, flags|flagMore, stream, "", part)
		} else {
			h.write(kind, flags, stream, "", part)
			return
		}
		kind, flags = kindResultData, 0
	}
}

func (h *host) hello(pid int) {
	text, err := json.Marshal(link.Hello{Protocol: 1, Runtime: "runtime-api", PID: pid})
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	h.write(kindHello, 0, 0, "", text)
}

// request is INVOKE's meta.
type request struct {
	http     hearth.HTTPEvent // without its body
	size     int              // bytes of the payload, before that body
	deadline time.Time
	id       string
	arn      string
	trace    string
	client   string
}

// traceID is the caller's, or one that is not sampled: some clients want to have one.
func (r *request) traceID() string {
	if r.trace != "" {
		return r.trace
	}
	const zeros = "00000000000000000000000000000000"
	id := (strings.ReplaceAll(r.id, "-", "") + zeros)[:len(zeros)]
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", uint32(r.deadline.Unix()), id[:24], id[16:])
}

// parseInvoke splits the body of INVOKE. The payload, with the body of an HTTP event
// behind it, is a copy.
func parseInvoke(body []byte, flags byte) (r request, payload []byte, err error) {
	if len(body) < 8+1 {
		return r, nil, fmt.Errorf("INVOKE of %d bytes", len(body))
	}
	r.deadline = time.UnixMilli(int64(binary.LittleEndian.Uint64(body)))
	rest := body[8:]
	field := func(size int, prefix int) string {
		if err != nil || len(rest) < prefix+size {
			err = errMeta
			return ""
		}
		text := string(rest[prefix : prefix+size])
		rest = rest[prefix+size:]
		return text
	}
	long := func() string {
		if len(rest) < 2 {
			err = errMeta
			return ""
		}
		return field(int(binary.LittleEndian.Uint16(rest)), 2)
	}
	r.id = field(int(rest[0]), 1)
	r.arn, r.trace, r.client = long(), long(), long()
	sizes, extra := 4, 0
	if flags&flagHTTP != 0 {
		sizes = 4 + 6
	}
	if err != nil || len(rest) < sizes {
		return request{}, nil, errMeta
	}
	r.size = int(binary.LittleEndian.Uint32(rest))
	if flags&flagHTTP != 0 {
		r.http.Form, r.http.Kind = hearth.EventForm(rest[4]), hearth.BodyKind(rest[5])
		extra = int(binary.LittleEndian.Uint32(rest[6:]))
	}
	rest = rest[sizes:]
	if r.size+extra > maxPayload || len(rest) > r.size+extra {
		return request{}, nil, fmt.Errorf("INVOKE of %d and %d bytes", r.size, extra)
	}
	return r, append(make([]byte, 0, r.size+extra), rest...), nil
}

// errMeta: INVOKE is too short for what it says.
var errMeta = errors.New("INVOKE ends within its meta")

// encode is the JSON of a failure document.
func encode(doc hearth.FailureDoc) []byte {
	text, err := json.Marshal(doc)
	if err != nil { // strings always encode
		panic(err)
	}
	return text
}
