package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

func wantDigests(t *testing.T, n *node, codes ...string) {
	t.Helper()
	want := map[string]bool{}
	for _, code := range codes {
		want[digestOf(code)] = true
	}
	if got := n.digests(); !maps.Equal(got, want) {
		t.Errorf("%d archives in the store, want those of %q", len(got), codes)
	}
	n.code.mu.Lock()
	defer n.code.mu.Unlock()
	if len(n.code.pins) != 0 || len(n.code.doomed) != 0 || len(n.code.refs) != len(want) {
		t.Errorf("kept in memory: pins %v, doomed %v, refs %v", n.code.pins, n.code.doomed, n.code.refs)
	}
}

func TestCodeGoesWithItsLastFunction(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	n.create("g", "one")
	n.update("f", Update{Zip: []byte("two")})
	wantDigests(t, n, "one", "two")
	n.update("g", Update{Zip: []byte("two")})
	wantDigests(t, n, "two")
	n.delete("f")
	wantDigests(t, n, "two")
	n.delete("g")
	wantDigests(t, n)
}

func TestRefusedWritesLeaveNoCode(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	stale := Update{IfRevision: "stale", Zip: []byte("two")}
	if _, err := n.Update(testContext(t), "f", stale); hearth.CodeOf(err) != hearth.ErrPrecondition {
		t.Error(err)
	}
	refuse := Update{Zip: []byte("two"), Edit: func(*hearth.Function) error { return errors.New("no") }}
	if _, err := n.Update(testContext(t), "f", refuse); err == nil {
		t.Error("no error")
	}
	// A create that loses a race, after its archive has been put.
	other := n.second()
	other.Close() // its cache knows no more than f
	n.create("g", "one")
	if _, err := other.Create(testContext(t), function("g"), []byte("two")); hearth.CodeOf(err) != hearth.ErrConflict {
		t.Error(err)
	}
	wantDigests(t, n, "one")
}

// TestStartRemovesWhatACrashHasLeft: an archive without a function, as a crash between
// the two writes leaves it.
func TestStartRemovesWhatACrashHasLeft(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	if err := n.code.put(testContext(t), digestOf("two"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	n.restart()
	wantDigests(t, n, "one")
}

func TestSharedStoreKeepsCode(t *testing.T) {
	n := startNode(t)
	n.cfg.SharedStore = true
	n.restart()
	n.create("f", "one")
	n.delete("f")
	n.restart()
	if !n.digests()[digestOf("one")] {
		t.Error("another node may need it")
	}
}

// TestReadersKeepCode: an archive that is being read goes when it is closed.
func TestReadersKeepCode(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	r, err := n.OpenCode(testContext(t), digestOf("one"))
	if err != nil {
		t.Fatal(err)
	}
	n.delete("f")
	if got, err := io.ReadAll(r); err != nil || string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
	for range 2 {
		r.Close()
	}
	wantDigests(t, n)
}

// stepBlobs stops before and after each removal, until the test says go on.
type stepBlobs struct {
	blobs
	deleting, deleted chan struct{} // each sends twice: arrived, may go on
}

func (s *stepBlobs) Delete(ctx context.Context, digest string) error {
	s.deleting <- struct{}{}
	<-s.deleting
	err := s.blobs.Delete(ctx, digest)
	s.deleted <- struct{}{}
	<-s.deleted
	return err
}

// stepNode is a node whose removals go step by step.
func stepNode(t *testing.T) (*node, *stepBlobs) {
	n := startNode(t)
	s := &stepBlobs{n.code.blobs, make(chan struct{}), make(chan struct{})}
	n.code.blobs = s
	return n, s
}

// TestCreateDuringRemoval: the code's last function is being deleted, its archive is
// about to go, and a create comes with the same archive. It must wait and put it anew.
func TestCreateDuringRemoval(t *testing.T) {
	n, s := stepNode(t)
	n.create("f", "one")
	var wg sync.WaitGroup
	wg.Go(func() { n.delete("f") })
	<-s.deleting // the decision has been made
	gaveUp, cancel := context.WithCancel(testContext(t))
	cancel()
	if err := n.code.pin(gaveUp, digestOf("one")); !errors.Is(err, context.Canceled) {
		t.Errorf("pinned without waiting: %v", err)
	}
	wg.Go(func() { n.create("g", "one") })
	s.deleting <- struct{}{}
	<-s.deleted
	s.deleted <- struct{}{}
	wg.Wait()
	wantDigests(t, n, "one")
}

// TestDeleteDuringCreate: a create has put its archive, which was there already, but
// not yet its record; the only function that has the archive is deleted.
func TestDeleteDuringCreate(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	slow := &slowTable{table: n.table, arrived: make(chan struct{})}
	n.table = slow
	var wg sync.WaitGroup
	wg.Go(func() { n.create("g", "one") })
	<-slow.arrived
	n.delete("f")
	if !n.digests()[digestOf("one")] {
		t.Error("the archive is gone")
	}
	slow.arrived <- struct{}{}
	wg.Wait()
	wantDigests(t, n, "one")
}

// slowTable stops before each create.
type slowTable struct {
	table
	arrived chan struct{}
}

func (s *slowTable) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	s.arrived <- struct{}{}
	<-s.arrived
	return s.table.Create(ctx, key, value)
}

// lostTable writes, and says that it does not know.
type lostTable struct{ table }

func (l lostTable) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if _, err := l.table.Create(ctx, key, value); err != nil {
		return 0, err
	}
	return 0, context.DeadlineExceeded
}

// TestUnknownOutcomeKeepsCode: a write that has failed may have happened.
func TestUnknownOutcomeKeepsCode(t *testing.T) {
	n := startNode(t)
	n.table = lostTable{n.table}
	_, err := n.Create(testContext(t), function("f"), []byte("one"))
	if hearth.CodeOf(err) != hearth.ErrInternal || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if !n.digests()[digestOf("one")] {
		t.Error("the archive is gone")
	}
	n.restart()
	if _, err := n.Get("f"); err != nil {
		t.Error(err)
	}
	wantDigests(t, n, "one")
}

// TestCallerGivesUp: a caller that leaves while the record is being written does not
// leave it half done.
func TestCallerGivesUp(t *testing.T) {
	n := startNode(t)
	slow := &slowTable{table: n.table, arrived: make(chan struct{})}
	n.table = slow
	ctx, cancel := context.WithCancel(testContext(t))
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := n.Create(ctx, function("f"), []byte("one")); err != nil {
			t.Error(err)
		}
	})
	<-slow.arrived
	cancel()
	slow.arrived <- struct{}{}
	wg.Wait()
	wantDigests(t, n, "one")
}

// fullBlobs has no space.
type fullBlobs struct{ blobs }

func (fullBlobs) Put(context.Context, string, io.Reader) error {
	return fmt.Errorf("put: %w", store.ErrFull)
}

func TestFullDisk(t *testing.T) {
	n := startNode(t)
	n.code.blobs = fullBlobs{n.code.blobs}
	_, err := n.Create(testContext(t), function("f"), []byte("one"))
	wantCode(t, "create", err, hearth.ErrCodeStorage, "disk of this node is full")
	wantDigests(t, n)
}

// TestCodeRaces lets writers create, update and delete functions that share a few
// archives, and checks all the while that whatever resolves has its code.
func TestCodeRaces(t *testing.T) {
	n := startNode(t)
	codes := []string{"one", "two", "three"}
	ctx := testContext(t)
	var writers, reader sync.WaitGroup
	done := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			name := fmt.Sprint("f", w)
			for i := range 60 {
				code := []byte(codes[(i*7+w)%3])
				var err error
				switch i % 3 {
				case 0:
					_, err = n.Create(ctx, function(name), code)
				case 1:
					_, err = n.Update(ctx, name, Update{Zip: code})
				case 2:
					err = n.Delete(ctx, name)
				}
				if err != nil {
					t.Errorf("%s, step %d: %v", name, i, err)
					return
				}
				if f, err := n.Get(name); err == nil && !has(ctx, n, f) {
					t.Errorf("%s is stored, its code is not", name)
				}
			}
		})
	}
	reader.Go(func() {
		for {
			for _, f := range n.List() {
				if now, _ := n.Get(f.Name); !has(ctx, n, f) && now == f {
					if again, _ := n.Get(f.Name); again == f && !has(ctx, n, f) {
						t.Errorf("%s resolves, its code is gone", f.Name)
					}
				}
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	writers.Wait()
	close(done)
	reader.Wait()
	wantDigests(t, n)
}

func has(ctx context.Context, n *node, f *hearth.Function) bool {
	r, err := n.OpenCode(ctx, f.Latest.Code.Digest)
	if err != nil {
		return false
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	return err == nil && slices.Contains([]string{"one", "two", "three"}, string(got))
}
