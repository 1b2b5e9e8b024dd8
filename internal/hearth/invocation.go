package hearth

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// Invocation is one accepted event for one version.
type Invocation struct {
	ID            string // request id, a UUID; the same on every attempt
	Version       *Version
	Payload       []byte
	ClientContext []byte // decoded JSON, or nil
	TraceID       string
	// InvokedARN is the ARN as the caller qualified it.
	InvokedARN string
	// WantLog asks for Result.LogTail (X-Amz-Log-Type: Tail).
	WantLog bool
	// WantStream asks for Result.Stream where the function streams its response.
	WantStream bool
	// HTTP says how Payload is written if it is an event made of an HTTP request.
	HTTP HTTPEvent
	// Started, if set, is told the instance when the invocation has got a slot there. It
	// must not block.
	Started func(instance string)
	// Context, if set, is for how long the invocation may wait for a slot. Once it runs,
	// the function's time-out is the only limit.
	Context context.Context
}

// HTTPEvent says how the payload of an invocation is written that was made of an HTTP
// request: it is the event without the request's body, which lies beside it. Neither is
// quoted or encoded on the way. The zero value is for payloads that callers have written.
type HTTPEvent struct {
	Form EventForm // of the payload; 0: it is no such event
	Kind BodyKind
	Body []byte // as it was sent
}

// EventForm is how an event made of an HTTP request is written.
type EventForm uint8

// The forms of events.
const (
	EventJSON   EventForm = iota + 1 // a JSON object
	EventPacked                      // payload format 2.0 as package hearth/packed writes it
)

// BodyKind is what a request's body becomes in its event.
type BodyKind uint8

// The kinds of bodies.
const (
	BodyNone   BodyKind = iota // the request has none, or the event has it already
	BodyASCII                  // text, and ASCII
	BodyText                   // text, UTF-8
	BodyBinary                 // base64, with isBase64Encoded
)

// Completion is told what came of an invocation, once: a Result, or an error when the
// platform refused it. Whoever finds out calls it, so it must not block.
type Completion interface {
	Complete(*Result, error)
}

// Outcome is a Completion that somebody waits for. Make it with NewOutcome; it serves
// one invocation.
type Outcome struct {
	known  chan struct{}
	result *Result
	err    error
}

var _ Completion = (*Outcome)(nil)

// NewOutcome returns an Outcome that is not known yet.
func NewOutcome() *Outcome { return &Outcome{known: make(chan struct{})} }

// Complete implements Completion.
func (o *Outcome) Complete(result *Result, err error) {
	o.result, o.err = result, err
	close(o.known)
}

// Wait blocks until the outcome is known.
func (o *Outcome) Wait() (*Result, error) {
	<-o.known
	return o.result, o.err
}

// FunctionError kinds (X-Amz-Function-Error).
const (
	Unhandled = "Unhandled"
)

// Result is what came of an attempt that reached an instance. A function that
// failed is a Result too: FunctionError is set and Payload is the error document
// {"errorType","errorMessage",…}. Only the platform's own failures are Go errors.
type Result struct {
	Payload []byte
	// Body is the body of an answer to an HTTP request that came beside Payload, whose
	// own "body" is empty then; nil if it did not.
	Body []byte
	// Memory, if set, is the buffer that Payload and Body lie in. Who has done with both
	// may give it to be used again (loop.GiveBuffer); nobody has to.
	Memory []byte
	// Stream has the response instead of Payload when it comes in parts. The
	// invocation is still under way then: FunctionError, LogTail and Report are those
	// of Stream.Result. The owner of the Result must read Stream to its end or Close
	// it.
	Stream        ResponseStream
	FunctionError string // "" or Unhandled
	LogTail       []byte // the last MaxLogTailBytes of this invocation's log, if asked for
	Version       string // Number of the version that served it (X-Amz-Executed-Version)
	Instance      string // id of the instance that served it
	Seq           uint64 // its number within that instance, from 1
	Cold          bool   // it waited for an instance to start
	Report        Report
}

// Report is what a REPORT line says.
type Report struct {
	Duration    time.Duration // handler time, without init and queueing
	Init        time.Duration // of the instance; only on its first invocation
	Queued      time.Duration // waiting for a slot
	MemoryMB    int           // configured
	MaxMemoryMB int           // high-water mark of the instance so far
}

// FailureDoc is the JSON body of a failed invocation, in Lambda's shape.
type FailureDoc struct {
	ErrorType    string   `json:"errorType"`
	ErrorMessage string   `json:"errorMessage"`
	Trace        []string `json:"trace,omitempty"`      // Node
	StackTrace   []string `json:"stackTrace,omitempty"` // Python
}

// Error types of failures that the platform itself reports about a function.
const (
	TypeTimedOut         = "Sandbox.Timedout"
	TypeExit             = "Runtime.ExitError"
	TypeOutOfMemory      = "Runtime.OutOfMemory"
	TypeResponseTooLarge = "Function.ResponseSizeTooLarge"
	TypeInitError        = "Runtime.InitError"
	// TypeInstanceFailed: another invocation's crash took the shared instance down.
	TypeInstanceFailed = "Hearth.InstanceFailed"
	TypeProtocol       = "Hearth.ProtocolError"
)

// NewRequestID returns a random UUID (version 4). Request ids are names, not
// secrets; the generator is the runtime's ChaCha8.
func NewRequestID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
