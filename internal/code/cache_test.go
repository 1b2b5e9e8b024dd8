package code

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// shelf is a store of archives.
type shelf struct {
	mu      sync.Mutex
	zips    map[string][]byte
	fetches atomic.Int32
	hold    chan struct{} // when set, fetches wait for it
	entered chan struct{}
}

func newShelf(zips ...[]byte) *shelf {
	s := &shelf{zips: map[string][]byte{}, entered: make(chan struct{}, 100)}
	for _, z := range zips {
		s.zips[digestOf(z)] = z
	}
	return s
}

func (s *shelf) fetch(ctx context.Context, digest string, w io.Writer) error {
	s.fetches.Add(1)
	s.entered <- struct{}{}
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	z, ok := s.zips[digest]
	if !ok {
		return errors.New("no such blob")
	}
	_, err := w.Write(z)
	return err
}

func openCache(t *testing.T, dir string, s *shelf, opts Options) *Cache {
	t.Helper()
	c, err := NewCache(dir, s.fetch, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func get(t *testing.T, c *Cache, digest string) (string, func()) {
	t.Helper()
	dir, release, err := c.Get(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	return dir, release
}

func TestGetUnpacks(t *testing.T) {
	old := syscall.Umask(0o077) // modes must not depend on it
	defer syscall.Umask(old)
	made := time.Date(2021, 5, 4, 3, 2, 10, 0, time.UTC)
	z := zipOf(t,
		member{name: "app.py", text: "def handler(e, c): pass", mode: 0o600, method: zip.Deflate, change: func(h *zip.FileHeader) { h.Modified = made }},
		member{name: "bin/", mode: fs.ModeDir | 0o700},
		member{name: "bin/tool", text: "#!/bin/sh", mode: 0o4711},
		member{name: "current", text: "bin/tool", mode: fs.ModeSymlink | 0o777},
		member{name: "deep/er/größe", text: "x", mode: 0o444},
	)
	c := openCache(t, t.TempDir(), newShelf(z), Options{})
	dir, release := get(t, c, digestOf(z))
	defer release()
	want := map[string]string{
		".": "drwxr-xr-x", "bin": "drwxr-xr-x", "deep": "drwxr-xr-x", "deep/er": "drwxr-xr-x",
		"app.py":        "-rw-r--r-- def handler(e, c): pass",
		"bin/tool":      "-rwxr-xr-x #!/bin/sh",
		"current":       "-> bin/tool",
		"deep/er/größe": "-rw-r--r-- x",
	}
	if got := tree(t, dir); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "app.py")); err != nil || !info.ModTime().Equal(made) {
		t.Errorf("time %v, want %v", info.ModTime(), made)
	}
	if !strings.Contains(dir, digestOf(z)) {
		t.Errorf("directory %s is not named by the digest", dir)
	}
	for d := dir; d != c.dir; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
}

func TestGetSharesOneFetch(t *testing.T) {
	z := zipOf(t, member{name: "a", text: "1"})
	s := newShelf(z)
	s.hold = make(chan struct{})
	c := openCache(t, t.TempDir(), s, Options{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			dir, release, err := c.Get(t.Context(), digestOf(z))
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if text, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(text) != "1" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	<-s.entered
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Get(gone, digestOf(z)); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who gave up got %v", err)
	}
	close(s.hold)
	wg.Wait()
	get(t, c, digestOf(z))
	if n := s.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

func TestGetGivenUpByAllStopsAndStartsAnew(t *testing.T) {
	z := zipOf(t, member{name: "a", text: "1"})
	s := newShelf(z)
	s.hold = make(chan struct{})
	c := openCache(t, t.TempDir(), s, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, _, err := c.Get(ctx, digestOf(z))
		ended <- err
	}()
	<-s.entered
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(s.hold)
	_, release := get(t, c, digestOf(z))
	release()
}

func TestGetFails(t *testing.T) {
	z := zipOf(t, member{name: "a", text: "1"})
	s := newShelf(z)
	other := digestOf([]byte("other"))
	s.zips[other] = z
	c := openCache(t, t.TempDir(), s, Options{})
	_, _, err := c.Get(t.Context(), other)
	wantRefusal(t, err, hearth.ErrInternal, "damaged", "Deploy the function again")
	if _, _, err := c.Get(t.Context(), digestOf(nil)); err == nil || !strings.Contains(err.Error(), "no such blob") {
		t.Errorf("got %v", err)
	}
	if _, _, err := c.Get(t.Context(), "../../etc"); err == nil {
		t.Error("took a path for a digest")
	}
	s.zips[other] = make([]byte, hearth.MaxZipBytes+1)
	_, _, err = c.Get(t.Context(), other)
	wantRefusal(t, err, hearth.ErrTooLarge)
	if names, _ := filepath.Glob(filepath.Join(c.dir, "*")); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
	get(t, c, digestOf(z)) // failures are not remembered
}

func TestPutPrimes(t *testing.T) {
	z := zipOf(t, member{name: "a", text: "1"})
	s := newShelf()
	c := openCache(t, t.TempDir(), s, Options{})
	for range 2 {
		if err := c.Put(digestOf(z), z); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Put(digestOf(nil), z); err == nil {
		t.Error("Put took an archive under a wrong digest")
	}
	_, release := get(t, c, digestOf(z))
	release()
	release() // harmless
	if n := s.fetches.Load(); n != 0 {
		t.Errorf("%d fetches, want none", n)
	}
}

func TestTrimRemovesLeastRecentlyUsed(t *testing.T) {
	var zips [][]byte
	for i := range 4 {
		zips = append(zips, zipOf(t, member{name: "a", text: strings.Repeat(string(rune('a'+i)), 1000)}))
	}
	s := newShelf(zips...)
	dir := t.TempDir()
	c := openCache(t, dir, s, Options{MaxBytes: 2500})
	_, release0 := get(t, c, digestOf(zips[0]))
	_, release1 := get(t, c, digestOf(zips[1]))
	release0()
	release1()
	_, again := get(t, c, digestOf(zips[0]))
	again()
	_, release2 := get(t, c, digestOf(zips[2])) // 1 must go
	wantOnDisk(t, dir, zips[0], zips[2])
	_, held0 := get(t, c, digestOf(zips[0]))
	_, release3 := get(t, c, digestOf(zips[3])) // nothing may go
	wantOnDisk(t, dir, zips[0], zips[2], zips[3])
	release2() // now 2 may, and must
	wantOnDisk(t, dir, zips[0], zips[3])
	held0()
	release3()
	if n := s.fetches.Load(); n != 4 {
		t.Errorf("%d fetches, want 4", n)
	}
}

func wantOnDisk(t *testing.T, dir string, zips ...[]byte) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "[0-9a-f]*"))
	got := map[string]bool{}
	for _, n := range names {
		if isDigest(filepath.Base(n)) {
			got[filepath.Base(n)] = true
		}
	}
	for _, z := range zips {
		if !got[digestOf(z)] {
			t.Errorf("%s is not on the disk", short(digestOf(z)))
		}
	}
	if len(got) != len(zips) {
		t.Errorf("%d archives on the disk, want %d", len(got), len(zips))
	}
}

func TestReopen(t *testing.T) {
	old, young := zipOf(t, member{name: "a", text: "old"}), zipOf(t, member{name: "a", text: "young"})
	s := newShelf(old, young)
	dir := t.TempDir()
	c := openCache(t, dir, s, Options{})
	for _, z := range [][]byte{old, young} {
		_, release := get(t, c, digestOf(z))
		release()
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(c.sizeFile(digestOf(old)), past, past); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, _, err := c.Get(t.Context(), digestOf(old)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	c = openCache(t, dir, s, Options{MaxBytes: 5})
	wantOnDisk(t, dir, young) // the order of use outlived the process
	_, release := get(t, c, digestOf(young))
	release()
	if n := s.fetches.Load(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
	c.Close()
	if err := os.WriteFile(filepath.Join(dir, bootFile), []byte("another boot"), 0o644); err != nil {
		t.Fatal(err)
	}
	openCache(t, dir, s, Options{})
	wantOnDisk(t, dir) // nothing unsynced is trusted after a crash of the machine
}

func TestGetHealsRemovedCode(t *testing.T) {
	z := zipOf(t, member{name: "a", text: "1"})
	s := newShelf(z)
	c := openCache(t, t.TempDir(), s, Options{})
	dir, release := get(t, c, digestOf(z))
	release()
	if err := os.Remove(c.sizeFile(digestOf(z))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	dir, release = get(t, c, digestOf(z))
	defer release()
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		t.Error(err)
	}
}

// A process is killed again and again while it unpacks; whatever it left must never
// be taken for whole code.
func TestKilledWhileUnpacking(t *testing.T) {
	if dir := os.Getenv("HEARTH_TEST_CACHE"); dir != "" {
		unpackForever(t, dir)
		return
	}
	dir := t.TempDir()
	z := bulky(t)
	s := newShelf(z)
	for i := range 8 {
		killWhen(t, dir, func() bool { return filesHalfWay(dir) > 40*i })
		c := openCache(t, dir, s, Options{})
		if left, _ := filepath.Glob(filepath.Join(dir, temporaryPrefix+"*")); len(left) > 0 {
			t.Errorf("left behind after opening: %q", left)
		}
		if len(c.kept) > 0 {
			t.Errorf("half code was kept: %v", slices.Collect(maps.Keys(c.kept)))
		}
		code, release := get(t, c, digestOf(z))
		if n := len(tree(t, code)); n != 301 {
			t.Fatalf("%d files and folders, want 301", n)
		}
		release()
		c.Close()
		os.RemoveAll(filepath.Join(dir, digestOf(z)))
	}
}

// killWhen starts a process that unpacks for ever, and kills it where it is half
// way: it is stopped to look, so that it cannot get on between the look and the kill.
func killWhen(t *testing.T, dir string, half func() bool) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKilledWhileUnpacking$")
	child.Env = append(os.Environ(), "HEARTH_TEST_CACHE="+dir)
	var said strings.Builder
	child.Stdout, child.Stderr = &said, &said
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	for patience := time.Now().Add(time.Minute); ; runtime.Gosched() {
		if time.Now().After(patience) {
			child.Process.Kill()
			child.Wait()
			t.Fatalf("never seen half way; it said: %s", said.String())
		}
		if !half() {
			continue
		}
		child.Process.Signal(syscall.SIGSTOP)
		stopped(t, child.Process.Pid)
		if half() {
			return
		}
		child.Process.Signal(syscall.SIGCONT)
	}
}

// stopped waits until no thread of a process runs any more.
func stopped(t *testing.T, pid int) {
	t.Helper()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it did not stop: %v, %v", status, err)
	}
}

// filesHalfWay counts the files that an unpacking under way has written.
func filesHalfWay(dir string) int {
	files, _ := filepath.Glob(filepath.Join(dir, temporaryPrefix+"*", "code", "f*"))
	return len(files)
}

// bulky is an archive that takes a while to unpack.
func bulky(t *testing.T) []byte {
	var members []member
	for i := range 300 {
		members = append(members, member{name: fmt.Sprintf("f%03d", i), text: strings.Repeat("x", 20_000), method: zip.Deflate})
	}
	return zipOf(t, members...)
}

func unpackForever(t *testing.T, dir string) {
	z := bulky(t)
	for {
		c, err := NewCache(dir, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Put(digestOf(z), z); err != nil {
			t.Fatal(err)
		}
		c.Close()
		os.RemoveAll(filepath.Join(dir, digestOf(z)))
	}
}

// Everybody at once, in a cache that is too small.
func TestConcurrentUse(t *testing.T) {
	var zips [][]byte
	for i := range 6 {
		zips = append(zips, zipOf(t, member{name: "a", text: strings.Repeat(string(rune('a'+i)), 100)}))
	}
	s := newShelf(zips...)
	s.entered = make(chan struct{}, 10_000)
	c := openCache(t, t.TempDir(), s, Options{MaxBytes: 250})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 60 {
				z := zips[(i*7+w)%len(zips)]
				ctx, cancel := context.WithCancel(context.Background())
				if (i+w)%5 == 0 {
					go cancel()
				}
				dir, release, err := c.Get(ctx, digestOf(z))
				switch {
				case err == nil:
					if text, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || len(text) != 100 {
						t.Errorf("%d bytes, %v", len(text), err)
					}
					release()
				case !errors.Is(err, context.Canceled):
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.kept {
		if u.refs != 0 {
			t.Errorf("%s has %d references left", short(u.digest), u.refs)
		}
	}
	if c.bytes > 250 {
		t.Errorf("%d bytes kept, at most 250 allowed", c.bytes)
	}
}
