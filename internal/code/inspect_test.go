package code

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearth/internal/hearth"
)

func TestInspectTellsWhatIsInside(t *testing.T) {
	z := zipOf(t,
		member{name: "index.js", text: "exports.handler = 1", method: zip.Deflate},
		member{name: "lib/", mode: fs.ModeDir | 0o755},
		member{name: "lib/größe.txt", text: strings.Repeat("x", 1000), method: zip.Deflate},
		member{name: "./bin/tool", text: "#!/bin/sh", mode: 0o4755},
		member{name: "bin/alias", text: "../bin/./tool", mode: fs.ModeSymlink | 0o777},
	)
	info, err := Inspect(z)
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Digest: digestOf(z), Size: int64(len(z)), Files: 3, UnzippedBytes: 19 + 1000 + 9 + 13, Base64SHA256: info.Base64SHA256}
	if info != want {
		t.Errorf("got %+v, want %+v", info, want)
	}
	if len(info.Base64SHA256) != 44 {
		t.Errorf("base64 digest %q", info.Base64SHA256)
	}
}

// patch changes bytes of an archive: every local and central header of the entry.
func patch(z []byte, change func(local, central []byte)) []byte {
	z = bytes.Clone(z)
	l, c := bytes.Index(z, []byte("PK\x03\x04")), bytes.Index(z, []byte("PK\x01\x02"))
	change(z[l:], z[c:])
	return z
}

func TestInspectRefuses(t *testing.T) {
	long := strings.Repeat("a", 256)
	deep := strings.Repeat("ab/", 342) + "x"
	link := fs.ModeSymlink | 0o777
	one := zipOf(t, member{name: "a", text: "hello hello hello hello", method: zip.Deflate})
	for _, test := range []struct {
		name  string
		zip   []byte
		words []string
	}{
		{"empty body", nil, []string{"non-empty zip"}},
		{"no entries", zipOf(t), []string{"non-empty zip"}},
		{"directories only", zipOf(t, member{name: "a/", mode: fs.ModeDir | 0o755}), []string{"holds no file"}},
		{"not a zip", []byte("#!/bin/sh\necho hello\n"), []string{"Could not unzip uploaded file"}},
		{"cut short", one[:len(one)-30], []string{"Could not unzip uploaded file"}},
		{"climbs", zipOf(t, member{name: "../evil"}), []string{`"../evil"`, "leads out"}},
		{"climbs inside", zipOf(t, member{name: "a/../../evil"}), []string{"leads out"}},
		{"dot dot alone", zipOf(t, member{name: "a/.."}), []string{"leads out"}},
		{"absolute", zipOf(t, member{name: "/etc/passwd"}), []string{"absolute"}},
		{"backslash", zipOf(t, member{name: `lib\x.js`}), []string{"backslash", "hearth deploy"}},
		{"drive", zipOf(t, member{name: "C:evil"}), []string{"absolute"}},
		{"nul", zipOf(t, member{name: "a\x00b"}), []string{"NUL"}},
		{"not utf-8", zipOf(t, member{name: "gr\x94\xe1e"}), []string{"not UTF-8"}},
		{"no name", zipOf(t, member{name: ""}), []string{"no name"}},
		{"long part", zipOf(t, member{name: long}), []string{"longer than 255"}},
		{"long path", zipOf(t, member{name: deep}), []string{"longer than 1024"}},
		{"the root as a file", zipOf(t, member{name: "."}), []string{"no file name"}},
		{"twice", zipOf(t, member{name: "a"}, member{name: "./a"}), []string{`"a"`, "twice"}},
		{"file and directory", zipOf(t, member{name: "a"}, member{name: "a/", mode: fs.ModeDir}), []string{"twice"}},
		{"below a file", zipOf(t, member{name: "a"}, member{name: "a/b"}), []string{`"a/b"`, "not a directory"}},
		{"below a later file", zipOf(t, member{name: "a/b/c"}, member{name: "a"}), []string{"not a directory"}},
		{"through a link", zipOf(t, member{name: "l", text: "d", mode: link}, member{name: "l/x"}), []string{`"l/x"`, "not a directory"}},
		{"link out", zipOf(t, member{name: "a"}, member{name: "d/l", text: "../../x", mode: link}), []string{`"d/l"`, "outside"}},
		{"link to the parent", zipOf(t, member{name: "a"}, member{name: "l", text: "..", mode: link}), []string{"outside"}},
		{"absolute link", zipOf(t, member{name: "a"}, member{name: "l", text: "/etc/passwd", mode: link}), []string{"outside", "/etc/passwd"}},
		{"link out by a detour", zipOf(t, member{name: "d/e/f"},
			member{name: "d/e/up", text: "../..", mode: link}, member{name: "l", text: "d/e/up/../x", mode: link}), []string{`"l"`, "outside"}},
		{"links in a circle", zipOf(t, member{name: "x"},
			member{name: "a", text: "b", mode: link}, member{name: "b", text: "a", mode: link}), []string{"circle"}},
		{"link without a target", zipOf(t, member{name: "a"}, member{name: "l", mode: link}), []string{"impossible"}},
		{"link with a huge target", zipOf(t, member{name: "a"}, member{name: "l", text: strings.Repeat("x", 1025), mode: link}), []string{"longer than 1024"}},
		{"device", zipOf(t, member{name: "null", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}), []string{`"null"`, "device"}},
		{"pipe", zipOf(t, member{name: "p", mode: fs.ModeNamedPipe | 0o666}), []string{"pipe"}},
		{"encrypted", patch(one, func(l, c []byte) { l[6] |= 1; c[8] |= 1 }), []string{"encrypted"}},
		{"strange method", patch(one, func(l, c []byte) { l[8] = 14; c[10] = 14 }), []string{"method 14"}},
		{"wrong checksum", patch(one, func(_, c []byte) { c[16] ^= 1 }), []string{`"a" is damaged`}},
		{"damaged data", patch(one, func(l, _ []byte) { l[31] ^= 0xff; l[32] ^= 0xff }), []string{`"a" is damaged`}},
		{"lies that it is shorter", patch(one, func(_, c []byte) { binary.LittleEndian.PutUint32(c[24:], 3) }), []string{`"a" is damaged`}},
		{"begins beyond the end", patch(one, func(_, c []byte) { binary.LittleEndian.PutUint32(c[42:], 1<<30) }), []string{"outside the archive"}},
		{"ends beyond the end", patch(one, func(_, c []byte) { binary.LittleEndian.PutUint32(c[20:], 1<<30) }), []string{"outside the archive"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Inspect(test.zip)
			wantRefusal(t, err, hearth.ErrInvalidZip, test.words...)
			mustNotUnpack(t, test.zip)
		})
	}
}

// mustNotUnpack gives an archive to a cache, past Inspect, and looks for traces.
func mustNotUnpack(t *testing.T, z []byte) {
	t.Helper()
	dir := t.TempDir()
	c, err := NewCache(filepath.Join(dir, "cache"), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var refusal *hearth.Error
	if err := c.Put(digestOf(z), z); !errors.As(err, &refusal) {
		t.Errorf("Put: %v, want a refusal", err)
	}
	c.Close()
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	inside, _ := filepath.Glob(filepath.Join(dir, "cache", "*"))
	if len(names) != 1 || len(inside) != 1 { // the file "boot"
		t.Errorf("left behind: %q and %q", names, inside)
	}
}

// manyEntries makes the smallest archive with n entries, quickly.
func manyEntries(n int, trailer uint16) []byte {
	var b bytes.Buffer
	local := make([]byte, 30+8)
	copy(local, "PK\x03\x04")
	local[26] = 8
	for i := range n {
		copy(local[30:], fmt.Sprintf("%08d", i))
		b.Write(local)
	}
	directory := b.Len()
	central := make([]byte, 46+8)
	copy(central, "PK\x01\x02")
	central[28] = 8
	for i := range n {
		binary.LittleEndian.PutUint32(central[42:], uint32(i*len(local)))
		copy(central[46:], fmt.Sprintf("%08d", i))
		b.Write(central)
	}
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[8:], trailer)
	binary.LittleEndian.PutUint16(end[10:], trailer)
	binary.LittleEndian.PutUint32(end[12:], uint32(b.Len()-directory))
	binary.LittleEndian.PutUint32(end[16:], uint32(directory))
	b.Write(end)
	return b.Bytes()
}

func TestInspectBoundsEntries(t *testing.T) {
	if info, err := Inspect(manyEntries(MaxEntries, MaxEntries)); err != nil || info.Files != MaxEntries {
		t.Errorf("%d entries: %+v, %v", MaxEntries, info, err)
	}
	over := MaxEntries + 1
	_, err := Inspect(manyEntries(over, uint16(over)))
	wantRefusal(t, err, hearth.ErrInvalidZip, "more than 50000 entries")
	// The trailer counts modulo 65,536: half a million entries that look like a few.
	absurd := 8 << 16
	z := manyEntries(absurd, 0)
	err = boundDirectory(bytes.NewReader(z), int64(len(z)))
	wantRefusal(t, err, hearth.ErrInvalidZip, "more than 50000 entries")
}

func TestInspectBoundsSizes(t *testing.T) {
	_, err := Inspect(make([]byte, hearth.MaxZipBytes+1))
	wantRefusal(t, err, hearth.ErrTooLarge, "52428800")

	zeros := strings.Repeat("\x00", 64<<20)
	var bomb []member
	for i := range 4 {
		bomb = append(bomb, member{name: fmt.Sprintf("zeros%d", i), text: zeros, method: zip.Deflate})
	}
	z := zipOf(t, bomb...)
	_, err = Inspect(z)
	wantRefusal(t, err, hearth.ErrInvalid, "Unzipped size must be smaller than 262144000 bytes", `"zeros3"`)
	if len(z) > 1<<20 {
		t.Errorf("the bomb has %d bytes; it was meant to be small", len(z))
	}
	if _, err := Inspect(zipOf(t, bomb[:3]...)); err != nil {
		t.Errorf("192 MiB: %v", err)
	}
}

// Two directory entries that name the same bytes: unpacked size without limit.
func TestInspectRefusesOverlap(t *testing.T) {
	z := zipOf(t, member{name: "one", text: "0123456789"}, member{name: "two", text: "0123456789"})
	second := bytes.LastIndex(z, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(z[second+42:], 0)
	_, err := Inspect(z)
	wantRefusal(t, err, hearth.ErrInvalidZip, "overlap", "one", "two")
}

func TestInspectTangledLinksEndSoon(t *testing.T) {
	// Every link leads through the one before, 500 folders up and down each time.
	members := []member{{name: "file"}}
	for i := range 20_000 {
		target := strings.Repeat("d/../", 200) + fmt.Sprintf("l%d", i-1)
		members = append(members, member{name: fmt.Sprintf("l%d", i), text: target, mode: fs.ModeSymlink | 0o777})
	}
	_, err := Inspect(zipOf(t, members...))
	wantRefusal(t, err, hearth.ErrInvalidZip, "too many others")
}

func FuzzUnpack(f *testing.F) {
	link := fs.ModeSymlink | 0o777
	f.Add(zipOf(f, member{name: "a/b", text: "x", method: zip.Deflate}, member{name: "l", text: "a/b", mode: link}))
	f.Add(zipOf(f, member{name: "../canary", text: "x"}))
	f.Add(zipOf(f, member{name: "l", text: "..", mode: link}, member{name: "l/canary", text: "x"}))
	f.Add(zipOf(f, member{name: "d/", mode: fs.ModeDir | 0o700}, member{name: "d/e", mode: 0o111, text: "y"}))
	f.Add(manyEntries(3, 3))
	f.Fuzz(func(t *testing.T, z []byte) {
		_, inspectErr := Inspect(z)
		if inspectErr != nil && hearth.CodeOf(inspectErr) == hearth.ErrInternal {
			t.Errorf("a refusal must be one for people: %v", inspectErr)
		}
		a, err := openArchive(bytes.NewReader(z), int64(len(z)))
		if err != nil {
			return
		}
		outer := t.TempDir()
		canary, inner := filepath.Join(outer, "canary"), filepath.Join(outer, "inner")
		if err := os.WriteFile(canary, []byte("tweet"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(inner, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err = a.unpack(context.Background(), inner)
		if inspectErr == nil && err != nil {
			t.Errorf("inspected, but not unpacked: %v", err)
		}
		checkCanary(t, outer, canary)
		checkContained(t, inner)
	})
}

func checkCanary(t *testing.T, outer, canary string) {
	if text, err := os.ReadFile(canary); err != nil || string(text) != "tweet" {
		t.Errorf("the canary says %q, %v", text, err)
	}
	if names, _ := filepath.Glob(filepath.Join(outer, "*")); len(names) != 2 {
		t.Errorf("written outside: %q", names)
	}
}

// checkContained follows every link as the kernel does.
func checkContained(t *testing.T, inner string) {
	for name, what := range tree(t, inner) {
		if !strings.HasPrefix(what, "-> ") {
			continue
		}
		real, err := filepath.EvalSymlinks(filepath.Join(inner, name))
		if err == nil && real != inner && !strings.HasPrefix(real, inner+"/") {
			t.Errorf("%s leads outside, to %s", name, real)
		}
	}
}
