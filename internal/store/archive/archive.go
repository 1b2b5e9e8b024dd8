// Package archive is the form of a backup file: a tar in gzip. First comes a head, which
// tells the format; then the parts, of which the names say what they are; last the
// manifest, with the size and the SHA-256 of each part. A file without a manifest was cut
// short. It can be looked at with tar.
package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is the number of the form that this package writes, and the newest it reads.
const Format = 1

const (
	headName     = "hearth-backup.json"
	manifestName = "manifest.json"
	// maxText bounds head and manifest, which are kept in memory.
	maxText = 256 << 20
)

var (
	// ErrDamaged: the file is cut short, was changed, or is no backup.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrNewer: a newer Hearth has written the file.
	ErrNewer = errors.New("the backup has a newer format")
)

// Head says who wrote a backup.
type Head struct {
	Format  int       `json:"format"`
	Version string    `json:"version"` // of the Hearth that wrote it
	Created time.Time `json:"created"`
}

// Part is one part of a backup.
type Part struct {
	Name    string `json:"name"`
	Records int    `json:"records"`
	Size    int64  `json:"size"` // bytes, before compression
	SHA256  string `json:"sha256"`
}

// Manifest tells all that is in a backup.
type Manifest struct {
	Head
	Parts []Part `json:"parts"`
}

// Size is that of all parts together, before compression.
func (m *Manifest) Size() (n int64) {
	for i := range m.Parts {
		n += m.Parts[i].Size
	}
	return n
}

// Writer writes one backup. It is for one goroutine.
type Writer struct {
	gz       *gzip.Writer
	tar      *tar.Writer
	manifest Manifest
}

// NewWriter begins a backup.
func NewWriter(w io.Writer, version string, created time.Time) (*Writer, error) {
	gz := gzip.NewWriter(w)
	a := &Writer{gz: gz, tar: tar.NewWriter(gz), manifest: Manifest{Head: Head{Format, version, created.UTC()}, Parts: []Part{}}}
	return a, a.text(headName, a.manifest.Head)
}

func (a *Writer) text(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := a.header(name, int64(len(text))); err != nil {
		return err
	}
	_, err = a.tar.Write(text)
	return err
}

func (a *Writer) header(name string, size int64) error {
	return a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: a.manifest.Created, Format: tar.FormatPAX})
}

// Part writes a part of exactly size bytes.
func (a *Writer) Part(name string, records int, size int64, r io.Reader) error {
	if err := a.header(name, size); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(a.tar, sum), r)
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes, and %d were announced", n, size)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	a.manifest.Parts = append(a.manifest.Parts, Part{name, records, size, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// Close writes the manifest and ends the file. Without it the file is no backup.
func (a *Writer) Close() error {
	return errors.Join(a.text(manifestName, &a.manifest), a.tar.Close(), a.gz.Close())
}

// Read reads a backup to its end and checks all of it. It gives each part to each, which
// may be nil, before it is known whether the part is whole: do not act on what a first
// reading yields. Errors wrap ErrDamaged or ErrNewer, or are those of r and each.
func Read(r io.Reader, each func(name string, part io.Reader) error) (*Manifest, error) {
	source := &remembering{r: r}
	a := reader{each: each}
	err := a.read(source)
	switch {
	case err == nil:
		return a.manifest, nil
	case source.err != nil:
		return nil, fmt.Errorf("read the backup: %w", source.err)
	case a.callback != nil:
		return nil, a.callback
	case errors.Is(err, ErrNewer):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
}

// remembering keeps the error of the reader below, so that it is not taken for damage.
type remembering struct {
	r   io.Reader
	err error
}

func (m *remembering) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		m.err = err
	}
	return n, err
}

type reader struct {
	each     func(string, io.Reader) error
	callback error // of each
	seen     []Part
	manifest *Manifest
}

func (a *reader) read(r io.Reader) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("it is no backup, or its beginning is lost: %w", err)
	}
	t := tar.NewReader(gz)
	if err := a.head(t); err != nil {
		return err
	}
	for {
		h, err := t.Next()
		switch {
		case err == io.EOF && a.manifest == nil:
			return errors.New("it has no manifest: it was cut short")
		case err == io.EOF:
			_, err = io.Copy(io.Discard, gz) // the checksum is at the end
			return err
		case err != nil:
			return err
		case a.manifest != nil:
			return fmt.Errorf("%s comes after the manifest", h.Name)
		case h.Name == manifestName:
			err = a.end(t)
		default:
			err = a.part(h.Name, t)
		}
		if err != nil {
			return err
		}
	}
}

func (a *reader) head(t *tar.Reader) error {
	h, err := t.Next()
	if err != nil {
		return err
	}
	if h.Name != headName {
		return fmt.Errorf("it is no backup of Hearth: it begins with %s", h.Name)
	}
	var head Head
	if err := decode(t, &head); err != nil {
		return err
	}
	if head.Format > Format {
		return fmt.Errorf("%w: %d, written by Hearth %s; this Hearth reads up to %d. Restore it with that version", ErrNewer, head.Format, head.Version, Format)
	}
	return nil
}

func decode(r io.Reader, v any) error {
	text, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

func (a *reader) part(name string, t *tar.Reader) error {
	sum := &counting{sum: sha256.New()}
	r := io.TeeReader(t, sum)
	if a.each != nil {
		if err := a.each(name, r); err != nil {
			a.callback = err
			return err
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.seen = append(a.seen, Part{Name: name, Size: sum.n, SHA256: hex.EncodeToString(sum.sum.Sum(nil))})
	return nil
}

type counting struct {
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.sum.Write(p)
}

// end compares what was there with what the manifest says.
func (a *reader) end(t *tar.Reader) error {
	var m Manifest
	if err := decode(t, &m); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if len(m.Parts) != len(a.seen) {
		return fmt.Errorf("it has %d parts, and its manifest tells of %d", len(a.seen), len(m.Parts))
	}
	for i, want := range m.Parts {
		if got := a.seen[i]; got.Name != want.Name || got.Size != want.Size || got.SHA256 != want.SHA256 {
			return fmt.Errorf("part %s is not what the manifest says", want.Name)
		}
	}
	a.manifest = &m
	return nil
}

// Lines writes records as lines of JSON, in parts of a few MiB each.
type Lines struct {
	a       *Writer
	name    string
	buf     bytes.Buffer
	records int
	parts   int
}

// partBytes is how large a part of records grows.
const partBytes = 4 << 20

// Lines begins parts named name/000000 and so on.
func (a *Writer) Lines(name string) *Lines { return &Lines{a: a, name: name} }

// Add writes one record.
func (l *Lines) Add(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.buf.Write(text)
	l.buf.WriteByte('\n')
	l.records++
	if l.buf.Len() < partBytes {
		return nil
	}
	return l.Flush()
}

// Flush ends the part that is being written, if there is one.
func (l *Lines) Flush() error {
	if l.records == 0 {
		return nil
	}
	name := fmt.Sprintf("%s/%06d", l.name, l.parts)
	if err := l.a.Part(name, l.records, int64(l.buf.Len()), &l.buf); err != nil {
		return err
	}
	l.parts, l.records = l.parts+1, 0
	return nil
}
