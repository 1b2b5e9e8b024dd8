package scratch

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	s, err := New(filepath.Join(t.TempDir(), "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func onDisk(t testing.TB) *Store {
	t.Helper()
	s := newStore(t)
	if err := s.InMemory(); err != nil {
		t.Skip(err)
	}
	return s
}

func volume(t testing.TB, s *Store, id string, mb int) *Volume {
	t.Helper()
	v, err := s.Make(id, mb, 4000, 4001)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Discard(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// loops lists the images behind loop devices that lie under the store, deleted or not.
func loops(t testing.TB, s *Store) []string {
	t.Helper()
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if strings.HasPrefix(string(b), s.dir) {
			found = append(found, strings.TrimSpace(string(b)))
		}
	}
	return found
}

func available(t testing.TB, path string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

func TestVolumeHasTheSizeAskedFor(t *testing.T) {
	s := newStore(t)
	for _, mb := range []int{16, 512, 1000, 10240} {
		v := volume(t, s, "v", mb)
		if free := available(t, v.Path()); free < int64(mb)*mib || free >= int64(mb+1)*mib {
			t.Errorf("%d MB: %d bytes are available", mb, free)
		}
		entries, err := os.ReadDir(v.Path())
		if err != nil || len(entries) != 0 {
			t.Errorf("%d MB: not empty: %v %v", mb, entries, err)
		}
		if err := v.Discard(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVolumeBelongsToItsUserAndIsMountedSafely(t *testing.T) {
	v := volume(t, newStore(t), "v", 16)
	info, err := os.Stat(v.Path())
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 4000 || st.Gid != 4001 || info.Mode().Perm() != 0o700 {
		t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
	var st unix.Statfs_t
	if err := unix.Statfs(v.Path(), &st); err != nil {
		t.Fatal(err)
	}
	if st.Flags&unix.ST_NOSUID == 0 || st.Flags&unix.ST_NODEV == 0 {
		t.Errorf("flags %#x lack nosuid or nodev", st.Flags)
	}
}

// fillUp writes until it fails and tells how much went in.
func fillUp(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := bytes.Repeat([]byte("hearth"), mib/6)
	for n := int64(0); ; {
		k, err := f.Write(block)
		n += int64(k)
		if err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("after %d bytes: %v", n, err)
			}
			return n
		}
	}
}

func TestLimitHoldsAndSpaceComesBack(t *testing.T) {
	s := newStore(t)
	a, b := volume(t, s, "a", 24), volume(t, s, "b", 24)
	for round := range 2 { // what was deleted can be used again
		file := filepath.Join(a.Path(), "f")
		if n := fillUp(t, file); n < 24*mib || n >= 25*mib {
			t.Errorf("round %d: %d bytes went in", round, n)
		}
		if free := available(t, b.Path()); free < 24*mib {
			t.Errorf("the neighbour has only %d bytes left", free)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFloodOfInodesEnds(t *testing.T) {
	v := volume(t, newStore(t), "v", 16)
	for n := 0; ; n++ {
		f, err := os.Create(filepath.Join(v.Path(), "f"+strings.Repeat("x", n%100)+string(rune('a'+n%26))+itoa(n)))
		if errors.Is(err, unix.ENOSPC) {
			if n < 16*inodesPerMB-100 {
				t.Errorf("only %d files", n)
			}
			return
		}
		if err != nil || n > 16*inodesPerMB {
			t.Fatalf("file %d: %v", n, err)
		}
		f.Close()
	}
}

func itoa(n int) string {
	var b [8]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}

func TestDetachedVolumeLivesOnUntilDiscard(t *testing.T) {
	s := onDisk(t)
	v := volume(t, s, "v", 16)
	f, err := os.Create(filepath.Join(v.Path(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		if err := v.Detach(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.WriteString("still here"); err != nil {
		t.Error(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(f); string(b) != "still here" {
		t.Errorf("read %q, %v", b, err)
	}
	if got := loops(t, s); len(got) != 1 {
		t.Errorf("loop devices: %q", got)
	}
	f.Close()
	for range 2 {
		if err := v.Discard(); err != nil {
			t.Fatal(err)
		}
	}
	if got := loops(t, s); len(got) != 0 {
		t.Errorf("loop devices are left: %q", got)
	}
	mustHoldOnlyTemplates(t, s)
}

func mustHoldOnlyTemplates(t *testing.T, s *Store) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != templateDir {
			t.Errorf("%s is left", e.Name())
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), s.dir) {
		t.Error("mounts are left under", s.dir)
	}
}

func TestDiscardDoesNotWriteWhatNobodyWillRead(t *testing.T) {
	v := volume(t, onDisk(t), "v", 512)
	fillUp(t, filepath.Join(v.Path(), "f"))
	start := time.Now()
	if err := v.Discard(); err != nil {
		t.Fatal(err)
	}
	t.Logf("discarding 512 MB took %v", time.Since(start))
}

func TestRecoverRemovesWhatAKilledProcessLeft(t *testing.T) {
	s := onDisk(t)
	v := volume(t, s, "v", 16)
	v.root.Close() // as the kernel does for a killed process
	v.root = nil
	// Killed between making the image and unlinking it.
	if err := os.WriteFile(filepath.Join(s.dir, "w.img"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := New(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := again.Recover(); err != nil {
			t.Fatal(err)
		}
	}
	mustHoldOnlyTemplates(t, s)
	if got := loops(t, s); len(got) != 0 {
		t.Errorf("loop devices are left: %q", got)
	}
	if _, err := again.Make("v", 16, 0, 0); err != nil {
		t.Error("after Recover:", err)
	}
	if err := again.Recover(); err != nil {
		t.Fatal(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			v, err := s.Make("v"+itoa(i), 16, 0, 0)
			if err != nil {
				t.Error(err)
				return
			}
			if err := v.Discard(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := loops(t, s); len(got) != 0 {
		t.Errorf("loop devices are left: %q", got)
	}
}

func TestMemoryFallbackHoldsItsLimit(t *testing.T) {
	s := newStore(t)
	s.memory = errors.New("pretend that loop devices are forbidden")
	v := volume(t, s, "v", 8)
	if n := fillUp(t, filepath.Join(v.Path(), "f")); n != 8*mib {
		t.Errorf("%d bytes went in", n)
	}
	if err := v.Discard(); err != nil {
		t.Fatal(err)
	}
	mustHoldOnlyTemplates(t, s)
}

func BenchmarkMakeAndDiscard(b *testing.B) {
	s := newStore(b)
	for b.Loop() {
		v, err := s.Make("v", 512, 4000, 4000)
		if err != nil {
			b.Fatal(err)
		}
		if err := v.Detach(); err != nil {
			b.Fatal(err)
		}
		if err := v.Discard(); err != nil {
			b.Fatal(err)
		}
	}
}
