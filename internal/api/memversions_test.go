package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"hearth/internal/async"
	"hearth/internal/hearth"
	"hearth/internal/registry"
)

func (m *memFunctions) revisionLocked() string {
	m.revisions++
	return fmt.Sprintf("00000000-0000-4000-9000-%012d", m.revisions)
}

// publishLocked adds a version to f unless nothing has changed.
func (m *memFunctions) publishLocked(f *hearth.Function, description *string) {
	if !f.Unpublished() {
		return
	}
	f.Published = max(f.Published, m.numbers[f.Name]) + 1
	v := f.Latest
	v.Number, v.Revision, v.Origin = strconv.Itoa(f.Published), m.revisionLocked(), v.Config.Description
	if description != nil {
		v.Config.Description = *description
	}
	f.Versions = append(f.Versions, &v)
}

// change lets step change a copy of a function.
func (m *memFunctions) change(name string, step func(f *hearth.Function) error) (*hearth.Function, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.functions[name]
	if old == nil {
		return nil, hearth.Errorf(hearth.ErrNotFound, "no function %s", name)
	}
	f := old.Clone()
	if err := step(f); err != nil {
		return nil, err
	}
	m.functions[name] = f
	return f, nil
}

func (m *memFunctions) Publish(_ context.Context, name string, p registry.Publish) (*hearth.Function, *hearth.Version, error) {
	f, err := m.change(name, func(f *hearth.Function) error {
		if p.IfRevision != "" && p.IfRevision != f.Latest.Revision {
			return hearth.Errorf(hearth.ErrPrecondition, "revision")
		}
		if sum := base64Digest(f.Latest.Code.Digest); p.IfSHA256 != "" && p.IfSHA256 != sum {
			return hearth.Errorf(hearth.ErrInvalid, "CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s).", p.IfSHA256, sum)
		}
		m.publishLocked(f, p.Description)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return f, f.Versions[len(f.Versions)-1], nil
}

func (m *memFunctions) DeleteVersion(_ context.Context, name, number string) error {
	_, err := m.change(name, func(f *hearth.Function) error {
		if f.Version(number) == nil {
			return hearth.Errorf(hearth.ErrNotFound, "no version %s", number)
		}
		for _, a := range f.Aliases {
			if a.Uses(number) {
				return hearth.Errorf(hearth.ErrConflict, "Version %s cannot be deleted: alias %s leads to it.", number, a.Name)
			}
		}
		f.Versions = slices.DeleteFunc(f.Versions, func(v *hearth.Version) bool { return v.Number == number })
		return nil
	})
	return err
}

func checkMemAlias(f *hearth.Function, a *hearth.Alias) error {
	if err := a.Validate(); err != nil {
		return err
	}
	for _, number := range []string{a.Version, a.Also} {
		if number != "" && f.Version(number) == nil {
			return hearth.Errorf(hearth.ErrNotFound, "Function not found: %s", hearth.FunctionARN(hearth.DefaultRegion, hearth.DefaultAccount, f.Name, number))
		}
	}
	return nil
}

func (m *memFunctions) CreateAlias(_ context.Context, name string, a hearth.Alias) (hearth.Alias, error) {
	_, err := m.change(name, func(f *hearth.Function) error {
		if err := hearth.ValidateAliasName(a.Name); err != nil {
			return err
		}
		if f.Alias(a.Name) != nil {
			return hearth.Errorf(hearth.ErrConflict, "Alias already exists: %s", a.Name)
		}
		if err := checkMemAlias(f, &a); err != nil {
			return err
		}
		a.Revision, a.LastModified = m.revisionLocked(), m.now().UTC()
		f.Aliases = append(f.Aliases, a)
		slices.SortFunc(f.Aliases, func(a, b hearth.Alias) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
	return a, err
}

func (m *memFunctions) UpdateAlias(_ context.Context, name, alias string, u registry.AliasUpdate) (hearth.Alias, error) {
	var after hearth.Alias
	_, err := m.change(name, func(f *hearth.Function) error {
		a := f.Alias(alias)
		if a == nil {
			return hearth.Errorf(hearth.ErrNotFound, "Cannot find alias arn: %s", alias)
		}
		if u.IfRevision != "" && u.IfRevision != a.Revision {
			return hearth.Errorf(hearth.ErrPrecondition, "revision")
		}
		old := a.Route
		if u.Description != nil {
			a.Description = *u.Description
		}
		if u.Route != nil {
			to, err := u.Route(*a)
			if err != nil {
				return err
			}
			a.Route = to
		}
		if a.Route != old {
			a.Previous = &old
		}
		a.Revision = m.revisionLocked()
		after = *a
		return checkMemAlias(f, a)
	})
	return after, err
}

func (m *memFunctions) DeleteAlias(_ context.Context, name, alias string) error {
	_, err := m.change(name, func(f *hearth.Function) error {
		if f.Alias(alias) == nil {
			return hearth.Errorf(hearth.ErrNotFound, "no alias %s", alias)
		}
		f.Aliases = slices.DeleteFunc(f.Aliases, func(a hearth.Alias) bool { return a.Name == alias })
		return nil
	})
	return err
}

// memAsync keeps events and dead letters in memory and executes nothing.
type memAsync struct {
	now     func() time.Time
	mu      sync.Mutex
	full    bool
	events  map[string]hearth.EventStatus
	sent    []async.Event
	letters []hearth.DeadLetter
}

func (m *memAsync) Submit(_ context.Context, e async.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return hearth.Errorf(hearth.ErrCapacity, "The disk of this node is full: the event was not accepted. Free some space and send it again.")
	}
	e.Payload = slices.Clone(e.Payload)
	m.sent = append(m.sent, e)
	m.events[e.ID] = hearth.EventStatus{ID: e.ID, Function: e.Function, Qualifier: e.Qualifier, State: hearth.EventQueued, Accepted: m.now(), Changed: m.now()}
	return nil
}

func (m *memAsync) Status(_ context.Context, id string) (hearth.EventStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.events[id]
	if !ok {
		return e, hearth.Errorf(hearth.ErrNotFound, "Nothing is known of event %s.", id)
	}
	return e, nil
}

func (m *memAsync) Backlogs(ctx context.Context) ([]hearth.Backlog, error) {
	names := map[string]bool{}
	m.mu.Lock()
	for _, e := range m.sent {
		names[e.Function] = true
	}
	m.mu.Unlock()
	var list []hearth.Backlog
	for name := range names {
		b, err := m.Backlog(ctx, name)
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b hearth.Backlog) int { return cmp.Compare(a.Function, b.Function) })
	return list, nil
}

func (m *memAsync) Backlog(_ context.Context, function string) (hearth.Backlog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := hearth.Backlog{Function: function}
	for _, e := range m.sent {
		if e.Function == function {
			b.Queued++
			b.Accepted++
			b.Oldest = m.now()
		}
	}
	for _, l := range m.letters {
		if l.Function == function {
			b.DeadLetters++
		}
	}
	return b, nil
}

func (m *memAsync) bury(function string, payload []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := uint64(len(m.letters) + 1)
	m.letters = append(m.letters, hearth.DeadLetter{
		Key: n, ID: fmt.Sprintf("11111111-0000-4000-8000-%012d", n), Function: function, Accepted: m.now(), Died: m.now(), Attempts: 3,
		Condition: hearth.ConditionExhausted, ErrorType: "TypeError", Error: "x is not a function", Size: len(payload), Payload: payload,
	})
}

func (m *memAsync) DeadLetters(_ context.Context, function string, after uint64, limit int) ([]hearth.DeadLetter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []hearth.DeadLetter
	for _, l := range m.letters {
		if l.Key > after && (function == "" || l.Function == function) && len(list) < limit {
			l.Payload = nil
			list = append(list, l)
		}
	}
	return list, nil
}

func (m *memAsync) DeadLetter(_ context.Context, key uint64) (hearth.DeadLetter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.letters {
		if l.Key == key {
			return l, nil
		}
	}
	return hearth.DeadLetter{}, hearth.Errorf(hearth.ErrNotFound, "There is no dead letter %d.", key)
}

func (m *memAsync) Replay(ctx context.Context, key uint64) (string, error) {
	l, err := m.DeadLetter(ctx, key)
	if err != nil {
		return "", err
	}
	if err := m.Submit(ctx, async.Event{ID: l.ID, Function: l.Function, Payload: l.Payload}); err != nil {
		return "", err
	}
	return l.ID, m.DeleteDeadLetter(ctx, key)
}

func (m *memAsync) DeleteDeadLetter(ctx context.Context, key uint64) error {
	if _, err := m.DeadLetter(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.letters = slices.DeleteFunc(m.letters, func(l hearth.DeadLetter) bool { return l.Key == key })
	return nil
}

func (m *memAsync) PurgeDeadLetters(_ context.Context, function string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.letters)
	m.letters = slices.DeleteFunc(m.letters, func(l hearth.DeadLetter) bool { return function == "" || l.Function == function })
	return before - len(m.letters), nil
}
