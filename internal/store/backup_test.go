package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hearth/internal/store/archive"
)

func backup(t testing.TB, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	a, err := archive.NewWriter(&b, "v1", time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(testContext(t), a); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// messagesOf are the messages of a queue, in order, as key=data/meta.
func messagesOf(t testing.TB, q *Queue) (list []string) {
	t.Helper()
	for seq := uint64(1); ; {
		m, err := q.Next(testContext(t), ">", seq)
		if errors.Is(err, ErrNotFound) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s=%s/%s", m.Key, m.Data, m.Meta))
		seq = m.Seq + 1
	}
}

// What is restored is what was, and what was not there is gone; both in an empty store
// and over another state.
func TestBackupAndRestore(t *testing.T) {
	ctx := testContext(t)
	s := openIn(t, t.TempDir())
	defer closeNow(t, s)
	table, blobs := openTable(t, s), openBlobs(t, s)
	work, kept := openQueue(t, s, WorkQueue), (*Queue)(nil)
	kept, err := s.Queue(ctx, "kept", KeptQueue)
	if err != nil {
		t.Fatal(err)
	}
	put(t, table, "a", "1")
	put(t, table, "a", "2")
	put(t, table, "gone", "3")
	del(t, table, "gone")
	large := noise(1, 3<<20)
	digest := putBlob(t, blobs, large)
	for i := range 300 {
		publish(t, work, fmt.Sprint("k", i%3), fmt.Sprint(i))
	}
	if _, err := kept.Publish(ctx, Message{Key: "1.k", Meta: []byte(`{"m":1}`), Data: []byte("later")}); err != nil {
		t.Fatal(err)
	}
	wantWork, wantKept := messagesOf(t, work), messagesOf(t, kept)
	file := backup(t, s)

	put(t, table, "a", "9")
	put(t, table, "new", "9")
	publish(t, work, "k9", "9")
	fresh := openIn(t, t.TempDir())
	defer closeNow(t, fresh)
	for _, target := range []*Store{fresh, s} {
		var told map[string]uint64
		m, err := target.Restore(ctx, Restore{File: bytes.NewReader(file), TablesRestored: func(_ context.Context, revisions map[string]uint64) error {
			told = revisions
			n, err := target.Messages(ctx)
			if n != 0 {
				t.Errorf("%d messages before the tables were known", n)
			}
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
		if m.Version != "v1" || !m.Created.Equal(time.Unix(1e9, 0)) {
			t.Errorf("%+v", m)
		}
		restored := openTable(t, target)
		entries, err := restored.List(ctx)
		if err != nil || len(entries) != 1 || string(entries[0].Value) != "2" || told[restored.name] < entries[0].Revision {
			t.Errorf("%v %v, told %v", entries, err, told)
		}
		if got, err := readBlob(t, openBlobs(t, target), digest); err != nil || !bytes.Equal(got, large) {
			t.Errorf("blob: %d bytes, %v", len(got), err)
		}
		if got := messagesOf(t, openQueue(t, target, WorkQueue)); !slices.Equal(got, wantWork) {
			t.Errorf("%d messages, want %d", len(got), len(wantWork))
		}
		later, err := target.Queue(ctx, "kept", KeptQueue)
		if err != nil {
			t.Fatal(err)
		}
		if got := messagesOf(t, later); !slices.Equal(got, wantKept) {
			t.Errorf("%v, want %v", got, wantKept)
		}
	}
}

// Messages go round between two queues as fast as they can, published there and then
// removed here: each is in every backup.
func TestBackupMissesNoMovingMessage(t *testing.T) {
	ctx := testContext(t)
	s := openIn(t, t.TempDir())
	defer closeNow(t, s)
	var queues []*Queue
	for _, name := range []string{"one", "two"} {
		q, err := s.Queue(ctx, name, KeptQueue)
		if err != nil {
			t.Fatal(err)
		}
		queues = append(queues, q)
	}
	const n = 20
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		seq := publish(t, queues[i%2], "k", fmt.Sprint("m", i, "."))
		wg.Go(func() {
			for at := i % 2; ; at = 1 - at {
				select {
				case <-stop:
					return
				default:
				}
				next, err := queues[1-at].Publish(ctx, Message{Key: "k", Data: []byte(fmt.Sprint("m", i, "."))})
				if err == nil {
					err = queues[at].Delete(ctx, seq)
				}
				if err != nil {
					t.Error(err)
					return
				}
				seq = next
			}
		})
	}
	for range 10 {
		found := map[string]bool{}
		_, err := s.pass(bytes.NewReader(backup(t, s)), func(p part, body io.Reader) error {
			return eachLine(body, func(m *storedMessage) error {
				found[string(m.Data)] = true
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != n {
			t.Errorf("%d of %d messages are in the backup", len(found), n)
		}
	}
	close(stop)
	wg.Wait()
}

// Whatever is changed in a file, nothing of it is restored, or all of it.
func TestRestoreDamaged(t *testing.T) {
	s := openIn(t, t.TempDir())
	defer closeNow(t, s)
	table, q := openTable(t, s), openQueue(t, s, WorkQueue)
	put(t, table, "a", "saved")
	publish(t, q, "k", "saved")
	putBlob(t, openBlobs(t, s), noise(2, 1000))
	file := backup(t, s)
	put(t, table, "a", "now")
	rapid.Check(t, func(rt *rapid.T) {
		bad := bytes.Clone(file)
		if rapid.Bool().Draw(rt, "cut") {
			bad = bad[:rapid.IntRange(0, len(bad)-1).Draw(rt, "length")]
		} else {
			bad[rapid.IntRange(10, len(bad)-1).Draw(rt, "at")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		}
		_, err := s.Restore(testContext(t), Restore{File: bytes.NewReader(bad)})
		if err == nil { // a compressed file may say the same in other bits
			if !bytes.Equal(unpacked(t, bad), unpacked(t, file)) {
				rt.Fatal("what was changed has been restored")
			}
			if e, err := table.Get(testContext(t), "a"); err != nil || string(e.Value) != "saved" {
				rt.Fatalf("restored: %s %v", e.Value, err)
			}
			put(t, table, "a", "now")
			return
		}
		var partly *PartlyRestoredError
		if !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, archive.ErrNewer) || errors.As(err, &partly) {
			rt.Fatalf("%v", err)
		}
		if e, err := table.Get(testContext(t), "a"); err != nil || string(e.Value) != "now" {
			rt.Fatalf("%s %v", e.Value, err)
		}
	})
}

func unpacked(t *testing.T, file []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A file from a newer Hearth is no damaged one; one with parts of no known kind is.
func TestRestoreOfAnother(t *testing.T) {
	s := openIn(t, t.TempDir())
	defer closeNow(t, s)
	for name, want := range map[string]error{"elsewhere/x": archive.ErrDamaged, "blobs/code/x": ErrInvalidKey, "queues/odd/x/0": archive.ErrDamaged, "tables/../x": archive.ErrDamaged} {
		var b bytes.Buffer
		a, err := archive.NewWriter(&b, "v1", time.Now())
		if err == nil {
			err = errors.Join(a.Part(name, 0, 0, strings.NewReader("")), a.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Restore(testContext(t), Restore{File: bytes.NewReader(b.Bytes())}); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
