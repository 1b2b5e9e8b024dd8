package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"hearth/internal/cli/build"
	"hearth/internal/cli/project"
	"hearth/internal/hearth"
)

// plan is one function, ready to be sent.
type plan struct {
	project.Function
	archive  []byte
	files    int    // in the archive
	guessed  string // what was guessed, in words
	fromFile bool   // a project's file described it, completely
}

// pack is an archive made of a folder.
type pack struct {
	archive []byte
	files   int
}

// planned is everything that one deployment is going to do.
type planned struct {
	project *project.Project
	plans   []plan
}

// planDeploy reads source and settles every function in it, before anything is sent.
func (a *app) planDeploy(ctx context.Context, source string, o *deployFlags, flags *pflag.FlagSet) (*planned, error) {
	info, err := os.Stat(source)
	if err != nil {
		return nil, usagef("there is no folder or archive %s", source)
	}
	if !info.IsDir() {
		plans, err := planArchive(source, o, flags)
		return &planned{&project.Project{}, plans}, err
	}
	p, err := a.readProject(source, o)
	if err != nil {
		return nil, err
	}
	functions, err := choose(p, o.name, source)
	if err != nil {
		return nil, err
	}
	packer := &packer{app: a, project: p, packed: map[string]*pack{}, staged: map[string]*build.Staged{}}
	defer packer.close()
	plans := make([]plan, 0, len(functions))
	for i := range functions {
		one := plan{Function: functions[i], fromFile: p.Complete}
		one.Name = o.prefix + one.Name
		if p.Complete {
			fill(&one.Function)
		}
		if err := o.apply(&one.Function, flags); err != nil {
			return nil, err
		}
		if err := packer.pack(ctx, &one, source); err != nil {
			return nil, err
		}
		if err := one.check(); err != nil {
			return nil, err
		}
		plans = append(plans, one)
	}
	return &planned{p, plans}, nil
}

// readProject is what the folder's files say. A function without a name has the
// folder's.
func (a *app) readProject(dir string, o *deployFlags) (*project.Project, error) {
	variables := map[string]string{}
	if err := pairs("--opt", o.opts, func(k, v string) { variables[k] = v }); err != nil {
		return nil, err
	}
	if o.stage != "" {
		variables["stage"] = o.stage
	}
	p, err := project.Read(dir, project.Options{Variables: variables, LookupEnv: func(name string) (string, bool) {
		v := a.Getenv(name)
		return v, v != ""
	}})
	if err != nil {
		return nil, usagef("%w", err)
	}
	if len(p.Functions) == 1 && p.Functions[0].Name == "" {
		p.Functions[0].Name = folderName(dir)
	}
	if o.service != "" {
		if err := hearth.ValidateName(o.service); err != nil {
			return nil, usagef("--service must be 1 to %d letters, digits, '-' and '_'; %q is not", hearth.MaxNameLen, o.service)
		}
		p.SetService(o.service)
	}
	return p, nil
}

// unfit is whatever cannot be in a function's name.
var unfit = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)

// folderName makes a function's name of the name of a folder or file.
func folderName(path string) string {
	full, err := filepath.Abs(path)
	if err != nil {
		full = path
	}
	return strings.Trim(unfit.ReplaceAllString(filepath.Base(full), "-"), "-")
}

// choose applies --name: of several functions it picks one, a single one it renames.
func choose(p *project.Project, name, source string) ([]project.Function, error) {
	functions := p.Functions
	if name == "" {
		return functions, nil
	}
	if len(functions) == 1 {
		functions[0].Name = name
		return functions, nil
	}
	var names []string
	for _, f := range functions {
		if f.Name == name {
			return []project.Function{f}, nil
		}
		names = append(names, f.Name)
	}
	return nil, usagef("there is no function %q in %s%s; it holds %s", name,
		filepath.Join(source, p.File), hearth.Hint(name, names), strings.Join(names, ", "))
}

// planArchive settles the one function of a zip archive, which flags describe.
func planArchive(file string, o *deployFlags, flags *pflag.FlagSet) ([]plan, error) {
	name := o.name
	if name == "" {
		name = folderName(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	}
	p := plan{Function: project.Function{Name: o.prefix + name}}
	if err := o.apply(&p.Function, flags); err != nil {
		return nil, err
	}
	if err := p.read(file); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return []plan{p}, nil
}

// read takes the archive as it is.
func (p *plan) read(file string) error {
	archive, err := os.ReadFile(file)
	if err != nil {
		return usagef("%w", err)
	}
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return usagef("%s is neither a folder nor a zip archive", file)
	}
	p.archive, p.files = archive, len(r.File)
	return p.complete(r, file)
}

// complete guesses what is still unknown from the files.
func (p *plan) complete(files fs.FS, from string) error {
	guessed, err := project.Complete(&p.Function, files)
	if err != nil {
		return usagef("%s: %w", from, err)
	}
	p.guessed = guessed
	return nil
}

// check asks the domain, so that a mistake in the last function stops the first one
// from being deployed.
func (p *plan) check() error {
	if err := hearth.ValidateName(p.Name); err != nil {
		return usagef("a function's name is 1 to %d letters, digits, '-' and '_'; %q is not. Give another with --name", hearth.MaxNameLen, p.Name)
	}
	c := p.Config()
	if err := c.Validate(); err != nil {
		return usagef("%s: %w", p.Name, err)
	}
	if err := hearth.CheckHandler(c.Runtime, c.Handler); err != nil {
		return usagef("%s: %w", p.Name, err)
	}
	if len(p.archive) > hearth.MaxZipBytes {
		return usagef("%s: the code makes an archive of %d bytes, at most %d are allowed; leave files out with exclude", p.Name, len(p.archive), hearth.MaxZipBytes)
	}
	return nil
}
