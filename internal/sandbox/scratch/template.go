package scratch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// templateDir is the one entry of a store's directory that is no volume.
	templateDir = "templates"
	// templateFormat changes when templates are made differently.
	templateFormat = 2

	// inodesPerMB: one for every block of 4 KiB, so that a flood of small files runs
	// out of space first. Their tables are holes until they are used.
	inodesPerMB = 256
	inodeBytes  = 256

	mib = 1 << 20
)

// firstSize is at least the size that an image for mb MiB has, tables included, in bytes.
func firstSize(mb int) int64 {
	return int64(mb)*(mib+inodesPerMB*inodeBytes) + 24*mib
}

// template is a ready file system of one size. Copying it is an order of magnitude
// cheaper than making one: nearly all of it is holes.
type template struct {
	path string
	once sync.Once
	err  error
}

func (s *Store) templatePath(mb int) string {
	return filepath.Join(s.dir, templateDir, fmt.Sprintf("ext4-%d-%dMB.img", templateFormat, mb))
}

// template returns the template for volumes of mb MiB, making it if there is none.
func (s *Store) template(mb int) (*template, error) {
	s.mu.Lock()
	t := s.templates[mb]
	if t == nil {
		t = &template{path: s.templatePath(mb)}
		s.templates[mb] = t
	}
	s.mu.Unlock()
	t.once.Do(func() { t.err = s.build(t, mb) })
	if t.err != nil {
		s.mu.Lock()
		delete(s.templates, mb) // the next one may try again
		s.mu.Unlock()
	}
	return t, t.err
}

// build makes the template unless an earlier process has.
func (s *Store) build(t *template, mb int) error {
	if _, err := os.Stat(t.path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return err
	}
	work := t.path + ".new"
	defer os.Remove(work)
	// What the file system keeps for itself is known only once it is made: an image
	// is made, measured, and made again in the size that gives what was asked for.
	size := firstSize(mb)
	for range 5 {
		free, err := s.format(work, size, mb)
		if err != nil {
			return err
		}
		missing := int64(mb)*mib + mib/2 - free
		if -mib/2 < missing && missing <= mib/2 {
			return os.Rename(work, t.path)
		}
		size += missing &^ 4095
	}
	return errors.New("mkfs.ext4 makes no file system of that size")
}

// format makes a file system of size bytes in path, takes out what mkfs puts in it,
// and returns how many bytes an ordinary user may store there.
func (s *Store) format(path string, size int64, mb int) (free int64, err error) {
	os.Remove(path)
	img, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	defer img.Close()
	if err := img.Truncate(size); err != nil {
		return 0, err
	}
	out, err := exec.Command(s.mkfs, "-q", "-F", "-b", "4096", "-m", "0",
		"-N", strconv.Itoa(mb*inodesPerMB), "-I", strconv.Itoa(inodeBytes), "-O", "^has_journal,^resize_inode,^metadata_csum,uninit_bg",
		"-E", "lazy_itable_init=1,nodiscard", path).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	return measure(img, path+".mnt")
}

func measure(img *os.File, at string) (free int64, err error) {
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return 0, err
	}
	defer os.Remove(at)
	if err := mountLoop(img, at); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unix.Unmount(at, 0)) }()
	if err := os.Remove(filepath.Join(at, "lost+found")); err != nil {
		return 0, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// copyTo makes a new file at path with the template's content, holes included. The
// caller closes it.
func (t *template) copyTo(path string) (*os.File, error) {
	src, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	dst, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := copySparse(dst, src); err != nil {
		dst.Close()
		os.Remove(path)
		return nil, fmt.Errorf("copy of %s: %w", t.path, err)
	}
	return dst, nil
}

// copySparse copies the parts of src that are not holes.
func copySparse(dst, src *os.File) error {
	info, err := src.Stat()
	if err != nil {
		return err
	}
	if err := dst.Truncate(info.Size()); err != nil {
		return err
	}
	for at := int64(0); ; {
		data, err := src.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // nothing but holes up to the end
		}
		if err != nil {
			return err
		}
		end, err := src.Seek(data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		part := io.NewSectionReader(src, data, end-data)
		if _, err := io.Copy(io.NewOffsetWriter(dst, data), part); err != nil {
			return err
		}
		at = end
	}
}
