package logs

import (
	"cmp"
	"slices"
	"time"

	"hearth/internal/hearth"
)

// Query returns the entries that the filter selects, oldest first: what is in memory
// and, before that, what the sink has. Without a function it looks at all of them, in
// the order of time. If older entries would have been selected but are not kept any
// more, a line says so.
//
// The error is about the sink; the entries are then what could be had.
func (l *Logs) Query(filter hearth.LogFilter) ([]hearth.LogEntry, error) {
	entries, _, err := l.query(filter)
	return entries, err
}

// query also returns where each journal was at that moment, for Follow to go on.
func (l *Logs) query(filter hearth.LogFilter) ([]hearth.LogEntry, map[*journal]cursor, error) {
	names, err := l.names(filter.Function)
	var entries []hearth.LogEntry
	at := map[*journal]cursor{}
	for _, name := range names {
		var snap snapshot
		if j := l.lookup(name); j != nil {
			snap = j.since(cursor{})
			at[j] = snap.next
		}
		q := search{filter: filter, function: name}
		if e := q.run(snap, l.cfg.Sink); e != nil {
			err = e
		}
		entries = append(entries, q.entries...)
	}
	if len(names) > 1 {
		slices.SortStableFunc(entries, func(a, b hearth.LogEntry) int { return a.Time.Compare(b.Time) })
		entries = newest(entries, filter.Limit)
	}
	return entries, at, err
}

// names lists the functions to look at.
func (l *Logs) names(function string) ([]string, error) {
	if function != "" {
		return []string{function}, nil
	}
	var names []string
	for _, j := range l.all() {
		names = append(names, j.function)
	}
	if l.cfg.Sink == nil {
		return names, nil
	}
	kept, err := l.cfg.Sink.Functions()
	names = append(names, kept...)
	slices.Sort(names)
	return slices.Compact(names), err
}

func newest(entries []hearth.LogEntry, limit int) []hearth.LogEntry {
	if limit > 0 && len(entries) > limit {
		return entries[len(entries)-limit:]
	}
	return entries
}

// search looks through one function's records, newest buffer first, until it has what
// the filter asks for.
type search struct {
	filter   hearth.LogFilter
	function string
	entries  []hearth.LogEntry // newest buffer first while running, then oldest first
	oldest   view              // first record of the buffer looked at last
	done     bool
	started  bool // the START line of the request that is asked for has been found
}

func (q *search) run(snap snapshot, sink Sink) error {
	for i := len(snap.bufs) - 1; i >= 0 && !q.done; i-- {
		if err := q.add(snap.bufs[i], ^uint64(0)); err != nil {
			panic("logs: " + err.Error() + " in memory")
		}
	}
	older := snap.older
	if sink != nil && !q.done {
		var err error
		if older, err = q.load(sink, cmp.Or(snap.first, ^uint64(0))); err != nil {
			q.finish(false)
			return err
		}
	}
	q.finish(older && !q.done)
	return nil
}

// load goes on with the sink's batches, up to the record before.
func (q *search) load(sink Sink, before uint64) (older bool, err error) {
	for batch, err := range sink.Load(q.function) {
		if err == ErrDropped {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		v, _, err := next(batch)
		if err != nil {
			return false, err
		}
		if v.seq >= before {
			continue // in memory, or written twice
		}
		if err := q.add(batch, before); err != nil {
			return false, err
		}
		before = v.seq
		if q.done {
			break
		}
	}
	return false, nil
}

// add takes the records of one buffer with sequence numbers below before.
func (q *search) add(b []byte, before uint64) error {
	var found []hearth.LogEntry
	for first := true; len(b) > 0; first = false {
		v, rest, err := next(b)
		if err != nil {
			return err
		}
		if first {
			q.oldest = v
		}
		if v.seq >= before {
			break
		}
		if matches(&q.filter, &v) {
			q.started = q.started || q.filter.Request != "" && v.kind == kindStart
			v.entries(q.function, func(e hearth.LogEntry) {
				if e.Seq > q.filter.AfterSeq {
					found = append(found, e)
				}
			})
		}
		b = rest
	}
	slices.Reverse(found)
	q.entries = append(q.entries, found...)
	q.done = q.filter.Limit > 0 && len(q.entries) >= q.filter.Limit ||
		q.oldest.seq <= q.filter.AfterSeq+1 ||
		!q.filter.Since.IsZero() && q.oldest.time < q.filter.Since.UnixNano()
	return nil
}

// finish brings the entries into order and adds the hint that older ones are gone.
func (q *search) finish(older bool) {
	slices.Reverse(q.entries)
	q.entries = newest(q.entries, q.filter.Limit)
	if !older || q.oldest.seq == 0 || q.started {
		return
	}
	hint := hearth.LogEntry{Seq: q.oldest.seq - 1, Time: time.Unix(0, q.oldest.time).UTC(), Function: q.function, Kind: hearth.LogPlatform, Text: olderLine}
	q.entries = append([]hearth.LogEntry{hint}, q.entries...)
}

// matches tells whether a record is selected, but for the sequence number.
func matches(f *hearth.LogFilter, v *view) bool {
	switch {
	case f.Instance != "" && string(v.instance) != f.Instance && v.kind != kindGap,
		f.Request != "" && string(v.request) != f.Request,
		!f.Since.IsZero() && v.time < f.Since.UnixNano():
		return false
	}
	return true
}
