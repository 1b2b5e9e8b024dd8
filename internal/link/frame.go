package link

import (
	"encoding/binary"
	"fmt"
)

// Sizes of the protocol, in bytes (PROTOCOL.md).
const (
	headerSize = 12
	// maxFrame bounds the body of one frame in either direction.
	maxFrame = 256 << 10
	// chunk is the most that the host puts into one frame, so that a large payload
	// lets the others' frames pass.
	chunk = 128 << 10
	// window is how many bytes of a streamed response a shim may send before the
	// first WINDOW.
	window = 256 << 10
)

// kind is a frame's type.
type kind uint8

const (
	kindInit     kind = 1
	kindInvoke   kind = 2
	kindData     kind = 3
	kindCancel   kind = 4
	kindShutdown kind = 5
	kindWindow   kind = 6

	kindHello      kind = 16
	kindReady      kind = 17
	kindInitError  kind = 18
	kindResult     kind = 19
	kindResultData kind = 20
	kindLog        kind = 21
)

func (k kind) String() string {
	switch k {
	case kindHello:
		return "HELLO"
	case kindReady:
		return "READY"
	case kindInitError:
		return "INIT_ERROR"
	case kindResult:
		return "RESULT"
	case kindResultData:
		return "DATA"
	case kindLog:
		return "LOG"
	}
	return fmt.Sprintf("type %d", uint8(k))
}

const (
	flagMore     = 1 << 0
	flagFailed   = 1 << 1
	flagStreamed = 1 << 2
	flagHTTP     = 1 << 3
	flagLeaving  = 1 << 4
	flagSized    = 1 << 5
)

// Sizes of what an HTTP event adds to INVOKE's meta, and of what a RESULT that tells its
// sizes begins with, in bytes.
const (
	eventMeta  = 1 + 1 + 4
	resultMeta = 4 + 4
)

// header is the fixed part of a frame.
type header struct {
	length uint32
	kind   kind
	flags  uint8
	stream uint32
}

// appendHeader appends a header. The length may be patched later by setLength.
func appendHeader(b []byte, k kind, flags uint8, stream uint32, length int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = append(b, byte(k), flags, 0, 0)
	return binary.LittleEndian.AppendUint32(b, stream)
}

// decodeHeader reads the header at the start of b, which holds at least headerSize
// bytes, and refuses whatever a shim may never send, whatever the state.
func decodeHeader(b []byte) (header, error) {
	_ = b[headerSize-1]
	h := header{
		length: binary.LittleEndian.Uint32(b),
		kind:   kind(b[4]),
		flags:  b[5],
		stream: binary.LittleEndian.Uint32(b[8:]),
	}
	if h.length > maxFrame {
		return h, violation("%v frame of %d bytes; at most %d are allowed", h.kind, h.length, maxFrame)
	}
	if b[6]|b[7] != 0 {
		return h, violation("%v frame with bytes 6 and 7 not zero", h.kind)
	}
	var legal uint8
	switch h.kind {
	case kindResult:
		legal = flagMore | flagFailed | flagStreamed | flagLeaving | flagSized
	case kindResultData:
		legal = flagMore | flagFailed | flagLeaving
	case kindLog:
		return h, checkFlags(h, 0)
	case kindHello, kindReady, kindInitError:
		if h.stream != 0 {
			return h, violation("%v frame for stream %d; it is about the instance, stream 0", h.kind, h.stream)
		}
		return h, checkFlags(h, 0)
	default:
		return h, violation("frame of unknown %v", h.kind)
	}
	if h.stream == 0 {
		return h, violation("%v frame for stream 0, which is no invocation", h.kind)
	}
	return h, checkFlags(h, legal)
}

func checkFlags(h header, legal uint8) error {
	if h.flags&^legal != 0 {
		return violation("%v frame with flags %#02x", h.kind, h.flags)
	}
	return nil
}
