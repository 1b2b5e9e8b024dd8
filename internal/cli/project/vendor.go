package project

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"

	"hearth/internal/hearth"
)

// vendor is what a provider's own platform does where a file says nothing, so that a
// function meets what it was written for. The figures are the vendors' documented
// defaults.
type vendor struct {
	dialect  hearth.Dialect
	memoryMB int
	timeout  time.Duration
	// concurrency is how many invocations share one instance there.
	concurrency int
}

// vendors are the providers that a serverless.yml may name.
func vendors() map[string]vendor {
	return map[string]vendor{
		"aws":       {hearth.AWS, 1024, 6 * time.Second, 1}, // the Serverless Framework's, not Lambda's
		"google":    {hearth.Google, 256, 60 * time.Second, 1},
		"azure":     {hearth.Azure, 1536, 5 * time.Minute, 100},
		"openwhisk": {hearth.OpenWhisk, 256, 60 * time.Second, 1},
		"prototype": {hearth.Prototype, hearth.DefaultMemoryMB, hearth.DefaultTimeout, 1},
		"kubeless":  {hearth.Kubeless, 256, 180 * time.Second, 1},
		"binaris":   {hearth.Binaris, 128, 30 * time.Second, 1},
	}
}

// vendorNames are the words for provider.name, the commonest first.
func vendorNames() []string {
	return []string{"aws", "google", "azure", "openwhisk", "prototype", "kubeless"}
}

// complete fills in what the file left to the vendor.
func (v vendor) complete(f *Function) {
	p := &f.Patch
	dialect := v.dialect
	p.Dialect = &dialect
	def(&p.MemoryMB, v.memoryMB)
	def(&p.Timeout, v.timeout)
	if p.Model == nil && v.concurrency > 1 {
		shareInstances(f, v.concurrency)
	}
}

// shareInstances makes f concurrent, n at a time; 1 makes it exclusive.
func shareInstances(f *Function, n int) {
	n = min(max(n, 1), hearth.MaxMaxConcurrency)
	model := hearth.Concurrent
	if n == 1 {
		model = hearth.Exclusive
		n = hearth.DefaultMaxConcurrency
	}
	f.Patch.Model, f.Patch.MaxConcurrency = &model, &n
}

func def[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// fit keeps a vendor's value within Hearth's limits, and says so.
func fit[T int | time.Duration](f *Function, what string, value, low, high T, show func(T) string) *T {
	fitted := min(max(value, low), high)
	if fitted != value {
		f.Notes = append(f.Notes, fmt.Sprintf("%s %s became %s: Hearth offers %s to %s", what, show(value), show(fitted), show(low), show(high)))
	}
	return &fitted
}

func (f *Function) setMemory(mb int) {
	f.Patch.MemoryMB = fit(f, "memory", mb, hearth.MinMemoryMB, hearth.MaxMemoryMB, func(n int) string { return fmt.Sprintf("%d MB", n) })
}

func (f *Function) setTimeout(d time.Duration) {
	f.Patch.Timeout = fit(f, "timeout", d, time.Second, hearth.MaxTimeout, time.Duration.String)
}

var (
	oldNode   = regexp.MustCompile(`^node(js)?[:_ ]?([0-9][0-9.]*)?(\.?x)?(default|lts)?$`)
	oldPython = regexp.MustCompile(`^python[:_ ]?(3[0-9.]*)?(default)?$`)
)

// runtimeOf is Hearth's name for a vendor's runtime. A version that Hearth has no name
// for stands for its language: this machine's own interpreter runs them all.
func runtimeOf(name string) (string, error) {
	_, err := hearth.Language(name)
	switch {
	case err == nil:
		return name, nil
	case oldNode.MatchString(name):
		return "nodejs", nil
	case oldPython.MatchString(name):
		return "python3", nil
	}
	return "", err
}

// handlerOf writes a vendor's handler as module.function. Some name the function
// alone: where it stands is then the vendor's convention, and folder tells.
func handlerOf(dialect hearth.Dialect, handler, runtime string, folder fs.FS) string {
	handler = path.Clean(strings.ReplaceAll(handler, `\`, "/"))
	language, _ := hearth.Language(runtime)
	if language != "" && language != hearth.LangNode && language != hearth.LangPython {
		return handler // a program reads it as it likes
	}
	for _, extension := range []string{".js", ".mjs", ".cjs", ".py"} {
		if module, ok := strings.CutSuffix(handler, extension); ok && isFile(folder, handler) {
			return module + "." + wholeModule(dialect, extension == ".py")
		}
	}
	if strings.Contains(path.Base(handler), ".") {
		return handler
	}
	if language == "" {
		language = languageHere(folder)
	}
	python := language == hearth.LangPython
	extension := ".js"
	if python {
		extension = ".py"
	}
	switch {
	case dialect != hearth.Google && isFile(folder, handler+extension):
		return handler + "." + wholeModule(dialect, python)
	case python:
		return "main." + handler
	}
	if main := packageMain(folder); main != "" {
		return strings.TrimSuffix(main, path.Ext(main)) + "." + handler
	}
	for _, file := range []string{"index.js", "function.js", "index.mjs"} { // Google looks for these
		if isFile(folder, file) {
			return strings.TrimSuffix(file, path.Ext(file)) + "." + handler
		}
	}
	return "index." + handler
}

// wholeModule is the function that a dialect calls in a module that is named as such.
func wholeModule(dialect hearth.Dialect, python bool) string {
	switch {
	case dialect == hearth.OpenWhisk || dialect == hearth.Azure && python:
		return "main"
	case dialect == hearth.Azure:
		return "run"
	}
	return "handler"
}

// languageHere is the language of a folder that does not say it: what its files are.
func languageHere(folder fs.FS) string {
	if g, err := GuessFrom(folder); err == nil {
		language, _ := hearth.Language(g.Runtime)
		return language
	}
	return hearth.LangNode
}

// runtimeFor is the runtime of a handler about which only its file tells.
func runtimeFor(handler string, folder fs.FS) string {
	module := handler
	if i := strings.IndexByte(path.Base(handler), '.'); i >= 0 {
		module = handler[:len(handler)-len(path.Base(handler))+i]
	}
	if isFile(folder, module+".py") {
		return "python3"
	}
	return "nodejs"
}
