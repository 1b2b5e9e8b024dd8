package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

func open(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func status(id string, state hearth.EventState, at int64) *hearth.EventStatus {
	return &hearth.EventStatus{ID: id, Function: "f", State: state, Accepted: time.Unix(1, 0).UTC(), Changed: time.Unix(at, 0).UTC()}
}

func TestLedgerOutlivesItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	l := open(t, path)
	want := status("a", hearth.EventRetrying, 5)
	want.NextAttempt, want.Attempt, want.Instance, want.Error = time.Unix(9, 0).UTC(), 2, "i1", "no"
	if err := l.Put(want); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, path)
	if got, err := l.Get("a"); err != nil || got != *want {
		t.Errorf("%+v, %v", got, err)
	}
	if err := l.remove("a"); err != nil {
		t.Error(err)
	}
	if _, err := l.Get("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}

func TestLongErrorsAreShortened(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "events"))
	s := status("a", hearth.EventDead, 1)
	s.Function, s.Qualifier = strings.Repeat("f", hearth.MaxNameLen), strings.Repeat("q", hearth.MaxQualifierLen)
	s.Error = strings.Repeat("ü\"", 600)
	if err := l.Put(s); err != nil {
		t.Fatal(err)
	}
	got, err := l.Get("a")
	if err != nil || got.Function != s.Function || !strings.HasPrefix(s.Error, got.Error) || !utf8.ValidString(got.Error) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestLateNews: in whatever order the states of an event are put, the last one of its
// life stays; a replay begins a new life.
func TestLateNews(t *testing.T) {
	var life []*hearth.EventStatus
	for i, step := range []struct {
		state    hearth.EventState
		attempt  int
		accepted int64
	}{
		{hearth.EventQueued, 0, 1}, {hearth.EventRetrying, 1, 1}, {hearth.EventQueued, 1, 1}, {hearth.EventRetrying, 2, 1},
		{hearth.EventQueued, 2, 1}, {hearth.EventDead, 2, 1}, {hearth.EventQueued, 0, 2}, {hearth.EventSucceeded, 1, 2},
	} {
		s := status("a", step.state, int64(i))
		s.Attempt, s.Accepted = step.attempt, time.Unix(step.accepted, 0).UTC()
		life = append(life, s)
	}
	l := open(t, filepath.Join(t.TempDir(), "events"))
	rapid.Check(t, func(rt *rapid.T) {
		if err := l.remove("a"); err != nil {
			rt.Fatal(err)
		}
		last := -1
		for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7}).Draw(rt, "order") {
			if err := l.Put(life[i]); err != nil {
				rt.Fatal(err)
			}
			last = max(last, i)
			if got, err := l.Get("a"); err != nil || got != *life[last] {
				rt.Fatalf("after step %d: %+v, %v, want step %d", i, got, err, last)
			}
		}
	})
}

// TestFullBucket: events that have ended make room first, the oldest of them first.
func TestFullBucket(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "events"))
	var ids []string
	for i := 0; len(ids) < perBucket+2; i++ {
		if id := fmt.Sprint(i); bucketOf(id) == 7 {
			ids = append(ids, id)
		}
	}
	for i, id := range ids[:perBucket] {
		state := hearth.EventQueued
		if i == 3 || i == 5 {
			state = hearth.EventSucceeded
		}
		if err := l.Put(status(id, state, int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i, forgotten := range []int{3, 5} {
		if err := l.Put(status(ids[perBucket+i], hearth.EventQueued, 100)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Get(ids[forgotten]); !errors.Is(err, ErrNotFound) {
			t.Errorf("event %d is still there: %v", forgotten, err)
		}
	}
	for i, id := range ids {
		if _, err := l.Get(id); err != nil && i != 3 && i != 5 {
			t.Errorf("event %d: %v", i, err)
		}
	}
}

// TestDamage: whatever is in the file, it is an entry or it is not.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	l := open(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rapid.Check(t, func(rt *rapid.T) {
		id := rapid.StringMatching(`[a-z]{1,8}`).Draw(rt, "id")
		if err := l.Put(status(id, hearth.EventQueued, 1)); err != nil {
			rt.Fatal(err)
		}
		off := bucketOf(id)*bucketSize + int64(rapid.IntRange(0, bucketSize-8).Draw(rt, "at"))
		if _, err := f.WriteAt(rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(rt, "bytes"), off); err != nil {
			rt.Fatal(err)
		}
		if s, err := l.Get(id); err == nil && (s.ID != id || s.State != hearth.EventQueued) || err != nil && !errors.Is(err, ErrNotFound) {
			rt.Fatalf("%+v, %v", s, err)
		}
	})
}

func BenchmarkPut(b *testing.B) {
	l := open(b, filepath.Join(b.TempDir(), "events"))
	ids := make([]string, 100_000)
	for i := range ids {
		ids[i] = hearth.NewRequestID()
	}
	s := status("", hearth.EventQueued, 1)
	i := 0
	for b.Loop() {
		s.ID = ids[i%len(ids)]
		i++
		if err := l.Put(s); err != nil {
			b.Fatal(err)
		}
	}
}

// remove has the ledger forget the event, as when others have taken its place.
func (l *Ledger) remove(id string) error {
	bucket := bucketOf(id)
	lock := &l.locks[bucket%locks]
	lock.Lock()
	defer lock.Unlock()
	var page [bucketSize]byte
	if _, err := l.file.ReadAt(page[:], bucket*bucketSize); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	for i := range perBucket {
		if _, ok := decode(page[i*entrySize:(i+1)*entrySize], id); ok {
			if _, err := l.file.WriteAt(make([]byte, headSize), bucket*bucketSize+int64(i*entrySize)); err != nil {
				return fmt.Errorf("ledger: %w", err)
			}
		}
	}
	return nil
}
