package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	table, blobs := openTable(t, s), openBlobs(t, s)
	put(t, table, "gone", "x")
	rev := put(t, table, "kept", "x")
	removed := del(t, table, "gone")
	digest := putBlob(t, blobs, noise(1, chunkSize+1))
	closeNow(t, s)

	s = openIn(t, dir)
	table = openTable(t, s)
	if e, err := table.Get(testContext(t), "kept"); err != nil || e.Revision != rev {
		t.Errorf("kept: %+v, %v", e, err)
	}
	if _, err := table.Get(testContext(t), "gone"); !errors.Is(err, ErrNotFound) {
		t.Errorf("gone: %v", err)
	}
	if got, err := readBlob(t, openBlobs(t, s), digest); err != nil || len(got) != chunkSize+1 {
		t.Errorf("blob: %d bytes, %v", len(got), err)
	}
	if next := put(t, table, "new", "x"); next <= removed {
		t.Errorf("revision %d was used before (last one: %d)", next, removed)
	}
}

func TestEveryWriteIsSynced(t *testing.T) {
	s := openIn(t, t.TempDir())
	if cfg := s.srv.JetStreamConfig(); !cfg.SyncAlways {
		t.Errorf("the engine acknowledges before it syncs: %+v", cfg)
	}
	if s.srv.Addr() != nil {
		t.Errorf("the engine listens on %s", s.srv.Addr())
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	_, err := Open(testContext(t), Config{Dir: dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second open: %v", err)
	}
	closeNow(t, s)
	closeNow(t, s)
	openIn(t, dir)
}

func TestBadConfigs(t *testing.T) {
	for _, cfg := range []Config{{}, {Dir: t.TempDir(), URL: "nats://127.0.0.1:1"}} {
		if s, err := Open(testContext(t), cfg); err == nil {
			closeNow(t, s)
			t.Errorf("%+v was accepted", cfg)
		}
	}
	_, err := Open(testContext(t), Config{URL: "nats://user:secret@127.0.0.1:1"})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("an engine that is not there: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testContext(t), Config{Dir: file}); err == nil {
		t.Error("a file was accepted as a directory")
	}
}

// TestDamagedDirectory: an engine that cannot start says why, and gives the
// directory up again.
func TestDamagedDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := Open(testContext(t), Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "is not a directory") {
			t.Errorf("%v", err)
		}
	}
}

func TestClosedStore(t *testing.T) {
	s := openIn(t, t.TempDir())
	table := openTable(t, s)
	closeNow(t, s)
	if _, err := table.Get(testContext(t), "k"); !errors.Is(err, ErrClosed) {
		t.Errorf("get: %v", err)
	}
	if _, err := table.Put(testContext(t), "k", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("put: %v", err)
	}
}

func TestContextEndsACall(t *testing.T) {
	table := openTable(t, openIn(t, t.TempDir()))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := table.Put(ctx, "k", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestQuiet: an ordinary life of the store logs nothing that a person would see.
func TestQuiet(t *testing.T) {
	var log bytes.Buffer
	s, err := Open(testContext(t), Config{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	put(t, openTable(t, s), "k", "v")
	putBlob(t, openBlobs(t, s), []byte("blob"))
	closeNow(t, s)
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

// TestFullDisk fills a small file system: writes are refused in words, reads and
// deletes go on, and once there is space again so do writes.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := openIn(t, filepath.Join(dir, "store"))
	table, blobs := openTable(t, s), openBlobs(t, s)
	small := putBlob(t, blobs, noise(1, 1<<20))
	put(t, table, "k", "v")
	big := noise(2, 20<<20)
	if err := blobs.Put(testContext(t), digestOf(big), bytes.NewReader(big)); !errors.Is(err, ErrFull) {
		t.Fatalf("a blob that does not fit: %v", err)
	}
	if n := messages(t, blobs); n != 3 {
		t.Errorf("%d messages, want the small blob's 3", n)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Put(testContext(t), "k", []byte("w")); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "free") {
		t.Errorf("put on a full disk: %v", err)
	}
	if e, err := table.Get(testContext(t), "k"); err != nil || string(e.Value) != "v" {
		t.Errorf("get on a full disk: %+v, %v", e, err)
	}
	if err := blobs.Delete(testContext(t), small); err != nil {
		t.Errorf("delete on a full disk: %v", err)
	}
	del(t, table, "k")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	put(t, table, "k", "w")
}

// TestFootprint opens a store in a process of its own and asks how much memory it
// costs, busy and idle, with something in it.
func TestFootprint(t *testing.T) {
	cmd := exec.Command(os.Args[0], t.TempDir())
	cmd.Env = append(os.Environ(), childEnv+"=idle")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var before, open, used, idle int
	var took time.Duration
	if _, err := fmt.Sscanf(string(out), "%d %d %d %d %d", &before, &open, &used, &idle, &took); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	t.Logf("resident: %d MiB before, %d MiB open, %d MiB after writing 1,000 keys and a blob of 8 MiB, %d MiB idle; opened in %s",
		before>>10, open>>10, used>>10, idle>>10, took)
	if grown := (idle - before) >> 10; grown > 25 && !raceDetector {
		t.Errorf("the store costs %d MiB", grown)
	}
}

// measureIdle is the child of TestFootprint.
func measureIdle(dir string) {
	before := residentKB()
	start := time.Now()
	s, err := Open(context.Background(), Config{Dir: dir})
	check(err)
	took := time.Since(start)
	open := residentKB()
	table, err := s.Table(context.Background(), "things")
	check(err)
	for i := range 1000 {
		_, err := table.Put(context.Background(), fmt.Sprint("k", i), make([]byte, 500))
		check(err)
	}
	blobs, err := s.Blobs(context.Background(), "code")
	check(err)
	check(blobs.Put(context.Background(), digestOf(make([]byte, 8<<20)), io.LimitReader(zeros{}, 8<<20)))
	used := residentKB()
	for range 2 { // what lies in pools is let go at the second collection
		debug.FreeOSMemory()
	}
	fmt.Println(before, open, used, residentKB(), took.Nanoseconds())
	check(s.Close(context.Background()))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func residentKB() (kb int) {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	for line := range strings.Lines(string(status)) {
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb
		}
	}
	return 0
}

// TestExternalEngineIsWarnedOf: nobody can ask a server whether it syncs, so a person is
// told what to set; with the embedded engine there is nothing to tell.
func TestExternalEngineIsWarnedOf(t *testing.T) {
	c := startCluster(t)
	for _, cfg := range []Config{{URL: c.srv.ClientURL()}, {Dir: t.TempDir()}} {
		var said bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
		s, err := Open(testContext(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		closeNow(t, s)
		if warned := strings.Contains(said.String(), "sync_interval: always"); warned != (cfg.URL != "") {
			t.Errorf("%+v: %s", cfg, said.String())
		}
	}
}
