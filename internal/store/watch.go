package store

import (
	"context"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// rewatchPause is between two tries to watch an engine that is out of reach.
const rewatchPause = 250 * time.Millisecond

// Kind of a Change.
type Kind int

const (
	// Written: the key has the entry's value.
	Written Kind = iota + 1
	// Deleted: the key is gone. The entry has no value. Recent deletes are told in
	// the initial state too, so the caller may not have heard of the key before.
	Deleted
	// Synced: everything that was in the table when the watch began, or began anew,
	// has been told. The entry is empty.
	Synced
)

// Change is one step of a watch.
type Change struct {
	Kind  Kind
	Entry Entry
}

// Watch yields the table's entries, then Synced, then every change, in the order of
// revisions, until ctx is done, the store is closed or the caller breaks off. It runs
// in the caller's goroutine and blocks while nothing changes.
//
// When the connection to an external engine was lost and is back, the watch begins
// anew: what has changed is told, then Deleted for keys that are gone (with the
// revision that they had last), then Synced again.
//
// Of several changes of one key that follow each other fast, a caller may be told
// the last one only; that one is never missed.
func (t *Table) Watch(ctx context.Context) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		w := watch{table: t, known: map[string]uint64{}, yield: yield}
		for ctx.Err() == nil {
			reconnect := t.store.reconnection() // before we look, lest one slip through
			if !w.round(ctx, reconnect) {
				return
			}
			select {
			case <-reconnect:
			case <-time.After(rewatchPause):
			case <-t.store.closed:
				return
			case <-ctx.Done():
			}
		}
	}
}

// watch is the state of one Watch over its rounds.
type watch struct {
	table *Table
	known map[string]uint64 // what has been told: key → revision
	yield func(Change) bool
}

// round watches until something breaks; false means that the caller wants no more.
func (w *watch) round(ctx context.Context, reconnect <-chan struct{}) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher, err := w.table.kv.WatchAll(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.table.store.cfg.Logger.Warn("store: cannot watch, will try again", "table", w.table.name, "error", err)
		}
		return true
	}
	defer stop(watcher)
	seen := map[string]bool{} // in this round's initial state; nil once that is told
	for {
		select {
		case e, ok := <-watcher.Updates():
			switch {
			case !ok:
				return true
			case e == nil:
				if !w.synced(seen) {
					return false
				}
				seen = nil
			case !w.tell(e, seen):
				return false
			}
		case <-reconnect:
			return true
		case <-ctx.Done():
			return true
		}
	}
}

// tell yields one entry, unless an earlier round has told it.
func (w *watch) tell(e jetstream.KeyValueEntry, seen map[string]bool) bool {
	entry := entryOf(e)
	if e.Operation() != jetstream.KeyValuePut {
		entry.Value = nil
		delete(w.known, entry.Key)
		return w.yield(Change{Deleted, entry})
	}
	if seen != nil {
		seen[entry.Key] = true
	}
	if w.known[entry.Key] >= entry.Revision {
		return true
	}
	w.known[entry.Key] = entry.Revision
	return w.yield(Change{Written, entry})
}

// synced ends the initial state: keys that an earlier round told and this one did
// not see are gone.
func (w *watch) synced(seen map[string]bool) bool {
	for key, revision := range w.known {
		if seen != nil && !seen[key] {
			delete(w.known, key)
			if !w.yield(Change{Deleted, Entry{Key: key, Revision: revision}}) {
				return false
			}
		}
	}
	return w.yield(Change{Kind: Synced})
}

// stop ends a watcher and waits for it. Its goroutine may be blocked on a full
// channel, so that is read until it is closed.
func stop(w jetstream.KeyWatcher) {
	_ = w.Stop() // an error means that it has stopped already
	for range w.Updates() {
	}
}
