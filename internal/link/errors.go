package link

import (
	"errors"
	"fmt"

	"hearth/internal/hearth"
)

// Errors of connections and calls.
var (
	// ErrClosed: the connection has ended; either side closed it or the process
	// inside died.
	ErrClosed = errors.New("the connection to the sandbox is closed")
	// ErrNotReady: Send was called before Init had succeeded.
	ErrNotReady = errors.New("the instance is not initialised")
	// ErrBusy: MaxInFlight calls are in flight.
	ErrBusy = errors.New("all slots of the instance are in use")
	// ErrResponseTooLarge: the response was over MaxResponseBytes and was dropped.
	// The instance is unharmed.
	ErrResponseTooLarge = errors.New("the response is too large")
	// ErrCancelled: the call ended after Cancel; its response was dropped.
	ErrCancelled = errors.New("the call was cancelled")
)

// ProtocolError tells how a shim broke the frame protocol. The connection is closed
// by then, and every call in flight ends with this error.
type ProtocolError struct {
	Reason string
}

func (e *ProtocolError) Error() string { return "frame protocol broken: " + e.Reason }

func violation(format string, args ...any) error {
	return &ProtocolError{Reason: fmt.Sprintf(format, args...)}
}

// InitError is the failure that the shim reported instead of READY.
type InitError struct {
	Doc hearth.FailureDoc
	Raw []byte // the document as the shim sent it: a JSON object
}

func (e *InitError) Error() string {
	return "init failed: " + e.Doc.ErrorType + ": " + e.Doc.ErrorMessage
}
