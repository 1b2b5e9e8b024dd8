package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func sample(t testing.TB) []byte {
	var b bytes.Buffer
	w, err := NewWriter(&b, "v1.2.3", time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	l := w.Lines("tables/x")
	for i := range 3 {
		if err := l.Add(map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Flush(), l.Flush(), w.Part("blobs/y", 1, 5, strings.NewReader("hello")), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	got := map[string]string{}
	m, err := Read(bytes.NewReader(sample(t)), func(name string, r io.Reader) error {
		text, err := io.ReadAll(r)
		got[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got["blobs/y"] != "hello" || got["tables/x/000000"] != "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n" || len(m.Parts) != 2 || m.Size() != 29 || m.Parts[0].Records != 3 {
		t.Errorf("%+v %v", m, got)
	}
}

func TestNewerFormat(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	a := tar.NewWriter(z)
	head := `{"format":2,"version":"v9"}`
	if err := a.WriteHeader(&tar.Header{Name: headName, Size: int64(len(head)), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(a, head)
	if err := errors.Join(a.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(&b, nil); !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "v9") {
		t.Error(err)
	}
}

// A reader that fails is not damage, and neither is a caller that wants no more.
func TestOtherErrors(t *testing.T) {
	mine := errors.New("mine")
	if _, err := Read(io.MultiReader(bytes.NewReader(sample(t)[:50]), iotest.ErrReader(mine)), nil); !errors.Is(err, mine) || errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	if _, err := Read(bytes.NewReader(sample(t)), func(string, io.Reader) error { return mine }); !errors.Is(err, mine) || errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func TestWrongSize(t *testing.T) {
	w, err := NewWriter(io.Discard, "v1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Part("blobs/y", 1, 6, strings.NewReader("hello")); err == nil {
		t.Error("a part that is shorter than announced was taken")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(bytes.NewReader(data), nil)
		if (m == nil) == (err == nil) {
			t.Errorf("%v %v", m, err)
		}
	})
}
