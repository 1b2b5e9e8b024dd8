package subject

import (
	"cmp"
	"context"
	"slices"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
	"hearth/internal/trigger/batch"
)

// count keeps the totals.
func (w *reading) count(e ended, s *batch.Settled) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Invocations++
	w.status.Succeeded += uint64(len(s.Ack))
	w.status.Dead += uint64(len(s.Dead))
	if e.verdict.Failed || e.verdict.Refused {
		w.status.Failures++
		w.status.Error = clip(e.errorType+": "+e.message, maxErrorBytes)
	}
}

// show has Status tell how things are now.
func (w *reading) show() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.InFlight, w.status.Waiting = w.b.InFlight(), len(w.held)-w.b.InFlight()
	w.status.State = hearth.TriggerActive
	if w.b.BackingOff(time.Now()) || len(w.letters) > 0 {
		w.status.State = hearth.TriggerBackoff
	}
}

// Status tells how the triggers of a function are doing, of all functions if it is
// empty, sorted. It asks the engine once or twice for each.
func (s *Service) Status(ctx context.Context, function string) []hearth.TriggerStatus {
	s.mu.Lock()
	var readers []*reader
	for _, r := range s.readers {
		if function == "" || r.function == function {
			readers = append(readers, r)
		}
	}
	s.mu.Unlock()
	list := make([]hearth.TriggerStatus, 0, len(readers))
	for _, r := range readers {
		list = append(list, r.describe(ctx))
	}
	slices.SortFunc(list, func(a, b hearth.TriggerStatus) int {
		return cmp.Or(cmp.Compare(a.Function, b.Function), cmp.Compare(a.Trigger, b.Trigger))
	})
	return list
}

func (r *reader) describe(ctx context.Context) hearth.TriggerStatus {
	r.mu.Lock()
	status, source := r.status, r.source
	r.mu.Unlock()
	if source == nil {
		return status
	}
	p, err := source.Position(ctx, true)
	if err != nil {
		if status.Error == "" {
			status.Error = err.Error()
		}
		return status
	}
	status.Pending, status.Oldest = p.Pending, p.Oldest
	return status
}

// Of makes a Bus of the store's.
func Of(b *store.Bus) Bus { return bus{b} }

type bus struct{ *store.Bus }

// Source implements Bus.
func (b bus) Source(ctx context.Context, cfg store.SourceConfig) (Source, error) {
	s, err := b.Bus.Source(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return source{s}, nil
}

type source struct{ *store.Source }

// Ack implements Source.
func (source) Ack(ctx context.Context, list []*store.Taken) error { return store.Ack(ctx, list) }

// Extend implements Source.
func (source) Extend(m *store.Taken) error { return m.Extend() }

// Release implements Source.
func (source) Release(m *store.Taken) error { return m.Release() }
