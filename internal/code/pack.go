package code

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"hearth/internal/hearth"
)

// Summary tells what Pack put into an archive.
type Summary struct {
	Files    int
	Bytes    int64   // of the files
	ZipBytes int64   // of the archive
	Excluded int     // files and folders left out by a pattern, not counting what is in such folders
	Largest  []Sized // the largest files, largest first
}

// Sized is a file and its size in bytes.
type Sized struct {
	Name string
	Size int64
}

const largestShown = 5

// DefaultExclude is what Pack leaves out of a folder of that name before it looks at
// the given patterns: what belongs to tools, Python's bytecode (it names times and
// paths of this machine, and the archive has neither), and an archive of the folder.
func DefaultExclude(folder string) []string {
	return []string{".git", ".hearth", ".DS_Store", "__pycache__/", "/" + escape(folder) + ".zip"}
}

// escape makes a name into a pattern that matches it alone.
func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

// Pack makes a zip archive of a folder. The same tree gives the same bytes: names are
// sorted, times fixed, and of modes only "executable" is kept. Symbolic links that stay
// inside are kept as links. exclude holds patterns as in .gitignore, after those of
// DefaultExclude; "!" takes back an earlier one. Errors are *hearth.Error for people, or
// those of the file system.
func Pack(dir string, exclude []string) ([]byte, Summary, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, Summary{}, err
	}
	all, err := parseRules(append(DefaultExclude(filepath.Base(absolute)), exclude...))
	if err != nil {
		return nil, Summary{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, Summary{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	defer root.Close()
	p := packer{root: root, rules: all}
	if err := fs.WalkDir(root.FS(), ".", p.visit); err != nil {
		return nil, Summary{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	if p.summary.Files == 0 {
		if n := p.summary.Excluded; n > 0 {
			return nil, p.summary, refuse("%s holds no file to deploy: all that it holds (%d at its top or below) is left out. "+
				"Look at the exclude patterns, or name the folder that holds the function's code", dir, n)
		}
		return nil, p.summary, refuse("%s holds no file to deploy. Name the folder that holds the function's code", dir)
	}
	p.rank()
	if p.summary.Bytes > hearth.MaxUnzippedBytes {
		return nil, p.summary, hearth.Errorf(hearth.ErrInvalid, "Unzipped size must be smaller than %d bytes; %s holds %d. %s",
			hearth.MaxUnzippedBytes, dir, p.summary.Bytes, p.largestWords())
	}
	return p.write(dir)
}

type packer struct {
	root    *os.Root
	rules   rules
	found   []packed
	summary Summary
}

type packed struct {
	name   string
	size   int64
	exec   bool
	target string // of a link
	dir    bool   // an empty folder; others follow from the files
}

// visit is called for everything in the folder.
func (p *packer) visit(name string, d fs.DirEntry, err error) error {
	if err != nil || name == "." {
		return err
	}
	if p.rules.exclude(name, d.IsDir()) {
		p.summary.Excluded++
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if len(p.found) >= MaxEntries {
		return errTooMany()
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		p.found = append(p.found, packed{name: name + "/", dir: true})
	case d.Type() == fs.ModeSymlink:
		target, err := p.root.Readlink(name)
		if err != nil {
			return err
		}
		if path.IsAbs(target) {
			return errPackLink(name, target)
		}
		p.found = append(p.found, packed{name: name, target: target})
	case info.Mode().IsRegular():
		p.found = append(p.found, packed{name: name, size: info.Size(), exec: info.Mode()&0o111 != 0})
		p.summary.Files++
		p.summary.Bytes += info.Size()
	default:
		return refuse("%q is a device, pipe or socket. Exclude it", name)
	}
	return nil
}

func errPackLink(name, target string) *hearth.Error {
	return refuse("the symbolic link %q points outside of the folder, to %q. Put a copy of the file in its place, or exclude it", name, target)
}

// rank finds the largest files.
func (p *packer) rank() {
	files := make([]Sized, 0, p.summary.Files)
	for _, f := range p.found {
		if !f.dir && f.target == "" {
			files = append(files, Sized{f.name, f.size})
		}
	}
	slices.SortStableFunc(files, func(a, b Sized) int { return int(b.Size - a.Size) })
	p.summary.Largest = files[:min(largestShown, len(files))]
}

func (p *packer) largestWords() string {
	var b strings.Builder
	b.WriteString("Leave out what the function does not need at run time (exclude patterns). The largest files:")
	for _, f := range p.summary.Largest {
		fmt.Fprintf(&b, "\n%12d  %s", f.Size, f.Name)
	}
	return b.String()
}

// write makes the archive and checks it as the platform will.
func (p *packer) write(dir string) ([]byte, Summary, error) {
	slices.SortFunc(p.found, func(a, b packed) int { return strings.Compare(a.name, b.name) })
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := range p.found {
		if err := p.add(z, &p.found[i]); err != nil {
			return nil, p.summary, fmt.Errorf("pack %s: %w", dir, err)
		}
		if out.Len() > hearth.MaxZipBytes {
			break
		}
	}
	if err := z.Close(); err != nil {
		return nil, p.summary, fmt.Errorf("pack %s: %w", dir, err)
	}
	p.summary.ZipBytes = int64(out.Len())
	if out.Len() > hearth.MaxZipBytes {
		return nil, p.summary, hearth.Errorf(hearth.ErrTooLarge, "the zip archive of %s is larger than %d bytes. %s",
			dir, hearth.MaxZipBytes, p.largestWords())
	}
	if _, err := openArchive(bytes.NewReader(out.Bytes()), int64(out.Len())); err != nil {
		return nil, p.summary, err
	}
	return out.Bytes(), p.summary, nil
}

func (p *packer) add(z *zip.Writer, f *packed) error {
	header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: zipEpoch()}
	switch {
	case f.dir:
		header.Method = zip.Store
		header.SetMode(fs.ModeDir | 0o755)
	case f.target != "":
		header.Method = zip.Store
		header.SetMode(fs.ModeSymlink | 0o777)
	case f.exec:
		header.SetMode(0o755)
	default:
		header.SetMode(0o644)
	}
	w, err := z.CreateHeader(header)
	if err != nil || f.dir {
		return err
	}
	if f.target != "" {
		_, err := io.WriteString(w, f.target)
		return err
	}
	source, err := p.root.Open(f.name)
	if err != nil {
		return err
	}
	defer source.Close()
	n, err := io.Copy(w, io.LimitReader(source, f.size+1))
	if err == nil && n != f.size {
		return refuse("%q changed while it was packed. Try again", f.name)
	}
	return err
}
