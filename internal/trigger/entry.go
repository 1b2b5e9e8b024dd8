package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
	"hearth/internal/trigger/schedule"
)

// entry is one enabled trigger.
type entry struct {
	function *hearth.Function
	trigger  hearth.Trigger
	schedule *schedule.Schedule
	due      time.Time // the first run that is not in the queue yet; zero: none to come
	retryAt  time.Time // not before; zero when the last try went well
	pause    time.Duration
	unsaved  bool // the table does not have it as it is
}

// at is when there is something to do for the entry.
func (e *entry) at() time.Time {
	if e.retryAt.After(e.due) {
		return e.retryAt
	}
	return e.due
}

func (e *entry) key() string { return e.function.Name + "/" + e.trigger.Name }

// record is an entry in the table. It is the format on disk.
type record struct {
	Spec    string `json:"spec"`    // a due time holds for this schedule
	Created int64  `json:"created"` // of the function, Unix milliseconds
	Due     int64  `json:"due"`     // Unix seconds; 0: none
}

func specOf(t *hearth.Trigger) string { return t.Schedule + " " + t.Timezone }

func (e *entry) record() record {
	r := record{Spec: specOf(&e.trigger), Created: e.function.Created.UnixMilli()}
	if !e.due.IsZero() {
		r.Due = e.due.Unix()
	}
	return r
}

// same says whether two records are of one schedule, so that the due time holds on.
func (r record) same(other record) bool { return r.Spec == other.Spec && r.Created == other.Created }

func (s *Service) all() iter.Seq2[string, *entry] {
	return func(yield func(string, *entry) bool) {
		for _, of := range s.entries {
			for _, e := range of {
				if !yield(e.key(), e) {
					return
				}
			}
		}
	}
}

func (s *Service) load(ctx context.Context) (map[string]record, error) {
	list, err := s.deps.Table.List(ctx)
	if err != nil {
		return nil, err
	}
	saved := make(map[string]record, len(list))
	for _, e := range list {
		var r record
		if err := json.Unmarshal(e.Value, &r); err != nil {
			s.cfg.Log.Warn("trigger: a due time cannot be read; it is counted afresh", "trigger", e.Key, "error", err)
		}
		saved[e.Key] = r
	}
	return saved, nil
}

// reconcile makes the entries of one function those that it declares.
func (s *Service) reconcile(ctx context.Context, name string) {
	f, err := s.deps.Functions.Get(name)
	if err != nil && hearth.CodeOf(err) != hearth.ErrNotFound {
		s.cfg.Log.Warn("trigger: function not read", "function", name, "error", err)
		return
	}
	old, now := s.entries[name], map[string]*entry{}
	if err == nil {
		for _, t := range f.Triggers {
			if e := s.entryOf(f, t, old[t.Name]); e != nil {
				now[t.Name] = e
				s.save(ctx, e)
			}
		}
	}
	for trigger, e := range old {
		if now[trigger] == nil {
			s.remove(ctx, e.key())
		}
	}
	if delete(s.entries, name); len(now) > 0 {
		s.entries[name] = now
	}
}

// entryOf is the entry of a declared trigger, nil if it has no schedule or is
// disabled. The due time
// stays if the schedule does.
func (s *Service) entryOf(f *hearth.Function, t hearth.Trigger, old *entry) *entry {
	if t.Disabled || t.NATS != nil {
		return nil
	}
	parsed, err := parse(&t)
	if err != nil { // it was checked when it was declared
		s.cfg.Log.Error("trigger: schedule cannot be read", "function", f.Name, "trigger", t.Name, "error", err)
		return nil
	}
	e := &entry{function: f, trigger: t, schedule: parsed}
	want := e.record()
	if old != nil && old.record().same(want) {
		e.due, e.retryAt, e.pause, e.unsaved = old.due, old.retryAt, old.pause, old.unsaved
		return e
	}
	now := time.Now().Round(0)
	if r, ok := s.saved[e.key()]; ok && r.same(want) {
		delete(s.saved, e.key())
		if r.Due != 0 {
			e.due = time.Unix(r.Due, 0).UTC()
			corrected := parsed.Corrected(e.due, now)
			e.unsaved = !corrected.Equal(e.due)
			e.due = corrected
		}
		return e
	}
	delete(s.saved, e.key())
	// Counted from the change that brought it, which may have been just before a crash.
	since := f.Latest.LastModified
	if since.IsZero() || since.After(now) {
		since = now
	}
	e.due, e.unsaved = parsed.Next(since), true
	return e
}

// save writes what is new of an entry. If that fails it is tried again.
func (s *Service) save(ctx context.Context, e *entry) {
	if !e.unsaved {
		return
	}
	value, err := json.Marshal(e.record())
	if err == nil {
		_, err = s.deps.Table.Put(ctx, e.key(), value)
	}
	if e.unsaved = err != nil; e.unsaved && ctx.Err() == nil {
		s.cfg.Log.Warn("trigger: due time not written", "trigger", e.key(), "error", err)
	}
}

func (s *Service) remove(ctx context.Context, key string) {
	if _, err := s.deps.Table.Delete(ctx, key, 0); err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
		s.cfg.Log.Warn("trigger: due time not removed", "trigger", key, "error", err)
	}
}

// forgetOrphans removes due times of triggers that went while the platform was down.
func (s *Service) forgetOrphans(ctx context.Context) {
	for key := range s.saved {
		name, trigger, _ := strings.Cut(key, "/")
		if s.entries[name][trigger] == nil {
			s.remove(ctx, key)
		}
	}
	s.saved = nil
}
