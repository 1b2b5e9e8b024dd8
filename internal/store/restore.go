package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"hearth/internal/store/archive"
)

// Messages is how many messages all queues hold.
func (s *Store) Messages(ctx context.Context) (n uint64, err error) {
	all, err := s.streams(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range all.queues {
		stream, err := s.js.Stream(ctx, queueStreams+name)
		if err != nil {
			return 0, wrap(err, "store: open queue %s", name)
		}
		n += stream.CachedInfo().State.Msgs
	}
	return n, nil
}

// Restore says what to do while a backup is put back.
type Restore struct {
	// File is the backup, which is read several times.
	File io.ReadSeeker
	// TablesRestored is called when blobs and tables are what they were, and before the
	// first message is in its queue, with the newest revision of each table.
	TablesRestored func(ctx context.Context, revisions map[string]uint64) error
}

// PartlyRestoredError says that a restore has failed after it had begun to write.
type PartlyRestoredError struct{ Err error }

func (e *PartlyRestoredError) Error() string { return e.Err.Error() }

// Unwrap implements errors.
func (e *PartlyRestoredError) Unwrap() error { return e.Err }

// Restore replaces everything that the store keeps with what a backup has. First it reads
// and checks all of the file; an error that is no PartlyRestoredError means that nothing
// was changed. Messages and entries get new numbers, those of queues in their old order.
// Blobs that the backup lacks stay. It may be repeated.
func (s *Store) Restore(ctx context.Context, r Restore) (*archive.Manifest, error) {
	manifest, err := s.pass(r.File, checkPart)
	if err != nil {
		return nil, err
	}
	for _, p := range manifest.Parts {
		if digest, blob := strings.CutPrefix(p.Name, blobParts); blob && path.Base(digest) != p.SHA256 {
			return nil, fmt.Errorf("%w: %s has another content than its name says", archive.ErrDamaged, p.Name)
		}
	}
	if err := s.room(int(manifest.Size())); err != nil {
		return nil, err
	}
	if err := s.restore(ctx, r); err != nil {
		return nil, &PartlyRestoredError{err}
	}
	return manifest, nil
}

func (s *Store) restore(ctx context.Context, r Restore) error {
	if _, err := s.pass(r.File, func(p part, body io.Reader) error {
		if p.prefix != blobParts {
			return nil
		}
		b, err := s.Blobs(ctx, p.group)
		if err != nil {
			return err
		}
		return b.Put(ctx, p.name, body)
	}); err != nil {
		return err
	}
	if err := s.emptyQueues(ctx); err != nil {
		return err
	}
	revisions, err := s.restoreTables(ctx, r.File)
	if err != nil {
		return err
	}
	if r.TablesRestored != nil {
		if err := r.TablesRestored(ctx, revisions); err != nil {
			return err
		}
	}
	return s.restoreQueues(ctx, r.File)
}

func (s *Store) emptyQueues(ctx context.Context) error {
	all, err := s.streams(ctx)
	if err != nil {
		return err
	}
	for _, name := range all.queues {
		stream, err := s.js.Stream(ctx, queueStreams+name)
		if err == nil {
			err = stream.Purge(ctx)
		}
		if err != nil {
			return wrap(err, "store: empty queue %s", name)
		}
	}
	return nil
}

// restoreTables writes what the backup has, and then removes what it has not.
func (s *Store) restoreTables(ctx context.Context, file io.ReadSeeker) (map[string]uint64, error) {
	revisions, kept := map[string]uint64{}, map[string]map[string]bool{}
	_, err := s.pass(file, func(p part, body io.Reader) error {
		if p.prefix != tableParts {
			return nil
		}
		t, err := s.Table(ctx, p.group)
		if err != nil {
			return err
		}
		if kept[p.group] == nil {
			kept[p.group] = map[string]bool{}
		}
		return eachLine(body, func(e *storedEntry) error {
			kept[p.group][e.Key] = true
			revision, err := t.Put(ctx, e.Key, e.Value)
			revisions[p.group] = max(revision, revisions[p.group])
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	all, err := s.streams(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range all.tables {
		removed, err := s.keepOnly(ctx, name, kept[name])
		if err != nil {
			return nil, err
		}
		revisions[name] = max(removed, revisions[name])
	}
	return revisions, nil
}

// keepOnly removes all keys of a table but these.
func (s *Store) keepOnly(ctx context.Context, name string, kept map[string]bool) (revision uint64, err error) {
	t, err := s.Table(ctx, name)
	if err != nil {
		return 0, err
	}
	entries, err := t.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if kept[e.Key] {
			continue
		}
		removed, err := t.Delete(ctx, e.Key, 0)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		revision = max(revision, removed)
	}
	return revision, nil
}

func (s *Store) restoreQueues(ctx context.Context, file io.ReadSeeker) error {
	_, err := s.pass(file, func(p part, body io.Reader) error {
		if p.prefix != queueParts {
			return nil
		}
		kind := WorkQueue
		if p.kind == "kept" {
			kind = KeptQueue
		}
		q, err := s.Queue(ctx, p.group, kind)
		if err != nil {
			return err
		}
		return eachLine(body, func(m *storedMessage) error {
			_, err := q.Publish(ctx, Message{Key: m.Key, Meta: m.Meta, Data: m.Data})
			return err
		})
	})
	return err
}

// part is what the name of a part says: queues/KIND/GROUP/n, tables/GROUP/n, and
// blobs/GROUP/NAME.
type part struct{ prefix, kind, group, name string }

func parsePart(name string) (part, error) {
	dir, last := path.Split(name)
	for _, prefix := range []string{queueParts, tableParts, blobParts} {
		group, ok := strings.CutPrefix(strings.TrimSuffix(dir, "/"), prefix)
		if !ok {
			continue
		}
		p := part{prefix: prefix, group: group, name: last}
		if prefix == queueParts {
			p.kind, p.group, ok = strings.Cut(group, "/")
			ok = ok && (p.kind == "work" || p.kind == "kept")
		}
		if ok && p.group != "" && !strings.ContainsFunc(p.group, notInName) {
			return p, nil
		}
	}
	return part{}, fmt.Errorf("%w: nobody knows what %q is", archive.ErrDamaged, name)
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// pass reads the whole file once.
func (s *Store) pass(file io.ReadSeeker, each func(p part, body io.Reader) error) (*archive.Manifest, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return archive.Read(bufio.NewReaderSize(file, 1<<20), func(name string, body io.Reader) error {
		p, err := parsePart(name)
		if err != nil {
			return err
		}
		return each(p, body)
	})
}

// checkPart sees whether the records of a part can be read.
func checkPart(p part, body io.Reader) error {
	switch p.prefix {
	case queueParts:
		return eachLine(body, func(m *storedMessage) error { return nil })
	case tableParts:
		return eachLine(body, func(e *storedEntry) error { return nil })
	}
	return checkDigest(p.name)
}

func eachLine[T any](r io.Reader, fn func(*T) error) error {
	for d := json.NewDecoder(r); ; {
		v := new(T)
		err := d.Decode(v)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", archive.ErrDamaged, err)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
}
