package code

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
)

// unpack writes the archive into dir, an empty directory, and gives the bytes of its
// files. Everything becomes readable by every user and writable by the owner alone;
// of an entry's mode only "executable" is kept. Times are the archive's, since
// Python's bytecode files refer to them. Links are made last, when nothing can be
// written through them any more, and os.Root would refuse that besides.
func (a *archive) unpack(ctx context.Context, dir string) (int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	u := unpacker{ctx: ctx, root: root, made: map[string]bool{".": true}}
	total, err := a.walk(u.create)
	if err != nil {
		return 0, err
	}
	for i := range a.entries {
		if e := &a.entries[i]; e.kind == kindLink {
			if err := root.Symlink(e.target, e.name); err != nil {
				return 0, fmt.Errorf("unpack %q: %w", e.name, err)
			}
		}
	}
	return total, nil
}

type unpacker struct {
	ctx  context.Context
	root *os.Root
	made map[string]bool // directories
}

func (u *unpacker) create(e *entry) (io.WriteCloser, error) {
	if err := u.ctx.Err(); err != nil {
		return nil, err
	}
	dir := e.name
	if e.kind != kindDir {
		dir = path.Dir(e.name)
	}
	if err := u.mkdir(dir); err != nil || e.kind != kindFile {
		return nil, err
	}
	mode := os.FileMode(0o644)
	if e.exec {
		mode = 0o755
	}
	f, err := u.root.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, fmt.Errorf("unpack %q: %w", e.name, err)
	}
	if err := f.Chmod(mode); err != nil { // whatever the umask took away
		f.Close()
		return nil, fmt.Errorf("unpack %q: %w", e.name, err)
	}
	return &file{File: f, unpacker: u, entry: e}, nil
}

// mkdir makes a directory and those above it.
func (u *unpacker) mkdir(dir string) error {
	if u.made[dir] {
		return nil
	}
	if err := u.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	if err := u.root.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("unpack %q: %w", dir, err)
	}
	if err := u.root.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("unpack %q: %w", dir, err)
	}
	u.made[dir] = true
	return nil
}

// file is a file being unpacked. It stops when nobody waits for it any more.
type file struct {
	*os.File
	*unpacker
	entry *entry
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *file) Close() error {
	if err := f.File.Close(); err != nil {
		return fmt.Errorf("unpack %q: %w", f.entry.name, err)
	}
	t := f.entry.modified()
	return f.root.Chtimes(f.entry.name, t, t)
}
