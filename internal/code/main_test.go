package code

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"hearth/internal/hearth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// member is an entry of an archive made for a test.
type member struct {
	name   string
	text   string
	mode   fs.FileMode
	method uint16
	change func(*zip.FileHeader)
}

func zipOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: m.method}
		if m.mode == 0 {
			m.mode = 0o644
		}
		h.SetMode(m.mode)
		if m.change != nil {
			m.change(h)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// wantRefusal checks that an error is one for people and says these words.
func wantRefusal(t *testing.T, err error, code hearth.ErrorCode, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted; want a refusal that says %q", words)
	}
	if got := hearth.CodeOf(err); got != code {
		t.Errorf("code %q, want %q (%v)", got, code, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

// tree describes a directory: a line for each thing in it.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			all[rel] = info.Mode().String()
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			all[rel] = "-> " + target
		default:
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			all[rel] = info.Mode().String() + " " + string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
