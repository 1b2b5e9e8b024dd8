package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// markerLife is how long the marker of a deleted key stays, for watches that are
// behind. A watch that has lost its connection reads everything afresh, so it needs
// no marker.
const markerLife = 24 * time.Hour

// bucketPrefix keeps Hearth's buckets apart from those of others in one cluster.
const bucketPrefix = "hearth_"

// Entry is a key's value at one revision.
type Entry struct {
	Key   string
	Value []byte
	// Revision grows with every write to the table, whatever the key, and is never
	// used twice.
	Revision uint64
	Modified time.Time
}

// Table is a set of keys with values. A key is made of letters, digits and - _ = / .
// (no dot first or last); a value is at most 1 MiB less some header.
type Table struct {
	store  *Store
	name   string
	bucket string
	kv     jetstream.KeyValue
}

// Table opens the table of this name and makes it if need be. Names are letters,
// digits, '-' and '_'. There is one Table of a name; it needs no closing.
func (s *Store) Table(ctx context.Context, name string) (*Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[name]; t != nil {
		return t, nil
	}
	if err := s.room(0); err != nil {
		return nil, err
	}
	bucket := bucketPrefix + name
	kv, err := s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         bucket,
		History:        1,
		LimitMarkerTTL: markerLife,
	})
	if err != nil {
		return nil, wrap(err, "store: open table %s", name)
	}
	t := &Table{store: s, name: name, bucket: bucket, kv: kv}
	s.tables[name] = t
	return t, nil
}

// Get returns the key's newest entry, or ErrNotFound.
func (t *Table) Get(ctx context.Context, key string) (Entry, error) {
	e, err := t.kv.Get(ctx, key)
	if err != nil {
		return Entry{}, wrap(err, "store: get %s/%s", t.name, key)
	}
	return entryOf(e), nil
}

func entryOf(e jetstream.KeyValueEntry) Entry {
	return Entry{Key: e.Key(), Value: e.Value(), Revision: e.Revision(), Modified: e.Created()}
}

// Create writes a key that is not there and returns its revision. It fails with
// ErrExists if the key is there.
func (t *Table) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := t.store.room(len(value)); err != nil {
		return 0, err
	}
	rev, err := t.kv.Create(ctx, key, value)
	if errors.Is(sentinelOf(err), ErrRevision) {
		err = ErrExists
	}
	return rev, wrap(err, "store: create %s/%s", t.name, key)
}

// Update writes a key that is still at revision and returns the new one. It fails
// with ErrRevision if the key has changed or gone. The revision that Delete has
// returned is one too: an Update at it brings the key back.
func (t *Table) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if revision == 0 {
		return 0, fmt.Errorf("store: update %s/%s: %w: revision 0 is that of no entry", t.name, key, ErrRevision)
	}
	if err := t.store.room(len(value)); err != nil {
		return 0, err
	}
	rev, err := t.kv.Update(ctx, key, value, revision)
	return rev, wrap(err, "store: update %s/%s", t.name, key)
}

// Put writes a key whatever is there and returns its revision.
func (t *Table) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := t.store.room(len(value)); err != nil {
		return 0, err
	}
	rev, err := t.kv.Put(ctx, key, value)
	return rev, wrap(err, "store: put %s/%s", t.name, key)
}

// Delete removes a key that is still at revision, or whatever its revision if that
// is 0, and returns the revision of the removal. It fails with ErrNotFound if the
// key is not there, and with ErrRevision if it has changed. It works on a full disk.
func (t *Table) Delete(ctx context.Context, key string, revision uint64) (uint64, error) {
	for {
		e, err := t.kv.Get(ctx, key)
		if err != nil {
			return 0, wrap(err, "store: delete %s/%s", t.name, key)
		}
		if revision != 0 && e.Revision() != revision {
			return 0, fmt.Errorf("store: delete %s/%s: %w", t.name, key, ErrRevision)
		}
		removed, err := t.mark(ctx, key, e.Revision())
		if revision == 0 && errors.Is(sentinelOf(err), ErrRevision) {
			continue // somebody wrote in between
		}
		return removed, wrap(err, "store: delete %s/%s", t.name, key)
	}
}

// mark writes the delete marker. The client's own Purge does the same, but does not
// tell the marker's revision.
func (t *Table) mark(ctx context.Context, key string, revision uint64) (uint64, error) {
	m := nats.NewMsg("$KV." + t.bucket + "." + key)
	m.Header.Set("KV-Operation", "PURGE")
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	ack, err := t.store.js.PublishMsg(ctx, m, jetstream.WithMsgTTL(markerLife))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// List returns all entries, sorted by key. It sees every write that had returned
// before it was called.
func (t *Table) List(ctx context.Context) ([]Entry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := t.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, wrap(err, "store: list %s", t.name)
	}
	defer stop(w)
	var entries []Entry
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return nil, wrap(cmp.Or(ctx.Err(), ErrClosed), "store: list %s", t.name)
			}
			if e == nil {
				slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
				return entries, nil
			}
			entries = append(entries, entryOf(e))
		case <-ctx.Done():
			return nil, wrap(ctx.Err(), "store: list %s", t.name)
		}
	}
}
