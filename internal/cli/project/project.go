// Package project reads hearth.yml, which says what the functions in a folder are,
// and guesses what can be guessed where there is none. What is wrong in the file is
// told with its line and column, the line itself, and what was probably meant.
package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"hearth/internal/hearth"
)

// FileName is the name of the file that describes a folder's functions.
const FileName = "hearth.yml"

// MaxFileBytes bounds the size of a hearth.yml.
const MaxFileBytes = 256 << 10

// Function is one function as hearth.yml tells it.
type Function struct {
	Name string
	// Patch holds what the file says; fields it does not mention are nil.
	Patch hearth.ConfigPatch
	// Code is the folder or archive with the function's code, relative to the file's
	// folder; "" stands for that folder itself.
	Code string
	// Exclude are patterns of files that are left out of the archive.
	Exclude  []string
	Reserved *int
	Tags     map[string]string

	line, col int // of its name in the file
}

// Config is the function's whole configuration, defaults filled in.
func (f *Function) Config() hearth.Config {
	var c hearth.Config
	c.Normalize()
	f.Patch.Apply(&c)
	return c
}

// Load reads dir/hearth.yml. The error is fs.ErrNotExist when there is none, and an
// *Error when something is wrong in it.
func Load(dir string) ([]Function, error) {
	path := filepath.Join(dir, FileName)
	src, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if other := filepath.Join(dir, "hearth.yaml"); exists(other) {
			return nil, &Error{Path: other, Problems: []Problem{{Line: 1, Col: 1, Message: "the file must be called " + FileName + ": rename it"}}}
		}
	}
	if err != nil {
		return nil, err
	}
	return Parse(path, src)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
