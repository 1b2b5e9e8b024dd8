package hearth

import (
	"errors"
	"fmt"
)

// ErrorCode classifies an error of the platform. The api room alone turns codes into
// HTTP statuses and Lambda exception names.
type ErrorCode string

const (
	ErrNotFound         ErrorCode = "not_found"          // 404 ResourceNotFoundException
	ErrNoProvisioned    ErrorCode = "no_provisioned"     // 404 ProvisionedConcurrencyConfigNotFoundException
	ErrInvalid          ErrorCode = "invalid"            // 400 InvalidParameterValueException
	ErrInvalidRequest   ErrorCode = "invalid_request"    // 400 InvalidRequestContentException
	ErrConflict         ErrorCode = "conflict"           // 409 ResourceConflictException
	ErrPrecondition     ErrorCode = "precondition"       // 412 PreconditionFailedException
	ErrTooLarge         ErrorCode = "too_large"          // 413 RequestTooLargeException
	ErrCodeStorage      ErrorCode = "code_storage"       // 400 CodeStorageExceededException
	ErrInvalidZip       ErrorCode = "invalid_zip"        // 400 InvalidParameterValueException, about the archive
	ErrUnsupportedMedia ErrorCode = "unsupported_media"  // 415 UnsupportedMediaTypeException
	ErrReservedLimit    ErrorCode = "reserved_limit"     // 429 ReservedFunctionConcurrentInvocationLimitExceeded
	ErrAccountLimit     ErrorCode = "account_limit"      // 429 ConcurrentInvocationLimitExceeded
	ErrCapacity         ErrorCode = "capacity"           // 503: this node has no room (seed 004, II.B)
	ErrShuttingDown     ErrorCode = "shutting_down"      // 503
	ErrForbidden        ErrorCode = "forbidden"          // 403 AccessDeniedException
	ErrMethodNotAllowed ErrorCode = "method_not_allowed" // 405
	ErrNotImplemented   ErrorCode = "not_implemented"    // 501, names what is missing
	ErrInternal         ErrorCode = "internal"           // 500 ServiceException
	// ErrMoved never reaches a client: the version was drained while the invocation
	// queued; resolve the name again and try the version it stands for now.
	ErrMoved ErrorCode = "moved"
)

// Error is an error meant for people: Message names the thing and the way out.
type Error struct {
	Code    ErrorCode
	Message string
	Err     error // the cause, if any; never shown to API clients
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a formatted message.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithCause returns e with err as its cause, for logs.
func (e *Error) WithCause(err error) *Error {
	e.Err = err
	return e
}

// CodeOf is the code of the first *Error in err's chain, ErrInternal otherwise.
func CodeOf(err error) ErrorCode {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ErrInternal
}
