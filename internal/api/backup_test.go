package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"hearth/internal/hearth"
)

// memBackups keeps what was uploaded.
type memBackups struct {
	content io.Reader
	upload  []byte
}

func (m *memBackups) Backup() (io.ReadCloser, error) {
	if m.content == nil {
		return nil, hearth.Errorf(hearth.ErrConflict, "A backup or a restore is under way.")
	}
	return io.NopCloser(m.content), nil
}

func (m *memBackups) Receive(id string, offset int64, piece []byte) (string, int64, error) {
	if offset != int64(len(m.upload)) || offset > 0 && id != "u1" {
		return "", 0, hearth.Errorf(hearth.ErrConflict, "The upload has %d bytes, and this piece begins at %d.", len(m.upload), offset)
	}
	m.upload = append(m.upload, piece...)
	return "u1", int64(len(m.upload)), nil
}

func (m *memBackups) Restore(id string, force bool) (hearth.Restored, error) {
	if !force {
		return hearth.Restored{}, hearth.Errorf(hearth.ErrConflict, "The platform is not empty.")
	}
	return hearth.Restored{Version: string(m.upload), Created: time.Unix(1e9, 0).UTC(), Functions: 1, Messages: 2}, nil
}

func (w *world) send(t *testing.T, method, target string, body []byte) (int, http.Header, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.addr+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text), err
}

func TestBackupRoutes(t *testing.T) {
	w := start(t, Config{})
	if status, _, text, _ := w.send(t, "GET", "/hearth/v1/backup", nil); status != http.StatusNotImplemented {
		t.Errorf("without backups: %d %s", status, text)
	}
	m := &memBackups{}
	w.deps.Backups = m
	if status, _, text, _ := w.send(t, "GET", "/hearth/v1/backup", nil); status != http.StatusConflict {
		t.Errorf("busy: %d %s", status, text)
	}
	large := strings.Repeat("backup ", 1<<20)
	m.content = strings.NewReader(large)
	status, header, text, err := w.send(t, "GET", "/hearth/v1/backup", nil)
	if status != 200 || err != nil || text != large || header.Get("Content-Disposition") != `attachment; filename="hearth-backup-20261121T100000Z.tar.gz"` {
		t.Errorf("%d %v, %d bytes, %v", status, header, len(text), err)
	}
	m.content = io.MultiReader(strings.NewReader(large), iotest.ErrReader(errors.New("the disk is gone")))
	if _, _, text, err := w.send(t, "GET", "/hearth/v1/backup", nil); err == nil {
		t.Errorf("a backup that failed looks whole: %d bytes", len(text))
	}
}

func TestRestoreRoutes(t *testing.T) {
	w := start(t, Config{})
	m := &memBackups{}
	w.deps.Backups = m
	first := strings.Repeat("x", 2*maxOtherBody) // more than other resources take
	for _, step := range []struct {
		target, body string
		status       int
		want         string
	}{
		{"?offset=0&more=1&force=1", first, 200, `{"received":2097152,"upload":"u1"}`},
		{"?offset=7&upload=u1", "y", 409, `this piece begins at 7`},
		{"?offset=2097152&upload=u1&force=yes", "y", 400, `force is \"yes\"`},
		{"?offset=2097152&upload=u1", "y", 409, `not empty`},
		{"?offset=2097153&upload=u1&force=1", "", 200, `"created":"2001-09-09T01:46:40Z","functions":1,"messages":2}`},
	} {
		if status, _, text, _ := w.send(t, "POST", restorePath+step.target, []byte(step.body)); status != step.status || !strings.Contains(text, step.want) {
			t.Errorf("%s: %d %.200s", step.target, status, text)
		}
	}
	if string(m.upload) != first+"y" {
		t.Errorf("%d bytes arrived", len(m.upload))
	}
}
