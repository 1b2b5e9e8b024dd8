package api

import (
	"context"

	"hearth/internal/async"
	"hearth/internal/hearth"
)

// noAsync stands for Async where there is none: it refuses everything.
type noAsync struct{}

var _ Async = noAsync{}

func errNoAsync() error {
	return hearth.Errorf(hearth.ErrNotImplemented, "Asynchronous invocation is not switched on at this node. Invoke with RequestResponse.")
}

func (noAsync) Submit(context.Context, async.Event) error { return errNoAsync() }

func (noAsync) Status(context.Context, string) (hearth.EventStatus, error) {
	return hearth.EventStatus{}, errNoAsync()
}

func (noAsync) Backlogs(context.Context) ([]hearth.Backlog, error) { return nil, errNoAsync() }

func (noAsync) Backlog(context.Context, string) (hearth.Backlog, error) {
	return hearth.Backlog{}, errNoAsync()
}

func (noAsync) DeadLetters(context.Context, string, uint64, int) ([]hearth.DeadLetter, error) {
	return nil, errNoAsync()
}

func (noAsync) DeadLetter(context.Context, uint64) (hearth.DeadLetter, error) {
	return hearth.DeadLetter{}, errNoAsync()
}

func (noAsync) Replay(context.Context, uint64) (string, error) { return "", errNoAsync() }

func (noAsync) DeleteDeadLetter(context.Context, uint64) error { return errNoAsync() }

func (noAsync) PurgeDeadLetters(context.Context, string) (int, error) { return 0, errNoAsync() }
