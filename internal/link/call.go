package link

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/loop"
)

// trusted is for how much of a response memory is made because the shim says that it
// will come, in bytes; for more of it when so much has come.
const trusted = 1 << 20

// pooled is from what size on a response lies in a buffer that is used again, in bytes.
const pooled = 32 << 10

// Call is one invocation sent to an instance. The owner fills the request fields,
// sends it, waits for Done and reads the result fields. While it is in flight it
// belongs to the Conn.
type Call struct {
	// The request. It stays as it is until the owner is told that the call streams or has
	// ended, or has cancelled it.
	ID            string // request id, at most 255 bytes
	Deadline      time.Time
	ARN           string // at most 65,535 bytes, as TraceID and ClientContext
	TraceID       string
	ClientContext []byte // JSON, or nil
	Payload       []byte
	HTTP          hearth.HTTPEvent // how Payload is written if it was made of an HTTP request

	// Owner, if set, is told what Done else delivers.
	Owner Owner

	// The result, valid once Done has been signalled. Err is nil when the function
	// answered: Failed tells whether Response is a failure document. When Stream is
	// set, the function has begun to answer in parts, which Stream has; the other
	// fields are valid once Done has been signalled again, and Response is nil then
	// or a failure document.
	Response []byte
	Body     []byte // of an HTTP answer, if it came beside Response
	Memory   []byte // that both lie in, if it is one for loop.GiveBuffer
	Failed   bool
	Err      error
	Stream   *Stream

	done chan struct{} // nobody sends here when there is an Owner

	// Guarded by Conn.mu.
	stream    uint32 // 0: not in flight
	cancelled bool
	// The rest of the payload and its body, still to be sent.
	unsent, unsentBody []byte

	// Touched by the reader alone.
	begun    bool // RESULT has come
	tooLarge bool
	sized    bool // it told how long it is, and its body, which is behind the first head bytes of Response
	head     int
	size     int // of both
}

// Owner is told by the connection's reader what comes of a Call. Its methods must not
// block; they may Send another call and Release this one.
type Owner interface {
	// CallStreams tells that a streamed response begins: Stream is set.
	CallStreams(*Call)
	// CallEnded tells that the result fields are set. Nothing comes after it.
	CallEnded(*Call)
}

func (call *Call) signal() {
	if call.Owner != nil {
		call.Owner.CallEnded(call)
		return
	}
	call.done <- struct{}{}
}

func (call *Call) streams() {
	if call.Owner != nil {
		call.Owner.CallStreams(call)
		return
	}
	call.done <- struct{}{}
}

var calls = sync.Pool{New: func() any { return &Call{done: make(chan struct{}, 2)} }}

// NewCall returns an empty Call. Release gives it back for reuse.
func NewCall() *Call { return calls.Get().(*Call) }

// Done delivers exactly one value for every successful Send, when the result fields
// are set, and one before that when a streamed response begins. Only one receiver
// gets each. A Call with an Owner delivers nothing.
func (call *Call) Done() <-chan struct{} { return call.done }

// Release gives a Call back for reuse. The owner must have received from Done, have been
// told that it ended, or have had an error from Send; it must not touch the Call any more. Response,
// Body and Memory stay the owner's.
func (call *Call) Release() {
	if call.stream != 0 || len(call.done) != 0 {
		panic("link: a call was released in flight")
	}
	*call = Call{done: call.done}
	calls.Put(call)
}

func (call *Call) check() error {
	if call.ID == "" || len(call.ID) > math.MaxUint8 {
		return fmt.Errorf("request id of %d bytes; it must have 1 to %d", len(call.ID), math.MaxUint8)
	}
	for _, field := range []struct {
		name string
		size int
	}{{"ARN", len(call.ARN)}, {"trace id", len(call.TraceID)}, {"client context", len(call.ClientContext)}} {
		if field.size > math.MaxUint16 {
			return fmt.Errorf("%s of %d bytes; at most %d are allowed", field.name, field.size, math.MaxUint16)
		}
	}
	return nil
}

// reset clears what an earlier use left, but for cancelled: Cancel may have come first.
func (call *Call) reset() {
	call.Response, call.Body, call.Memory, call.Failed, call.Err, call.Stream = nil, nil, nil, false, nil, nil
	call.begun, call.tooLarge, call.sized = false, false, false
	call.unsent, call.unsentBody = nil, nil
}

// sending tells whether some of the payload is still to be sent.
func (call *Call) sending() bool { return len(call.unsent)+len(call.unsentBody) > 0 }

// part takes the next part to be sent.
func (call *Call) part() []byte {
	from := &call.unsent
	if len(*from) == 0 {
		from = &call.unsentBody
	}
	part := (*from)[:min(chunk, len(*from))]
	*from = (*from)[len(part):]
	return part
}

// own copies what is still to be sent: its memory will not be the call's any more.
func (call *Call) own() {
	call.unsent, call.unsentBody = bytes.Clone(call.unsent), bytes.Clone(call.unsentBody)
}

// metaSize is the size of INVOKE's meta, with that of an HTTP event.
func (call *Call) metaSize() int {
	size := 8 + 1 + len(call.ID) + 2 + len(call.ARN) + 2 + len(call.TraceID) + 2 + len(call.ClientContext) + 4
	if call.HTTP.Form != 0 {
		size += eventMeta
	}
	return size
}

func (call *Call) appendMeta(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(call.Deadline.UnixMilli()))
	b = append(b, byte(len(call.ID)))
	b = append(b, call.ID...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(call.ARN)))
	b = append(b, call.ARN...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(call.TraceID)))
	b = append(b, call.TraceID...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(call.ClientContext)))
	b = append(b, call.ClientContext...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(call.Payload)))
	if call.HTTP.Form == 0 {
		return b
	}
	b = append(b, byte(call.HTTP.Form), byte(call.HTTP.Kind))
	return binary.LittleEndian.AppendUint32(b, uint32(len(call.HTTP.Body)))
}

// announce takes what a RESULT says about its sizes: u32 bytes of the response and u32 of
// its body.
func (call *Call) announce(body []byte, most int) {
	head, size := binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[4:])
	call.sized, call.head, call.size = true, int(head), int(head)+int(size)
	if call.size > most {
		call.tooLarge = true
		return
	}
	if room := min(call.size, trusted); room >= pooled {
		call.Response = loop.TakeBuffer(room)
	} else {
		call.Response = make([]byte, 0, room)
	}
}

// take adds a part of the response. Past the bound it drops everything, so that a
// large response costs no memory.
func (call *Call) take(part []byte, last bool, most int) {
	if call.tooLarge || len(call.Response)+len(part) > most {
		call.tooLarge, call.Response = true, nil
		return
	}
	if last && call.Response == nil {
		call.Response = make([]byte, len(part))
		copy(call.Response, part)
		return
	}
	if call.sized && len(call.Response)+len(part) > cap(call.Response) {
		begun := call.Response
		call.Response = append(loop.TakeBuffer(max(call.size, len(begun)+len(part))), begun...)
		loop.GiveBuffer(begun)
	}
	call.Response = append(call.Response, part...)
}

// split gives the body its own place, when all has come. It returns false if that is not
// what was announced.
func (call *Call) split() bool {
	if !call.sized || call.tooLarge {
		return true
	}
	if len(call.Response) != call.size {
		return false
	}
	if call.size >= pooled {
		call.Memory = call.Response
	}
	if call.head < call.size {
		call.Response, call.Body = call.Response[:call.head:call.head], call.Response[call.head:]
	}
	return true
}
