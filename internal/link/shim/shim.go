// Package shim holds the programs that run inside a sandbox between the frame
// protocol (see ../PROTOCOL.md) and the owner's handler: one per language, embedded
// in the binary and written to a directory that sandboxes see read-only.
package shim

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed all:node all:python
var trees embed.FS

// Dir is where sandboxes with a file system of their own find the shims
// (sandbox.Spec.ShimDir appears there).
const Dir = "/var/runtime"

// Languages that have a shim.
const (
	Node   = "nodejs"
	Python = "python"
	// Custom is any language: the platform's own program stands between the frames and
	// the Runtime API (package runtimeapi).
	Custom = "provided"
)

// Write writes the shims of all languages below dir, as node/ and python/, readable
// by every user. It replaces files of the same name and leaves others alone. It
// blocks on the disk.
func Write(dir string) error {
	return fs.WalkDir(trees, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if skip(name) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err := writeEntry(filepath.Join(dir, filepath.FromSlash(name)), name, entry); err != nil {
			return fmt.Errorf("write shim %s: %w", name, err)
		}
		return nil
	})
}

// skip leaves out what has no use inside a sandbox: notes, tests and caches.
func skip(name string) bool {
	base := path.Base(name)
	return base == "__pycache__" || base == "testdata" || strings.HasSuffix(base, ".md") ||
		strings.HasPrefix(base, "test_") || base != "." && strings.HasPrefix(base, ".")
}

func writeEntry(target, name string, entry fs.DirEntry) error {
	if entry.IsDir() {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		return os.Chmod(target, 0o755) // whatever the umask took away
	}
	text, err := trees.ReadFile(name)
	if err != nil {
		return err
	}
	// A rename never shows a starting sandbox half a file.
	temporary := target + ".new"
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	if err := os.Chmod(temporary, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, target)
}

// Command is the command line that starts the shim of a language: base is the
// directory given to Write as it is seen from inside (Dir, where the sandbox has a
// file system of its own), memoryMB the function's memory in MiB. It is nil for a
// language without a shim.
func Command(language, interpreter string, memoryMB int, base string) []string {
	switch language {
	case Node:
		return nodeCommand(interpreter, memoryMB, base)
	case Python:
		return pythonCommand(interpreter, base)
	case Custom:
		return []string{path.Join(base, Program), "init"}
	}
	return nil
}
