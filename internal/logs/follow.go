package logs

import (
	"context"
	"iter"
	"slices"
	"time"

	"hearth/internal/hearth"
)

// follower is somebody who reads along. It holds no lines: it is told that there are
// some and fetches them from the journals, so a slow one costs the writers nothing.
type follower struct {
	function string        // "" = all
	bell     chan struct{} // has room for one ring
}

// Follow yields what Query would, then every new entry that the filter selects as it
// is written, until ctx or the storage ends or the loop is left. A reader that is too
// slow misses lines; an entry says how many.
func (l *Logs) Follow(ctx context.Context, filter hearth.LogFilter) iter.Seq[hearth.LogEntry] {
	return func(yield func(hearth.LogEntry) bool) {
		f := l.subscribe(filter.Function)
		defer l.unsubscribe(f)
		// A broken sink takes nothing from the live lines; Query reports it.
		entries, at, _ := l.query(filter)
		for _, e := range entries {
			if !yield(e) {
				return
			}
		}
		for {
			select {
			case <-f.bell:
			case <-ctx.Done():
				return
			case <-l.stop:
				return
			}
			for _, j := range l.followed(filter.Function) {
				cur := at[j]
				snap := j.since(cur)
				at[j] = snap.next
				for _, e := range news(j.function, &filter, snap, cur) {
					if !yield(e) {
						return
					}
				}
			}
		}
	}
}

// news are the entries of a snapshot that the filter selects.
func news(function string, filter *hearth.LogFilter, snap snapshot, from cursor) (entries []hearth.LogEntry) {
	if snap.lost > 0 {
		entries = append(entries, hearth.LogEntry{
			Seq: from.seq, Time: time.Unix(0, timeOf(snap.bufs)).UTC(),
			Function: function, Kind: hearth.LogPlatform, Text: droppedLine(snap.lost),
		})
	}
	for _, b := range snap.bufs {
		for len(b) > 0 {
			v, rest, err := next(b)
			if err != nil {
				panic("logs: " + err.Error() + " in memory")
			}
			b = rest
			if matches(filter, &v) {
				v.entries(function, func(e hearth.LogEntry) { entries = append(entries, e) })
			}
		}
	}
	return entries
}

// followed are the journals to look at for a function, or all.
func (l *Logs) followed(function string) []*journal {
	if function == "" {
		return l.all()
	}
	if j := l.lookup(function); j != nil {
		return []*journal{j}
	}
	return nil
}

// wake tells those who follow the function. Without followers it is one load.
func (l *Logs) wake(function string) {
	for _, f := range *l.followers.Load() {
		if f.function == "" || f.function == function {
			select {
			case f.bell <- struct{}{}:
			default: // it has been told already
			}
		}
	}
}

func (l *Logs) subscribe(function string) *follower {
	f := &follower{function: function, bell: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := append(slices.Clone(*l.followers.Load()), f)
	l.followers.Store(&all)
	return f
}

func (l *Logs) unsubscribe(f *follower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(*l.followers.Load()), func(g *follower) bool { return g == f })
	l.followers.Store(&all)
}
