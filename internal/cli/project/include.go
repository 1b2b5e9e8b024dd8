package project

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"github.com/goccy/go-yaml/ast"
)

// fromFile is what another YAML or JSON file of the folder holds.
func (d *decoder) fromFile(at ast.Node, address, name, key string) (ast.Node, string) {
	clean := path.Clean(filepath.ToSlash(name))
	if !fs.ValidPath(clean) {
		d.problem(at, "${%s}: only files inside this folder are read; copy it here", address)
		return nil, ""
	}
	switch path.Ext(clean) {
	case ".yml", ".yaml", ".json":
	case ".js", ".cjs", ".mjs", ".ts":
		d.problem(at, "${%s}: a program is not run for its values; write them into a .yml or .json file", address)
		return nil, ""
	default:
		src, missing := d.readIncluded(at, address, clean)
		if missing != "" || src == nil {
			return nil, missing
		}
		return d.textNode(at, string(src)), ""
	}
	body, ok := d.vars.loaded[clean]
	if !ok {
		src, missing := d.readIncluded(at, address, clean)
		if missing != "" || src == nil {
			return nil, missing
		}
		body = d.parseIncluded(clean, src)
		d.vars.loaded[clean] = body
	}
	if body == nil {
		return nil, "" // told already
	}
	value, missing := d.inside(body, key)
	if missing != "" {
		missing = "${" + address + "}: " + missing
	}
	return value, missing
}

// readIncluded is the text of a file; nil with a problem noted, or missing.
func (d *decoder) readIncluded(at ast.Node, address, name string) (src []byte, missing string) {
	if d.vars.folder == nil {
		return nil, "${" + address + "}: there is no such file"
	}
	info, err := fs.Stat(d.vars.folder, name)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("${%s}: there is no file %s here that can be read", address, name)
	case !info.Mode().IsRegular() || info.Size() > MaxFileBytes:
		d.problem(at, "${%s}: %s is not a file of at most %d bytes", address, name, MaxFileBytes)
		return nil, ""
	}
	if src, err = fs.ReadFile(d.vars.folder, name); err != nil {
		d.problem(at, "${%s}: %s", address, err)
		return nil, ""
	}
	return append([]byte{}, unixLines(src)...), ""
}

// parseIncluded parses a file that another refers to.
func (d *decoder) parseIncluded(name string, src []byte) ast.Node {
	before := d.reading
	d.reading, d.included[name] = name, src
	defer func() { d.reading = before }()
	return d.parseYAML(src)
}
