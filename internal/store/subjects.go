package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// SubjectsStream is the stream that keeps the messages of plain subjects.
const SubjectsStream = "hearth_subjects"

// maxBusPayload is the largest message of our own bus: as base64 it still fits into the
// dead-letter store.
const maxBusPayload = 2 << 20

// ErrTaken: another stream keeps the subject, or a part of what it matches.
var ErrTaken = errors.New("another stream keeps this subject")

// Keep has the stream of plain subjects keep these and no others. A message stays until
// every Source that it is for has acknowledged it; one that is for none is not kept.
// Without any subject there is no stream.
func (b *Bus) Keep(ctx context.Context, subjects []string) error {
	js, err := b.open(ctx)
	if err != nil {
		return err
	}
	b.changes.Lock()
	defer b.changes.Unlock()
	if len(subjects) == 0 {
		if err := js.DeleteStream(ctx, SubjectsStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return wrap(err, "store: remove the stream of plain subjects")
		}
		return nil
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        SubjectsStream,
		Description: "messages of subjects that triggers of Hearth listen to",
		Subjects:    disjoint(subjects),
		Retention:   jetstream.InterestPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardNew,
		Duplicates:  onceWindow,
		AllowDirect: true,
	})
	return wrap(err, "store: keep the subjects %s", strings.Join(subjects, ", "))
}

// Free fails with ErrTaken if a stream of somebody else keeps the subject, or a part of
// it: NATS lets only one stream do so.
func (b *Bus) Free(ctx context.Context, subject string) error {
	js, err := b.open(ctx)
	if err != nil {
		return err
	}
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
	for name := range names.Name() {
		if name != SubjectsStream {
			err = errors.Join(err, fmt.Errorf("%w: %s; name that stream in the trigger (stream: %s)", ErrTaken, name, name))
		}
	}
	if err == nil {
		err = names.Err()
	}
	return err
}

// disjoint is a list that matches at least what subjects do, in which no two match the
// same: NATS wants that of a stream.
func disjoint(subjects []string) []string {
	var list []string
	for _, s := range subjects {
		for at := 0; at < len(list); at++ {
			if collide(s, list[at]) {
				s = cover(s, list[at])
				list = slices.Delete(list, at, at+1)
				at = -1 // the wider one may collide with those before
			}
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// collide tells whether a subject can match both.
func collide(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		switch {
		case i >= len(x) || i >= len(y):
			return false
		case x[i] == ">" || y[i] == ">":
			return true
		case x[i] != y[i] && x[i] != "*" && y[i] != "*":
			return false
		}
	}
	return true
}

// cover is the narrowest subject that matches all that either of two does which collide.
func cover(a, b string) string {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	var words []string
	for i := range x {
		if x[i] == ">" || y[i] == ">" {
			return strings.Join(append(words, ">"), ".")
		}
		if x[i] != y[i] {
			x[i] = "*"
		}
		words = append(words, x[i])
	}
	return strings.Join(words, ".")
}
