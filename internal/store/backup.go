package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"hearth/internal/store/archive"
)

// Prefixes of the parts of a backup: queues/KIND/NAME, tables/NAME, blobs/BUCKET/DIGEST.
const (
	queueParts = "queues/"
	tableParts = "tables/"
	blobParts  = "blobs/"
)

// Prefixes of the streams that are Hearth's.
const (
	queueStreams = "hearth_queue_"
	tableStreams = "KV_" + bucketPrefix
	blobStreams  = "OBJ_" + bucketPrefix
)

const (
	// catchUps bounds how often a backup reads what has come meanwhile, without a hold.
	catchUps = 8
	// fewLeft messages are read under the hold; so many take some milliseconds.
	fewLeft = 500
	// maxHeld bounds the bytes that are read under the hold, which are kept in memory.
	maxHeld = 64 << 20
	// holdTimeout bounds the hold.
	holdTimeout = 5 * time.Second
)

// storedMessage is a message of a queue in a backup.
type storedMessage struct {
	Key  string `json:"key"`
	Meta []byte `json:"meta,omitempty"`
	Data []byte `json:"data,omitempty"`
}

// storedEntry is an entry of a table in a backup.
type storedEntry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// streams are the names of the store's streams, without their prefixes.
type streams struct{ queues, tables, blobs []string }

func (s *Store) streams(ctx context.Context) (streams, error) {
	var all streams
	names := s.js.StreamNames(ctx)
	for name := range names.Name() {
		if queue, ok := strings.CutPrefix(name, queueStreams); ok {
			all.queues = append(all.queues, queue)
		} else if table, ok := strings.CutPrefix(name, tableStreams); ok {
			all.tables = append(all.tables, table)
		} else if bucket, ok := strings.CutPrefix(name, blobStreams); ok {
			all.blobs = append(all.blobs, bucket)
		}
	}
	for _, list := range [][]string{all.queues, all.tables, all.blobs} {
		slices.Sort(list)
	}
	return all, wrap(names.Err(), "store: list the streams")
}

// Backup writes everything that the store keeps, while it is in use: the queues, then
// the tables, then the blobs. What has been written when it begins is in the backup,
// unless it is removed meanwhile. No blob that a table's entry refers to may be removed
// from before Backup is called until it has returned; that is the caller's to see to. A
// message that is moved from queue to queue, published there first and then removed here,
// is in the backup at least once.
func (s *Store) Backup(ctx context.Context, w *archive.Writer) error {
	all, err := s.streams(ctx)
	if err != nil {
		return err
	}
	if err := s.backupQueues(ctx, w, all.queues); err != nil {
		return err
	}
	for _, name := range all.tables {
		if err := s.backupTable(ctx, w, name); err != nil {
			return err
		}
	}
	for _, bucket := range all.blobs {
		if err := s.backupBlobs(ctx, w, bucket); err != nil {
			return err
		}
	}
	return nil
}

// queueCursor is how far a queue has been read.
type queueCursor struct {
	queue *Queue
	lines *archive.Lines
	next  uint64
}

func (s *Store) backupQueues(ctx context.Context, w *archive.Writer, names []string) error {
	var cursors []*queueCursor
	for _, name := range names {
		stream, err := s.js.Stream(ctx, queueStreams+name)
		if err != nil {
			return wrap(err, "store: open queue %s", name)
		}
		kind := "kept"
		if stream.CachedInfo().Config.Retention == jetstream.WorkQueuePolicy {
			kind = "work"
		}
		cursors = append(cursors, &queueCursor{
			queue: &Queue{store: s, name: name, stream: stream}, lines: w.Lines(queueParts + kind + "/" + name), next: 1,
		})
	}
	// A message may move behind our back, from a queue still to be read to one that has
	// been read. So the queues are read again from where we were, until little is left;
	// that little is read while nothing can be removed.
	for range catchUps {
		n := 0
		for _, c := range cursors {
			read, err := c.read(ctx, c.add)
			if err != nil {
				return err
			}
			n += read
		}
		if n < fewLeft {
			break
		}
	}
	if err := s.readHeld(ctx, cursors); err != nil {
		return err
	}
	for _, c := range cursors {
		if err := c.lines.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (c *queueCursor) add(m storedMessage) error { return c.lines.Add(m) }

// readHeld reads what is left of all queues while nothing is removed from any. It is kept
// in memory until the hold has ended: who takes the backup may be slow.
func (s *Store) readHeld(ctx context.Context, cursors []*queueCursor) error {
	left := make([][]storedMessage, len(cursors))
	if err := s.whileHeld(ctx, cursors, left); err != nil {
		return err
	}
	for i, c := range cursors {
		for _, m := range left[i] {
			if err := c.add(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) whileHeld(ctx context.Context, cursors []*queueCursor, left [][]storedMessage) error {
	s.removals.Lock()
	defer s.removals.Unlock()
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	bytes := 0
	for i, c := range cursors {
		_, err := c.read(ctx, func(m storedMessage) error {
			if bytes += len(m.Data) + len(m.Meta) + messageOverhead; bytes > maxHeld {
				return errTooBusy
			}
			left[i] = append(left[i], m)
			return nil
		})
		if errors.Is(err, context.DeadlineExceeded) {
			return errTooBusy
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errTooBusy = errors.New("store: messages come faster than a backup can read them: take it where the disk or network is faster, or at a quieter time")

// read gives what the queue has had since the last read, and has still, to each.
func (c *queueCursor) read(ctx context.Context, each func(storedMessage) error) (n int, err error) {
	info, err := c.queue.stream.Info(ctx)
	if err != nil {
		return 0, wrap(err, "store: count queue %s", c.queue.name)
	}
	last := info.State.LastSeq
	for c.next <= last {
		m, err := c.queue.Next(ctx, ">", c.next)
		if errors.Is(err, ErrNotFound) || err == nil && m.Seq > last {
			c.next = last + 1
			break
		}
		if err != nil {
			return n, err
		}
		if err := each(storedMessage{Key: m.Key, Meta: m.Meta, Data: m.Data}); err != nil {
			return n, err
		}
		c.next = m.Seq + 1
		n++
	}
	return n, nil
}

func (s *Store) backupTable(ctx context.Context, w *archive.Writer, name string) error {
	t, err := s.Table(ctx, name)
	if err != nil {
		return err
	}
	entries, err := t.List(ctx)
	if err != nil {
		return err
	}
	lines := w.Lines(tableParts + name)
	for _, e := range entries {
		if err := lines.Add(storedEntry{e.Key, e.Value}); err != nil {
			return err
		}
	}
	return lines.Flush()
}

func (s *Store) backupBlobs(ctx context.Context, w *archive.Writer, bucket string) error {
	b, err := s.Blobs(ctx, bucket)
	if err != nil {
		return err
	}
	blobs, err := b.List(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(blobs, func(x, y BlobInfo) int { return strings.Compare(x.Digest, y.Digest) })
	for _, info := range blobs {
		r, err := b.Get(ctx, info.Digest)
		if errors.Is(err, ErrNotFound) {
			continue // removed since: nothing needs it
		}
		if err != nil {
			return err
		}
		err = w.Part(fmt.Sprintf("%s%s/%s", blobParts, bucket, info.Digest), 1, info.Size, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
