package cli

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/store/archive"
)

func (p *testPlatform) handleBackups(mux *http.ServeMux) {
	mux.HandleFunc("GET /hearth/v1/backup", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(p.backup); err != nil {
			panic(err)
		}
	})
	mux.HandleFunc("POST /hearth/v1/restore", p.restore)
}

func (p *testPlatform) restore(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	if q.Get("offset") == "0" {
		p.uploaded = nil
	}
	piece, err := io.ReadAll(r.Body)
	if err != nil || q.Get("offset") != strconv.Itoa(len(p.uploaded)) || len(p.uploaded) > 0 && q.Get("upload") != "u1" {
		refuse(w, 409, hearth.ErrConflict, "not the next piece")
		return
	}
	p.uploaded = append(p.uploaded, piece...)
	switch {
	case q.Get("more") == "1":
		answerJSON(w, 200, map[string]any{"upload": "u1", "received": len(p.uploaded)})
	case q.Get("force") != "1":
		refuse(w, 409, hearth.ErrConflict, "The platform is not empty: it has 2 functions and 0 queued events or dead letters. Nothing was restored.")
	default:
		answerJSON(w, 200, hearth.Restored{Version: "v1", Created: noon, Functions: 3, Messages: 4})
	}
}

// testBackup is a whole backup of about n bytes that do not compress.
func testBackup(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, "v1", noon)
	if err == nil {
		err = errors.Join(w.Part("blobs/x", 1, n, io.LimitReader(rand.NewChaCha8([32]byte{1}), n)), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBackupToFile(t *testing.T) {
	p := newTestPlatform(t)
	p.backup = testBackup(t, 1000)
	dir := t.TempDir()
	name := filepath.Join(dir, "b.tar.gz")
	same := func(want []byte) {
		t.Helper()
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
	r := run{endpoint: p.URL}
	if stdout, stderr, exit := r.do(t, "backup", name); exit != 0 || !strings.Contains(stdout, "written by Hearth v1") {
		t.Errorf("%q %q %d", stdout, stderr, exit)
	}
	same(p.backup)
	first := p.backup
	p.backup = testBackup(t, 2000)
	if _, stderr, exit := r.do(t, "backup", name); exit != ExitUsage || !strings.Contains(stderr, "exists already") {
		t.Errorf("%q %d", stderr, exit)
	}
	same(first)
	whole := p.backup
	p.backup = whole[:len(whole)-30]
	if _, stderr, exit := r.do(t, "backup", "--force", name); exit != ExitPlatform || !strings.Contains(stderr, "broke off") {
		t.Errorf("%q %d", stderr, exit)
	}
	same(first)
	p.backup = whole
	if _, stderr, exit := r.do(t, "backup", "--force", name); exit != 0 {
		t.Errorf("%q %d", stderr, exit)
	}
	same(whole)
	if stdout, stderr, exit := r.do(t, "backup", "-"); exit != 0 || stdout != string(whole) || stderr != "" {
		t.Errorf("to the standard output: %d bytes, %q %d", len(stdout), stderr, exit)
	}
}

func TestRestoreFromFile(t *testing.T) {
	p := newTestPlatform(t)
	content := testBackup(t, 2*pieceBytes+5)
	dir := t.TempDir()
	name := filepath.Join(dir, "b.tar.gz")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r := run{endpoint: p.URL}
	if _, stderr, exit := r.do(t, "restore", name); exit != ExitUsage || !strings.Contains(stderr, "not empty") {
		t.Errorf("%q %d", stderr, exit)
	}
	stdout, stderr, exit := r.do(t, "restore", "--force", name)
	if exit != 0 || stdout != "restored the backup of 2026-01-31T12:00:00Z: 3 functions, 4 queued events and dead letters\n" {
		t.Errorf("%q %q %d", stdout, stderr, exit)
	}
	if !bytes.Equal(p.uploaded, content) {
		t.Errorf("%d bytes arrived of %d", len(p.uploaded), len(content))
	}
	r.stdin = bytes.NewReader(content)
	if _, stderr, exit := r.do(t, "restore", "--force", "-"); exit != 0 || !bytes.Equal(p.uploaded, content) {
		t.Errorf("from the standard input: %q %d", stderr, exit)
	}
	r.stdin = nil
	p.requests = nil
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, content[:len(content)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{bad: "damaged", filepath.Join(dir, "none"): "there is no file"} {
		if _, stderr, exit := r.do(t, "restore", "--force", file); exit != ExitUsage || !strings.Contains(stderr, want) || len(p.requests) > 0 {
			t.Errorf("%q %d, asked %v", stderr, exit, p.requests)
		}
	}
}
