// Package project finds out what the functions in a folder are: from hearth.yml, from
// the project files of other platforms (serverless.yml, binaris.yml, Azure's host.json
// and function.json), or by guessing from the code. What is wrong in a file is told
// with its line and column, the line itself, and what was probably meant.
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
	// Provisioned is for how many invocations at once instances are kept ready.
	Provisioned *int
	Tags        map[string]string
	// Routes are the paths below /http/ that the file declares.
	Routes []hearth.HTTPRoute
	// Triggers run the function by the clock.
	Triggers []hearth.Trigger
	// Async is what becomes of asynchronous invocations; nil means the defaults.
	Async *hearth.AsyncConfig
	// Notes say what is otherwise than the file has it, and why.
	Notes []string

	line, col int    // of its name in the file
	file      string // the included file that it stands in, "" for the project's own
}

// Config is the function's whole configuration, defaults filled in.
func (f *Function) Config() hearth.Config {
	var c hearth.Config
	c.Normalize()
	f.Patch.Apply(&c)
	return c
}

// Project is what a folder's files say about the functions in it.
type Project struct {
	// File is the one that says it, "" when there is nothing but code.
	File string
	// Vendor is the platform that the functions were written for, a hearth.Dialect's
	// name; "" with hearth.yml, where each function says it.
	Vendor  string
	Service string // of a serverless.yml; a part of the paths of its routes
	// Functions are in the order of the file. A single one may be without a name: the
	// caller names it after the folder.
	Functions []Function
	// Complete says that the file describes the functions completely, so that what it
	// does not mention is the default.
	Complete bool
	Ignored  []Ignored // keys of no use here
	// Exclude are patterns of files that are about the code and no part of it.
	Exclude []string
}

// Options is what reading a project needs beside the folder.
type Options struct {
	// Variables are options that ${opt:…} in a serverless.yml refers to, such as stage.
	Variables map[string]string
	// LookupEnv is for ${env:…}; nil means os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// Folder is the project's; nothing outside of it is read.
	Folder fs.FS
}

func (o *Options) lookupEnv() func(string) (string, bool) {
	if o.LookupEnv == nil {
		return os.LookupEnv
	}
	return o.LookupEnv
}

func (o *Options) folder() fs.FS {
	if o.Folder == nil {
		return noFiles{}
	}
	return o.Folder
}

// noFiles is an empty folder.
type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// reader reads one kind of project file. It returns nil where that is not there.
type reader func(dir string, o Options) (*Project, error)

// Read finds out what the functions in dir are. hearth.yml has the first word, then the
// other platforms' files, and the code itself where there is none. A file that is
// wrong is an *Error.
func Read(dir string, o Options) (*Project, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	o.Folder = root.FS()
	for _, read := range []reader{readHearth, readServerless, readBinaris, readAzure, readCode} {
		p, err := read(dir, o)
		if p != nil || err != nil {
			return p, err
		}
	}
	return &Project{Functions: []Function{{}}}, nil
}

func readHearth(dir string, _ Options) (*Project, error) {
	functions, err := Load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return &Project{File: FileName, Functions: functions, Complete: true, Exclude: []string{"/" + FileName}}, nil
}

// SetService gives the declared paths another name below /http/.
func (p *Project) SetService(name string) {
	p.Service = name
	for i := range p.Functions {
		for j := range p.Functions[i].Routes {
			p.Functions[i].Routes[j].Service = name
		}
	}
}

// conflicts tells the functions that declare the same path as one before them.
func (p *Project) conflicts() (problems []Problem) {
	taken := map[string]*Function{}
	for i := range p.Functions {
		f := &p.Functions[i]
		for _, r := range f.Routes {
			first := taken[r.Key()]
			if first == nil {
				taken[r.Key()] = f
				continue
			}
			whose := "function " + first.Name + " declares it, too"
			if first == f {
				whose = "it is declared twice"
			}
			problems = append(problems, Problem{Line: max(f.line, 1), Col: max(f.col, 1),
				Message: "function " + f.Name + " declares " + r.String() + ", but " + whose + "; give one of them another path or method"})
		}
	}
	return problems
}

// readText is a file of the folder; nil when it is not there.
func (o *Options) readText(name string) ([]byte, error) {
	src, err := fs.ReadFile(o.Folder, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && src == nil {
		src = []byte{}
	}
	return src, err
}

func readServerless(dir string, o Options) (*Project, error) {
	for _, name := range []string{"serverless.yml", "serverless.yaml"} {
		src, err := o.readText(name)
		if err != nil {
			return nil, err
		}
		if src == nil {
			continue
		}
		p, err := ParseServerless(filepath.Join(dir, name), src, o)
		if err != nil {
			return nil, err
		}
		p.File, p.Exclude = name, []string{"/" + name, "/.serverless/", "/.env", "/.env.*"}
		if err := p.checkCode(dir, src, o.Folder); err != nil {
			return nil, err
		}
		return p, nil
	}
	return nil, nil
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
