package code

import (
	"archive/zip"
	"path"
	"strings"
	"unicode/utf8"
)

// cleanName is the entry's name as a clean relative path, "." for the root itself.
func cleanName(f *zip.File) (string, error) {
	name := f.Name
	switch {
	case name == "":
		return "", refuse("an entry of the zip archive has no name. Make the archive anew")
	case !utf8.ValidString(name):
		return "", refuse("the name %q in the zip archive is not UTF-8. Rename the file, or make the archive with a tool that writes UTF-8 names", name)
	case strings.ContainsRune(name, 0):
		return "", refuse("the name %q in the zip archive contains a NUL byte. Rename the file", name)
	case strings.ContainsRune(name, '\\'):
		return "", refuse("the name %q in the zip archive contains a backslash. Make the archive with a tool that separates folders by slashes, or with hearth deploy", name)
	case strings.HasPrefix(name, "/"), len(name) > 1 && name[1] == ':' && isLetter(name[0]):
		return "", refuse("the name %q in the zip archive is absolute. Make the archive from inside the folder, so that names are relative", name)
	case len(name) > maxNameBytes:
		return "", refuse("the name %q… in the zip archive is longer than %d bytes. Use shorter names", name[:64], maxNameBytes)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refuse("the name %q in the zip archive leads out of it. Make the archive from inside the folder, without \"..\"", name)
		}
		if len(part) > maxPartBytes {
			return "", refuse("the name %q… in the zip archive is longer than %d bytes. Use shorter names", part[:64], maxPartBytes)
		}
	}
	return path.Clean(name), nil
}

func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

// checkTree checks the entries against each other: no name twice, nothing below a
// file or a link, and no link that leads outside, by whatever detour.
func checkTree(entries []entry) error {
	byName := make(map[string]*entry, len(entries))
	for i := range entries {
		e := &entries[i]
		if other := byName[e.name]; other != nil && (other.kind != kindDir || e.kind != kindDir) {
			return refuse("%q is in the zip archive twice. Make the archive anew", e.name)
		}
		byName[e.name] = e
	}
	links := map[string]string{}
	for i := range entries {
		e := &entries[i]
		for dir := path.Dir(e.name); dir != "."; dir = path.Dir(dir) {
			if parent := byName[dir]; parent != nil && parent.kind != kindDir {
				return refuse("%q in the zip archive lies below %q, which is not a directory. Make the archive anew", e.name, dir)
			}
		}
		if e.kind == kindLink {
			links[e.name] = e.target
		}
	}
	return checkLinks(entries, links)
}

func checkLinks(entries []entry, links map[string]string) error {
	r := resolver{links: links, steps: maxLinkSteps}
	for i := range entries {
		if e := &entries[i]; e.kind == kindLink {
			switch r.inside(path.Dir(e.name), e.target) {
			case leavesTree:
				return errLinkOut(e.name, e.target)
			case tangled:
				return refuse("the symbolic link %q in the zip archive leads through too many others, or in a circle. Put a copy of the file in its place", e.name)
			}
		}
	}
	return nil
}

const (
	maxLinkHops  = 40      // as Linux has it
	maxLinkSteps = 1 << 19 // names looked at for one archive
	maxResolved  = 4096    // bytes of a path on the way, as Linux has it
)

type verdict uint8

const (
	staysInside verdict = iota
	leavesTree
	tangled
)

// resolver follows links as the kernel would, in the tree that the archive describes.
// Comparing cleaned paths is not enough: in "link/../x", ".." is relative to where the
// link leads.
type resolver struct {
	links map[string]string // target by path
	steps int               // left
}

func (r *resolver) inside(dir, target string) verdict {
	at := dir
	if at == "." {
		at = ""
	}
	todo := strings.Split(target, "/")
	hops := 0
	for len(todo) > 0 {
		if r.steps--; r.steps < 0 || len(at) > maxResolved {
			return tangled
		}
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return leavesTree
			}
			at = at[:max(strings.LastIndexByte(at, '/'), 0)]
			continue
		}
		here := part
		if at != "" {
			here = at + "/" + part
		}
		next, isLink := r.links[here]
		if !isLink {
			at = here
			continue
		}
		if hops++; hops > maxLinkHops {
			return tangled
		}
		todo = append(strings.Split(next, "/"), todo...)
	}
	return staysInside
}
