package link

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"
)

// Call is one invocation sent to an instance. The owner fills the request fields,
// sends it, waits for Done and reads the result fields. While it is in flight it
// belongs to the Conn.
type Call struct {
	// The request. Send copies what it needs.
	ID            string // request id, at most 255 bytes
	Deadline      time.Time
	ARN           string // at most 65,535 bytes, as TraceID and ClientContext
	TraceID       string
	ClientContext []byte // JSON, or nil
	Payload       []byte
	HTTP          bool // Payload is an event of payload format 2.0, made of an HTTP request

	// Owner, if set, is told what Done else delivers.
	Owner Owner

	// The result, valid once Done has been signalled. Err is nil when the function
	// answered: Failed tells whether Response is a failure document. When Stream is
	// set, the function has begun to answer in parts, which Stream has; the other
	// fields are valid once Done has been signalled again, and Response is nil then
	// or a failure document.
	Response []byte
	Failed   bool
	Err      error
	Stream   *Stream

	done chan struct{} // nobody sends here when there is an Owner

	// Guarded by Conn.mu.
	stream    uint32 // 0: not in flight
	unsent    []byte // the rest of the payload, still to be sent
	cancelled bool

	// Touched by the reader alone.
	begun    bool // RESULT has come
	tooLarge bool
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
// told that it ended, or have had an error from Send; it must not touch the Call any more. Response stays
// the owner's.
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

// reset clears what an earlier use left.
func (call *Call) reset() {
	call.Response, call.Failed, call.Err, call.Stream = nil, false, nil, nil
	call.begun, call.tooLarge, call.cancelled = false, false, false
	call.unsent = nil
}

// metaSize is the size of INVOKE's meta.
func (call *Call) metaSize() int {
	return 8 + 1 + len(call.ID) + 2 + len(call.ARN) + 2 + len(call.TraceID) + 2 + len(call.ClientContext)
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
	return append(b, call.ClientContext...)
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
	call.Response = append(call.Response, part...)
}
