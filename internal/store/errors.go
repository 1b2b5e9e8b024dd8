package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors of this package wrap one of these where one fits.
var (
	// ErrNotFound: there is no such key or blob.
	ErrNotFound = errors.New("not found")
	// ErrExists: Create found the key taken.
	ErrExists = errors.New("exists already")
	// ErrRevision: the key has changed since the revision that the caller named.
	ErrRevision = errors.New("changed meanwhile")
	// ErrFull: there is no room to write. Nothing was written.
	ErrFull = errors.New("no space left in the store")
	// ErrCorrupt: a blob's content does not match its digest, or part of it is gone.
	ErrCorrupt = errors.New("content does not match its digest")
	// ErrInvalidKey: the key or digest cannot name anything.
	ErrInvalidKey = errors.New("invalid key")
	// ErrClosed: the store has been closed, or its server stopped.
	ErrClosed = errors.New("store is closed")
	// ErrLocked: another process has the directory open.
	ErrLocked = errors.New("store directory is in use")
)

// JetStream's error codes that have no constant in the client.
const (
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	codeStoreFailed           = 10077 // e.g. "maximum bytes exceeded", or the disk's own words
)

// wrap puts what was being done in front of err and a sentinel into its chain.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	sentinel := sentinelOf(err)
	switch {
	case sentinel == nil || errors.Is(err, sentinel):
		return fmt.Errorf("%s: %w", what, err)
	case sentinel == ErrNotFound || sentinel == ErrExists || sentinel == ErrRevision:
		return fmt.Errorf("%s: %w", what, sentinel) // the engine's words add nothing
	}
	return fmt.Errorf("%s: %w (%w)", what, sentinel, err)
}

// sentinelOf is nil for an error that is none of the package's kinds.
func sentinelOf(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			return ErrRevision
		case codeInsufficientResources, codeStorageExceeded, codeStoreFailed:
			return ErrFull
		}
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrMsgNotFound):
		return ErrNotFound
	case errors.Is(err, jetstream.ErrKeyExists):
		return ErrExists
	case errors.Is(err, jetstream.ErrInvalidKey):
		return ErrInvalidKey
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return ErrClosed
	}
	return nil
}
