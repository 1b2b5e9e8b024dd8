// Package build brings a function's code and the packages it depends on together,
// without ever writing into the folder that the code is in: packages are installed in
// a cache of the user's, and what is packed is a copy of the folder with them.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"hearth/internal/hearth"
)

// Builder installs dependencies. Its fields must not change while it is used.
type Builder struct {
	// Cache is the folder for installed packages; it is made if missing. Those who
	// delete it lose time only.
	Cache string
	// Say tells a person what is going on, a line at a time.
	Say func(line string)
	// Env is the environment for npm and pip; nil means this process's own.
	Env []string
}

// Staged is a folder that is ready to be packed.
type Staged struct {
	Dir  string
	temp string
}

// Close removes what Stage has made for this one use. Closing twice is harmless.
func (s *Staged) Close() error {
	if s == nil || s.temp == "" {
		return nil
	}
	return os.RemoveAll(s.temp)
}

// Stage returns dir itself when it depends on nothing that is missing, else a copy of
// it with its dependencies. language is hearth.LangNode or hearth.LangPython. It
// blocks while packages are installed, at most until ctx ends. Errors are in words for
// people.
func (b *Builder) Stage(ctx context.Context, dir, language string) (*Staged, error) {
	var packages string
	var err error
	into := "."
	switch language {
	case hearth.LangNode:
		packages, err = b.npm(ctx, dir)
		into = "node_modules"
	case hearth.LangPython:
		packages, err = b.pip(ctx, dir)
	}
	if err != nil {
		return nil, err
	}
	if packages == "" {
		return &Staged{Dir: dir}, nil
	}
	return b.copy(dir, packages, into)
}

// copy makes the folder that is packed. It has the name of the original, by which the
// packer knows an archive of the folder in the folder.
func (b *Builder) copy(dir, packages, into string) (*Staged, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(b.Cache, "stage-")
	if err != nil {
		return nil, err
	}
	s := &Staged{Dir: filepath.Join(temp, filepath.Base(absolute)), temp: temp}
	if err = tree(packages, filepath.Join(s.Dir, into), false); err == nil {
		err = tree(absolute, s.Dir, true) // the owner's own files win
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copy %s: %w", dir, err), s.Close())
	}
	return s, nil
}

// tree copies a folder, by links where the file system can: nobody writes to the
// copies. Without the folders that are never packed.
func tree(from, to string, skipTools bool) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		switch {
		case d.IsDir():
			if base := d.Name(); skipTools && relative != "." && (base == ".git" || base == ".serverless" || base == ".hearth") {
				return fs.SkipDir
			}
			return os.MkdirAll(target, 0o755)
		case d.Type() == fs.ModeSymlink:
			link, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case d.Type().IsRegular():
			return file(name, target)
		}
		return nil // pipes and sockets are not code
	})
}

func file(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()|0o400)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}

// key names an installation by all that decides what is in it.
func key(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// install makes cache/kind/key by fill, which works in a folder of its own that only
// gets its name when it is complete. It returns that of an earlier time if there is one.
func (b *Builder) install(kind, key, fresh, cached string, fill func(dir string) error) (string, error) {
	done := filepath.Join(b.Cache, kind, key)
	if _, err := os.Stat(done); err == nil {
		b.Say(cached)
		return done, nil
	}
	if err := os.MkdirAll(filepath.Dir(done), 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(done), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) // nothing is left of it after the renaming
	b.Say(fresh)
	if err := fill(dir); err != nil {
		return "", err
	}
	if err := os.Rename(dir, done); err != nil {
		if _, other := os.Stat(done); other != nil {
			return "", err
		} // somebody else was quicker with the same
	}
	return done, nil
}

// run runs a tool in dir and shows what it says. The error holds the last of it.
func (b *Builder) run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, b.Env
	said := &lines{say: b.Say}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err := cmd.Run()
	said.end()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(said.last, "\n"))
	}
	return nil
}

// lines hands whole lines on, and keeps the last few.
type lines struct {
	say  func(string)
	part []byte
	last []string
}

func (l *lines) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' && c != '\r' {
			l.part = append(l.part, c)
			continue
		}
		l.end()
	}
	return len(p), nil
}

func (l *lines) end() {
	line := strings.TrimSpace(string(l.part))
	l.part = l.part[:0]
	if line == "" {
		return
	}
	l.say("  " + line)
	if l.last = append(l.last, "  "+line); len(l.last) > 12 {
		l.last = l.last[1:]
	}
}
