package oci

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"hearth/internal/sandbox"
)

func TestSmoke(t *testing.T) {
	t0 := time.Now()
	d, err := New(Config{StateDir: filepath.Join(t.TempDir(), "sb"), Name: "smoke", Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("new", time.Since(t0))
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 5 {
		t0 = time.Now()
		sb, err := d.Start(t.Context(), sandbox.Spec{ID: "i0123456789ab", Args: []string{"/bin/sh", "-c", "id; ls -la / /tmp /dev /etc; cat /proc/self/status | grep -E 'Cap|Secc|NoNew'; mount; exit 7"},
			Env: []string{"PATH=/usr/bin:/bin"}, MemoryMB: 128, CPUs: 0.1, TmpMB: 512})
		if err != nil {
			t.Fatal(err)
		}
		t.Log("start", time.Since(t0))
		out, err := io.ReadAll(sb.Output())
		t.Logf("%s %v", out, err)
		<-sb.Done()
		t.Logf("%+v", sb.Exit())
		sb.Conn().Close()
		sb.Output().Close()
		t0 = time.Now()
		if err := sb.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Log("destroy", time.Since(t0))
	}
}
