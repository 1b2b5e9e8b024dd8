package async

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

func itoa(n int) string { return strconv.Itoa(n) }

// tally counts per function, since the start of the platform.
type tally struct {
	functions sync.Map // name → *counts

	mu   sync.Mutex
	past Stats // of functions that were forgotten
}

type counts struct {
	accepted  meter
	finished  meter
	succeeded atomic.Uint64
	retries   atomic.Uint64
	dead      atomic.Uint64
}

func (t *tally) of(function string) *counts {
	if c, ok := t.functions.Load(function); ok {
		return c.(*counts)
	}
	c, _ := t.functions.LoadOrStore(function, &counts{})
	return c.(*counts)
}

// peek is of, but for a function that nothing is known of it leaves no trace.
func (t *tally) peek(function string) *counts {
	if c, ok := t.functions.Load(function); ok {
		return c.(*counts)
	}
	return &counts{}
}

// forget drops the counts of functions that are gone, and had nothing to do for a
// minute; what they add up to stays.
func (t *tally) forget(now time.Time, gone func(function string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.functions.Range(func(name, value any) bool {
		c := value.(*counts)
		_, accepting := c.accepted.read(now)
		_, finishing := c.finished.read(now)
		if accepting == 0 && finishing == 0 && gone(name.(string)) {
			t.functions.Delete(name)
			c.addTo(&t.past, now)
		}
		return true
	})
}

// sum is that of all functions.
func (t *tally) sum(now time.Time) Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.past
	t.functions.Range(func(_, value any) bool {
		value.(*counts).addTo(&sum, now)
		return true
	})
	return sum
}

func (c *counts) addTo(sum *Stats, now time.Time) {
	n, _ := c.accepted.read(now)
	sum.Accepted += n
	sum.Succeeded += c.succeeded.Load()
	sum.Retries += c.retries.Load()
	sum.Dead += c.dead.Load()
}

// meter counts, and knows the rate over the last minute. It is kept in slices of five
// seconds, so a rate is at most that old.
type meter struct {
	mu     sync.Mutex
	total  uint64
	slices [meterSlices]uint64
	newest int64 // number of the slice that is being filled
}

const (
	meterSlice  = 5 * time.Second
	meterSlices = 13 // a minute, and the one that is being filled
)

func (m *meter) add(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turnLocked(now)
	m.total++
	m.slices[m.newest%meterSlices]++
}

// turnLocked empties the slices that have passed.
func (m *meter) turnLocked(now time.Time) {
	n := now.UnixNano() / int64(meterSlice)
	if n < m.newest-1 { // the clock went back
		m.newest = n
	}
	for i := max(m.newest+1, n-meterSlices+1); i <= n; i++ {
		m.slices[i%meterSlices] = 0
	}
	m.newest = max(n, m.newest)
}

// read returns the total and the rate per second over the last whole minute.
func (m *meter) read(now time.Time) (total uint64, perSecond float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turnLocked(now)
	var sum uint64
	for i, n := range m.slices {
		if int64(i) != m.newest%meterSlices {
			sum += n
		}
	}
	return m.total, float64(sum) / (float64(meterSlices-1) * meterSlice.Seconds())
}

// Backlog tells what of the function's events is where. It costs a few questions to
// the store, whatever the number of events.
func (s *Service) Backlog(ctx context.Context, function string) (hearth.Backlog, error) {
	if err := hearth.ValidateName(function); err != nil {
		return hearth.Backlog{}, err
	}
	n, err := s.census(ctx, function, "*."+function)
	if err != nil {
		return hearth.Backlog{}, storeError(err, "count the events")
	}
	return s.backlog(ctx, function, &n)
}

// census is how many events of each function are where.
type census struct {
	queued, waiting, dead map[string]uint64
	lanes                 map[string][]string // keys of each function's lanes
}

// census counts the lines of line and the lanes of lane; both may be wildcards. An
// event that moves is for a moment in both places and never in neither. So that none
// is missed, it must be counted where it comes from before it is counted where it goes:
// from a lane to the queue, and from there to a lane or to the dead letters.
func (s *Service) census(ctx context.Context, line, lane string) (n census, err error) {
	before, _, err := s.waiting(ctx, lane)
	if err != nil {
		return n, err
	}
	if n.queued, err = s.queue.Counts(ctx, line); err != nil {
		return n, err
	}
	if n.waiting, n.lanes, err = s.waiting(ctx, lane); err != nil {
		return n, err
	}
	for function, waited := range before {
		n.waiting[function] = max(n.waiting[function], waited)
	}
	n.dead, err = s.dead.Counts(ctx, line)
	return n, err
}

// waiting counts what is in the lanes of each function, and names the lanes.
func (s *Service) waiting(ctx context.Context, lane string) (waiting map[string]uint64, lanes map[string][]string, err error) {
	counts, err := s.later.Counts(ctx, lane)
	waiting, lanes = map[string]uint64{}, map[string][]string{}
	for key, n := range counts {
		if function, _, err := parseLaneKey(key); err == nil {
			waiting[function] += n
			lanes[function] = append(lanes[function], key)
		}
	}
	return waiting, lanes, err
}

// Backlogs tells of every function that has events somewhere, or had any since the
// platform started; sorted by name.
func (s *Service) Backlogs(ctx context.Context) ([]hearth.Backlog, error) {
	n, err := s.census(ctx, ">", ">")
	if err != nil {
		return nil, storeError(err, "count the events")
	}
	names := map[string]bool{}
	for _, counts := range []map[string]uint64{n.queued, n.waiting, n.dead} {
		for name := range counts {
			names[name] = true
		}
	}
	s.tally.functions.Range(func(name, _ any) bool {
		names[name.(string)] = true
		return true
	})
	list := make([]hearth.Backlog, 0, len(names))
	for name := range names {
		b, err := s.backlog(ctx, name, &n)
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b hearth.Backlog) int { return strings.Compare(a.Function, b.Function) })
	return list, nil
}

// backlog completes the counts. What is being attempted is still in the queue.
func (s *Service) backlog(ctx context.Context, function string, n *census) (hearth.Backlog, error) {
	now, t, inQueue := time.Now(), s.tally.peek(function), n.queued[function]
	b := hearth.Backlog{Function: function, Running: s.holds.count(function), Retrying: n.waiting[function], DeadLetters: n.dead[function],
		Succeeded: t.succeeded.Load(), Retries: t.retries.Load(), Dead: t.dead.Load()}
	b.Accepted, b.AcceptedPerSecond = t.accepted.read(now)
	_, b.FinishedPerSecond = t.finished.read(now)
	if running := uint64(b.Running); inQueue > running {
		b.Queued = inQueue - running
	}
	oldest, err := s.oldest(ctx, function, b.Queued > 0, n.lanes[function])
	if err != nil {
		return b, storeError(err, "find the oldest event")
	}
	b.Oldest = oldest
	return b, nil
}

// maxOldestSteps bounds how many events that are being attempted are passed over one by
// one, in search for one that waits.
const maxOldestSteps = 8

// oldest is when the event was accepted that waits longest: of the first that waits in
// the function's line, and the first of each of its lanes. It costs a few questions to
// the store, whatever the number of events.
func (s *Service) oldest(ctx context.Context, function string, queued bool, lanes []string) (oldest time.Time, err error) {
	see := func(m *store.Stored) {
		at := m.Time
		if rec, _, err := s.clock.decodeRecord(function, m); err == nil {
			at = rec.Accepted
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	if queued {
		m, err := s.nextWaiting(ctx, function)
		if err == nil {
			see(&m)
		} else if !errors.Is(err, store.ErrNotFound) {
			return oldest, err
		}
	}
	for _, lane := range lanes {
		m, err := s.later.Next(ctx, lane, 0)
		if err == nil {
			see(&m)
		} else if !errors.Is(err, store.ErrNotFound) {
			return oldest, err
		}
	}
	return oldest, nil
}

// nextWaiting is the first event of the function's line that is not being attempted.
// What is being attempted is mostly the beginning of the line, so after a few steps the
// search goes on behind all of it.
func (s *Service) nextWaiting(ctx context.Context, function string) (store.Stored, error) {
	running, last := s.holds.sequences(function)
	seq := uint64(1)
	for step := 0; ; step++ {
		if step == maxOldestSteps {
			seq = max(seq, last+1)
		}
		m, err := s.queue.Next(ctx, function, seq)
		if err != nil || !running[m.Seq] {
			return m, err
		}
		seq = m.Seq + 1
	}
}

func (h *holds) count(function string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for held := range h.list {
		if held.delivery.Key == function {
			n++
		}
	}
	return n
}

// sequences are the numbers of the function's events that are held, and the last one.
func (h *holds) sequences(function string) (seqs map[uint64]bool, last uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seqs = map[uint64]bool{}
	for held := range h.list {
		if held.delivery.Key == function {
			seqs[held.delivery.Seq] = true
			last = max(last, held.delivery.Seq)
		}
	}
	return seqs, last
}

// Stats sums up all functions.
func (s *Service) Stats() Stats {
	sum := s.tally.sum(time.Now())
	sum.Running = s.gate.Running("")
	return sum
}
