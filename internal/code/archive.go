package code

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"hearth/internal/hearth"
)

// MaxEntries bounds the entries of an archive, directories included.
const MaxEntries = 50_000

const (
	maxNameBytes   = 1024 // of a whole path
	maxPartBytes   = 255  // of one name in it, as Linux has it
	maxTargetBytes = 1024 // of a symbolic link
)

// kind is what an entry becomes on the disk.
type kind uint8

const (
	kindFile kind = iota
	kindDir
	kindLink
)

// entry is one checked entry of an archive.
type entry struct {
	file   *zip.File
	name   string // clean, relative, slashes
	kind   kind
	exec   bool
	target string // of a link
}

// archive is a zip whose directory has been checked. The contents of its files have
// not: walk does that.
type archive struct {
	entries []entry
	files   int
}

func refuse(format string, args ...any) *hearth.Error {
	return hearth.Errorf(hearth.ErrInvalidZip, format, args...)
}

// errCorrupt begins with Lambda's words for it.
func errCorrupt(what string, err error) *hearth.Error {
	return refuse("Could not unzip uploaded file: %s. Make the archive anew and upload it again", what).WithCause(err)
}

func errZipTooLarge(size int64) *hearth.Error {
	return hearth.Errorf(hearth.ErrTooLarge,
		"the zip archive has %d bytes; at most %d are allowed. Leave out what the function does not need at run time (tests, caches, development dependencies)",
		size, hearth.MaxZipBytes)
}

// errUnzipped begins with Lambda's words for it.
func errUnzipped(at string) *hearth.Error {
	return hearth.Errorf(hearth.ErrInvalid,
		"Unzipped size must be smaller than %d bytes; the limit was passed at %q. Leave out what the function does not need at run time",
		hearth.MaxUnzippedBytes, at)
}

// openArchive checks everything about an archive but the contents of its files.
func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	if size > hearth.MaxZipBytes {
		return nil, errZipTooLarge(size)
	}
	if size == 0 {
		return nil, refuse("Uploaded file must be a non-empty zip. Put the function's code into it")
	}
	if err := boundDirectory(r, size); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are checked below
		return nil, errCorrupt("it is not a whole zip archive", err)
	}
	if len(z.File) > MaxEntries {
		return nil, errTooMany()
	}
	a := &archive{entries: make([]entry, 0, len(z.File))}
	for _, f := range z.File {
		e, err := checkEntry(f)
		if err != nil {
			return nil, err
		}
		if e.name == "." { // "./", the folder itself
			continue
		}
		if e.kind == kindFile {
			a.files++
		}
		a.entries = append(a.entries, e)
	}
	if a.files == 0 {
		return nil, refuse("Uploaded file must be a non-empty zip; this one holds no file. Put the function's code into it")
	}
	if err := checkOverlap(a.entries, size); err != nil {
		return nil, err
	}
	return a, checkTree(a.entries)
}

func errTooMany() *hearth.Error {
	return refuse("the zip archive has more than %d entries. Leave out what the function does not need, or bundle it", MaxEntries)
}

// boundDirectory refuses an archive whose directory would take too much memory to
// read. The count in the archive's trailer may lie; no entry can do without its
// signature, though. Signatures in nested archives count as well, hence the latitude.
func boundDirectory(r io.ReaderAt, size int64) error {
	const most = 4 * MaxEntries
	signature := []byte("PK\x01\x02")
	keep := len(signature) - 1
	buffer := make([]byte, 64<<10)
	count, filled := 0, 0
	source := io.NewSectionReader(r, 0, size)
	for {
		n, err := source.Read(buffer[filled:])
		count += bytes.Count(buffer[:filled+n], signature)
		if count > most {
			return errTooMany()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read zip archive: %w", err)
		}
		tail := min(keep, filled+n)
		copy(buffer, buffer[filled+n-tail:filled+n])
		filled = tail
	}
}

// checkEntry checks what one entry says about itself.
func checkEntry(f *zip.File) (entry, error) {
	name, err := cleanName(f)
	if err != nil {
		return entry{}, err
	}
	e := entry{file: f, name: name}
	if f.Flags&(1|1<<6|1<<13) != 0 {
		return e, refuse("%q in the zip archive is encrypted. Make the archive without a password", name)
	}
	if f.Method != zip.Store && f.Method != zip.Deflate {
		return e, refuse("%q in the zip archive is compressed by method %d; only deflate and store are understood. Make it with zip or hearth deploy", name, f.Method)
	}
	mode := f.Mode()
	switch {
	case mode&fs.ModeSymlink != 0 && !strings.HasSuffix(f.Name, "/"):
		e.kind = kindLink
		e.target, err = readTarget(f, name)
		return e, err
	case mode.IsDir() || strings.HasSuffix(f.Name, "/"):
		if f.UncompressedSize64 != 0 || f.CompressedSize64 > 2 { // deflate says nothing in two bytes
			return e, refuse("%q in the zip archive is a directory with contents. Make the archive anew", name)
		}
		e.kind = kindDir
		return e, nil
	case mode.Type() != 0:
		return e, refuse("%q in the zip archive is a device, pipe or socket; only files, directories and symbolic links are allowed. Leave it out", name)
	}
	if name == "." {
		return e, refuse("%q in the zip archive is no file name", f.Name)
	}
	e.exec = mode&0o111 != 0
	return e, nil
}

func readTarget(f *zip.File, name string) (string, error) {
	r, err := f.Open()
	if err != nil {
		return "", errCorrupt(fmt.Sprintf("%q is damaged", name), err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxTargetBytes+1))
	if err != nil {
		return "", errCorrupt(fmt.Sprintf("%q is damaged", name), err)
	}
	target := string(text)
	switch {
	case len(target) > maxTargetBytes:
		return "", refuse("the symbolic link %q in the zip archive has a target longer than %d bytes", name, maxTargetBytes)
	case target == "" || strings.ContainsAny(target, "\x00\\"):
		return "", refuse("the symbolic link %q in the zip archive has the impossible target %q", name, target)
	case path.IsAbs(target):
		return "", errLinkOut(name, target)
	}
	return target, nil
}

func errLinkOut(name, target string) *hearth.Error {
	return refuse("the symbolic link %q in the zip archive points outside of it, to %q. Put a copy of the file in its place", name, target)
}

// checkOverlap refuses entries that share bytes: the way in which a small archive
// unpacks to any size.
func checkOverlap(entries []entry, size int64) error {
	type span struct {
		from, to int64
		name     string
	}
	spans := make([]span, 0, len(entries))
	for _, e := range entries {
		from, err := e.file.DataOffset()
		if err != nil || from < 0 || from > size || e.file.CompressedSize64 > uint64(size-from) {
			return errCorrupt(fmt.Sprintf("%q lies outside the archive", e.name), err)
		}
		if n := int64(e.file.CompressedSize64); n > 0 {
			spans = append(spans, span{from, from + n, e.name})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.from - b.from) })
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return refuse("%q and %q overlap in the zip archive. Make the archive anew with an ordinary tool", spans[i-1].name, spans[i].name)
		}
	}
	return nil
}

// walk inflates every file in the archive, in order, into what create returns for it,
// and gives the number of bytes that came out. Sizes in headers are not believed.
// create is called for directories and links too, and may return nil for them.
func (a *archive) walk(create func(*entry) (io.WriteCloser, error)) (int64, error) {
	var total int64
	for i := range a.entries {
		e := &a.entries[i]
		w, err := create(e)
		if err != nil {
			return total, err
		}
		if e.kind != kindFile {
			total += int64(len(e.target))
			continue
		}
		n, err := inflate(e, w, hearth.MaxUnzippedBytes-total)
		total += n
		if closeErr := w.Close(); err == nil && closeErr != nil {
			err = closeErr
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func inflate(e *entry, w io.Writer, left int64) (int64, error) {
	r, err := e.file.Open()
	if err != nil {
		return 0, errCorrupt(fmt.Sprintf("%q is damaged", e.name), err)
	}
	defer r.Close()
	sink := &sink{w: w}
	n, err := io.Copy(sink, io.LimitReader(r, left+1))
	switch {
	case n > left:
		return n, errUnzipped(e.name)
	case sink.err != nil:
		return n, sink.err
	case err != nil:
		return n, errCorrupt(fmt.Sprintf("%q is damaged", e.name), err)
	}
	return n, nil
}

// sink tells errors of the writing side from those of the archive.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// modified is an entry's time, or the beginning of time as zip knows it.
func (e *entry) modified() time.Time {
	if t := e.file.Modified; t.Year() >= 1980 && t.Year() < 2107 {
		return t
	}
	return zipEpoch()
}

// zipEpoch is the earliest time that a zip archive can hold.
func zipEpoch() time.Time { return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) }
