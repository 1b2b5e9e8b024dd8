package cli

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hearth/internal/cli/project"
	"hearth/internal/code"
	"hearth/internal/hearth"
)

// plan is one function, ready to be sent.
type plan struct {
	project.Function
	archive  []byte
	files    int    // in the archive
	guessed  string // what was guessed, in words
	fromFile bool   // hearth.yml described it, completely
}

// pack is an archive made of a folder.
type pack struct {
	archive []byte
	files   int
}

// deployFlags are the flags of deploy. Only those that were given count.
type deployFlags struct {
	name, runtime, handler   string
	memory, tmp              string
	timeout, keepAlive       string
	model, description       string
	maxConcurrency, reserved int
	env, exclude, tags       []string
}

func (o *deployFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "the function's `name`; with several in hearth.yml, the one to deploy")
	f.StringVar(&o.runtime, "runtime", "", "what runs it: nodejs, nodejs20.x, python3, python3.12, …")
	f.StringVar(&o.handler, "handler", "", "`module.function` to call, such as index.handler")
	f.StringVar(&o.memory, "memory", "", "memory of an instance, in `MB`; processor time comes with it (default 128)")
	f.StringVar(&o.timeout, "timeout", "", "longest run of one invocation, in `seconds` or as 1m30s (default 3)")
	f.StringVar(&o.tmp, "tmp", "", "size of an instance's /tmp, in `MB` (default 512)")
	f.StringVar(&o.model, "execution-model", "", "exclusive or concurrent (default exclusive)")
	f.IntVar(&o.maxConcurrency, "max-concurrency", 0, "invocations that may share one instance, when concurrent (default 10)")
	f.StringVar(&o.keepAlive, "keep-alive", "", "how long (a `duration`) an idle instance is kept, such as 90s or 15m; 0 = not at all (default 15m)")
	f.StringArrayVar(&o.env, "env", nil, "an environment variable, `K=V`; may be repeated, adds to hearth.yml's")
	f.StringVar(&o.description, "description", "", "what it is for, in a sentence")
	f.IntVar(&o.reserved, "reserved", 0, "most `invocations` in flight at once, over all instances; 0 refuses all")
	f.StringArrayVar(&o.tags, "tag", nil, "a tag, `K=V`; may be repeated, adds to hearth.yml's")
	f.StringArrayVar(&o.exclude, "exclude", nil, "a `pattern` of files to leave out; may be repeated, adds to hearth.yml's")
	must(cmd.RegisterFlagCompletionFunc("execution-model", cobra.FixedCompletions(
		[]string{string(hearth.Exclusive), string(hearth.Concurrent)}, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions(hearth.Runtimes(), cobra.ShellCompDirectiveNoFileComp)))
}

// planDeploy reads source and settles every function in it, before anything is sent.
func planDeploy(source string, o *deployFlags, flags *pflag.FlagSet) ([]plan, error) {
	info, err := os.Stat(source)
	if err != nil {
		return nil, usagef("there is no folder or archive %s", source)
	}
	if !info.IsDir() {
		return planArchive(source, o, flags)
	}
	functions, fromFile, err := readProject(source)
	if err != nil {
		return nil, err
	}
	if functions, err = choose(functions, o.name, source); err != nil {
		return nil, err
	}
	packed := map[string]*pack{}
	plans := make([]plan, 0, len(functions))
	for i := range functions {
		p := plan{Function: functions[i], fromFile: fromFile}
		if fromFile {
			fill(&p.Function)
		}
		if err := o.apply(&p.Function, flags); err != nil {
			return nil, err
		}
		if err := p.packFrom(source, packed); err != nil {
			return nil, err
		}
		if err := p.check(); err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// readProject is the folder's hearth.yml, or one function about which nothing is
// known but its folder.
func readProject(dir string) (functions []project.Function, fromFile bool, err error) {
	functions, err = project.Load(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		functions = []project.Function{{}}
	case err != nil:
		return nil, false, usagef("%w", err)
	default:
		fromFile = true
	}
	if len(functions) == 1 && functions[0].Name == "" {
		functions[0].Name = folderName(dir)
	}
	return functions, fromFile, nil
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
func choose(functions []project.Function, name, source string) ([]project.Function, error) {
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
		filepath.Join(source, project.FileName), hearth.Hint(name, names), strings.Join(names, ", "))
}

// planArchive settles the one function of a zip archive, which flags describe.
func planArchive(file string, o *deployFlags, flags *pflag.FlagSet) ([]plan, error) {
	name := o.name
	if name == "" {
		name = folderName(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	}
	p := plan{Function: project.Function{Name: name}}
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

// packFrom makes the archive of the function's code, or finds it in packed, where
// functions with the same code meet. hearth.yml stays out of it: it is about the code,
// and a new setting is not new code.
func (p *plan) packFrom(dir string, packed map[string]*pack) error {
	from := filepath.Join(dir, filepath.FromSlash(p.Code))
	info, err := os.Stat(from)
	if err != nil {
		return usagef("the code of %s, %s, is not there", p.Name, from)
	}
	if !info.IsDir() {
		return p.read(from)
	}
	key := from + "\x00" + strings.Join(p.Exclude, "\x00")
	if packed[key] == nil {
		archive, summary, err := code.Pack(from, append([]string{"/" + project.FileName}, p.Exclude...))
		if err != nil {
			return usagef("%w", err)
		}
		packed[key] = &pack{archive, summary.Files}
	}
	p.archive, p.files = packed[key].archive, packed[key].files
	return p.complete(os.DirFS(from), from)
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

// apply lets the flags win.
func (o *deployFlags) apply(f *project.Function, flags *pflag.FlagSet) error {
	p := &f.Patch
	given := flags.Changed
	if given("runtime") {
		p.Runtime = &o.runtime
	}
	if given("handler") {
		p.Handler = &o.handler
	}
	if given("description") {
		p.Description = &o.description
	}
	if given("reserved") {
		if o.reserved < 0 {
			return usagef("--reserved %d must be 0 or more", o.reserved)
		}
		f.Reserved = &o.reserved
	}
	f.Exclude = append(slices.Clone(f.Exclude), o.exclude...)
	if given("execution-model") {
		model := hearth.Model(o.model)
		if model != hearth.Exclusive && model != hearth.Concurrent {
			return usagef("--execution-model %q is neither exclusive nor concurrent", o.model)
		}
		p.Model = &model
	}
	if given("max-concurrency") {
		p.MaxConcurrency = &o.maxConcurrency
		if !given("execution-model") && o.maxConcurrency > 1 {
			model := hearth.Concurrent
			p.Model = &model
		}
	}
	if err := o.applySizes(f, given); err != nil {
		return err
	}
	if err := pairs("--env", o.env, func(k, v string) { setPair(&p.Env, k, v) }); err != nil {
		return err
	}
	tags := &f.Tags
	return pairs("--tag", o.tags, func(k, v string) {
		if *tags == nil {
			*tags = map[string]string{}
		}
		(*tags)[k] = v
	})
}

// applySizes reads the flags that have units.
func (o *deployFlags) applySizes(f *project.Function, given func(string) bool) error {
	p := &f.Patch
	for _, m := range []struct {
		flag, text string
		field      **int
	}{{"memory", o.memory, &p.MemoryMB}, {"tmp", o.tmp, &p.TmpMB}} {
		if !given(m.flag) {
			continue
		}
		n, ok := project.ParseMB(m.text)
		if !ok {
			return usagef("--%s %q is not a number of MB, such as 256, 256MB or 1GB", m.flag, m.text)
		}
		*m.field = &n
	}
	for _, s := range []struct {
		flag, text string
		field      **time.Duration
	}{{"timeout", o.timeout, &p.Timeout}, {"keep-alive", o.keepAlive, &p.KeepAlive}} {
		if !given(s.flag) {
			continue
		}
		d, ok := project.ParseSpan(s.text)
		if !ok || d < 0 {
			return usagef("--%s %q is not a number of seconds, nor a length of time such as 90s or 15m", s.flag, s.text)
		}
		if s.flag == "keep-alive" && d == 0 {
			d = hearth.NoKeepAlive
		}
		*s.field = &d
	}
	return nil
}

func setPair(m **map[string]string, key, value string) {
	if *m == nil {
		*m = &map[string]string{}
	}
	(**m)[key] = value
}

// pairs reads K=V flags.
func pairs(flag string, texts []string, set func(k, v string)) error {
	for _, text := range texts {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" {
			return usagef("%s %q is not of the form KEY=VALUE", flag, text)
		}
		set(k, v)
	}
	return nil
}
