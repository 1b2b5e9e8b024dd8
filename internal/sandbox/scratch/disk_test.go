package scratch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"hearth/internal/hearth"
)

// smallDisk is a store on a file system of mb MiB.
func smallDisk(t *testing.T, mb string) *Store {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+mb+"m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := New(filepath.Join(dir, "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.InMemory(); err != nil {
		t.Skip(err)
	}
	return s
}

func mustBeRefused(t *testing.T, s *Store, id string, mb int, words ...string) {
	t.Helper()
	v, err := s.Make(id, mb, 0, 0)
	if err == nil {
		t.Errorf("%s: %d MB were promised", id, mb)
		if err := v.Discard(); err != nil {
			t.Error(err)
		}
		return
	}
	var refusal *hearth.Error
	if !errors.As(err, &refusal) || refusal.Code != hearth.ErrCapacity {
		t.Fatalf("%s: got %v, want a refusal for lack of capacity", id, err)
	}
	for _, w := range append(words, s.dir, "--data") {
		if !strings.Contains(refusal.Message, w) {
			t.Errorf("%s: %q does not say %q", id, refusal.Message, w)
		}
	}
}

func promised(t *testing.T, s *Store) int64 {
	t.Helper()
	u, err := s.disk.usage()
	if err != nil {
		t.Fatal(err)
	}
	return u.promised
}

// Whatever functions do with what they were promised, the disk's reserve is left.
func TestDiskIsPromisedOnlyOnce(t *testing.T) {
	s := smallDisk(t, "450")
	mustBeRefused(t, s, "huge", 200, "it needs 237 MB", "450 MB free", " 0 MB are promised", "256 MB are kept")
	a := volume(t, s, "a", 100)
	if got := promised(t, s); got < 100*mib || got > 125*mib {
		t.Errorf("%d bytes are promised", got)
	}
	mustBeRefused(t, s, "b", 100)
	// Writing turns promised space into used space: there is no more than before.
	if n := fillUp(t, filepath.Join(a.Path(), "f")); n < 100*mib {
		t.Errorf("%d bytes went in", n)
	}
	unix.Sync()
	if got := promised(t, s); got > 15*mib {
		t.Errorf("%d bytes are promised still", got)
	}
	if free := available(t, s.dir); free < minReserve {
		t.Errorf("%d bytes are left on the host's disk", free)
	}
	mustBeRefused(t, s, "b", 100)
	if err := a.Detach(); err != nil {
		t.Fatal(err)
	}
	mustBeRefused(t, s, "b", 100)
	if err := a.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := promised(t, s); got != 0 {
		t.Errorf("%d bytes are promised to nobody", got)
	}
	volume(t, s, "b", 100)
	mustBeRefused(t, s, "c", 100)
}

// What Room says is what Make does: so much fits as is left beside what there is, used
// up or not, and the refusal is the same.
func TestRoom(t *testing.T) {
	s := smallDisk(t, "550")
	room := func() (need, total int, full error) {
		need, total, full, err := s.Room(60)
		if err != nil {
			t.Fatal(err)
		}
		return need, total, full
	}
	if need, total, _ := room(); need < 60 || need > 60+28 || total != 550-256 {
		t.Fatalf("one needs %d MB of %d", need, total)
	}
	v := volume(t, s, "first", 60) // from now on the size is known
	need, total, _ := room()
	fillUp(t, filepath.Join(v.Path(), "f"))
	unix.Sync()
	if _, later, _ := room(); later < total-2 || later > total+2 {
		t.Errorf("while it is used up, all may need %d MB instead of %d", later, total)
	}
	made := 1
	for ; (made+1)*need <= total; made++ {
		volume(t, s, "v"+itoa(made), 60)
	}
	if made < 3 {
		t.Errorf("%d volumes of %d MB fit into %d", made, need, total)
	}
	_, err := s.Make("last", 60, 0, 0)
	_, _, full := room()
	if err == nil || full == nil || err.Error() != full.Error() {
		t.Errorf("the refusals are\n%v\n%v", err, full)
	}
}

func TestFullDiskIsARefusalAndNoFailure(t *testing.T) {
	s := smallDisk(t, "40")
	mustBeRefused(t, s, "v", 16, "of these 0 MB", "less ephemeral storage")
	fillUp(t, filepath.Join(filepath.Dir(s.dir), "others"))
	mustBeRefused(t, s, "v", 16, "has 0 MB free")
	mustHoldOnlyTemplates(t, s)
}

func TestFailedVolumesKeepNoPromise(t *testing.T) {
	s := onDisk(t)
	volume(t, s, "v", 16)
	one := promised(t, s)
	if _, err := s.Make("v", 16, 0, 0); err == nil {
		t.Error("two volumes of one name")
	}
	s.mkfs = "/bin/false"
	if _, err := s.Make("w", 17, 0, 0); err == nil {
		t.Error("a volume without a file system")
	}
	if got := promised(t, s); got != one {
		t.Errorf("%d bytes are promised, %d to the only volume", got, one)
	}
}

// Of many that want the same space at once, as many get it as there is room for.
func TestManyWantTheLastSpace(t *testing.T) {
	s := smallDisk(t, "450")
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		made []*Volume
	)
	for i := range 16 {
		wg.Go(func() {
			v, err := s.Make("v"+itoa(i), 50, 0, 0)
			if err != nil {
				if hearth.CodeOf(err) != hearth.ErrCapacity {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			made = append(made, v)
		})
	}
	wg.Wait()
	if len(made) < 2 || len(made) > 3 {
		t.Errorf("%d volumes of 50 MB were made on 194 MB", len(made))
	}
	for _, v := range made {
		if err := v.Discard(); err != nil {
			t.Error(err)
		}
	}
}

func TestReserveIsBounded(t *testing.T) {
	for total, want := range map[int64]int64{
		40 * mib: 256 * mib, 10_000 * mib: 500 * mib, 1_000_000 * mib: 2048 * mib,
	} {
		if got := reserveOf(total); got != want {
			t.Errorf("of %d MB, %d MB are kept, want %d", total/mib, got/mib, want/mib)
		}
	}
}
