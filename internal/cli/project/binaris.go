package project

import (
	"path"
	"path/filepath"
	"strings"

	"hearth/internal/hearth"
)

// BinarisFile is the name of Binaris's project file.
const BinarisFile = "binaris.yml"

func readBinaris(dir string, o Options) (*Project, error) {
	src, err := o.readText(BinarisFile)
	if src == nil || err != nil {
		return nil, err
	}
	p, err := ParseBinaris(filepath.Join(dir, BinarisFile), src, o)
	if err != nil {
		return nil, err
	}
	p.File, p.Exclude = BinarisFile, []string{"/" + BinarisFile}
	if err := p.checkCode(dir, src, o.Folder); err != nil {
		return nil, err
	}
	return p, nil
}

// ParseBinaris reads the text of a binaris.yml; name is for messages. Errors are
// *Error.
func ParseBinaris(name string, src []byte, o Options) (*Project, error) {
	d := newDecoder(1000)
	src = unixLines(src[:min(len(src), MaxFileBytes)])
	p := &Project{Vendor: string(hearth.Binaris), Complete: true}
	if body := d.parseYAML(src); body != nil && len(d.problems) == 0 {
		d.binaris(p, d.object(body, ""), &o)
	}
	if err := d.err(name, src); err != nil {
		return nil, err
	}
	return p, nil
}

func (d *decoder) binaris(p *Project, top *object, o *Options) {
	if top == nil {
		return
	}
	e, ok := top.get("functions")
	if !ok {
		d.fault(1, 1, "there are no functions: give at least one, such as functions: {hello: {file: function.js, entrypoint: handler}}")
		return
	}
	members, _ := d.members(e.value, "functions")
	for _, m := range members {
		if f := d.object(m.value, "functions."+m.key); f != nil {
			d.binarisFunction(p, m, f, o)
		}
	}
	if len(members) == 0 && len(d.problems) == 0 {
		d.problem(e.keyNode, "functions: is empty; give it at least one name with its file")
	}
	p.Ignored = append(p.Ignored, top.rest()...)
}

func (d *decoder) binarisFunction(p *Project, m entry, o *object, options *Options) {
	f := Function{Name: m.key}
	f.line, f.col = position(m.keyNode)
	if hearth.ValidateName(m.key) != nil {
		d.problem(m.keyNode, "a function's name is 1 to %d letters, digits, '-' and '_'; %q is not", hearth.MaxNameLen, m.key)
	}
	before := len(d.problems)
	file, fileAt, ok := o.text("file")
	if !ok {
		d.problem(m.keyNode, "the function %s has no file; add one, such as file: function.js", m.key)
		return
	}
	entrypoint, _, ok := o.text("entrypoint")
	if !ok {
		entrypoint = "handler"
	}
	file = path.Clean(file)
	handler := strings.TrimSuffix(file, path.Ext(file)) + "." + entrypoint
	runtime := runtimeFor(handler, options.folder())
	if name, e, ok := o.text("runtime"); ok {
		known, err := runtimeOf(name)
		if err != nil {
			d.problem(e.value, "%s", runtimeWords(name, err))
		}
		runtime = known
	}
	if e, ok := o.get("executionModel"); ok {
		setModel(d, &f, e)
	}
	if e, ok := o.get("env"); ok {
		setEnv(d, &f, e)
	}
	f.Patch.Runtime, f.Patch.Handler = &runtime, &handler
	vendors()[string(hearth.Binaris)].complete(&f)
	p.Ignored = append(p.Ignored, o.rest()...)
	if len(d.problems) > before {
		return
	}
	c := f.Config()
	if err := hearth.CheckHandler(c.Runtime, c.Handler); err != nil {
		d.problem(fileAt.value, "%s", err)
	} else if err := c.Validate(); err != nil {
		d.problem(m.keyNode, "%s", err)
	}
	p.Functions = append(p.Functions, f)
}
