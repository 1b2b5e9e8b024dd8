package project

import (
	"slices"
	"strings"
)

// packaging reads package: of the file or of a function.
func (s *serverless) packaging(o *object) []string {
	pack := o.under("package")
	if pack == nil {
		return nil
	}
	var patterns []string
	pack.used["individually"] = true // each function is packed by its own patterns
	for _, key := range []string{"exclude", "include", "patterns"} {
		e, ok := pack.get(key)
		if !ok {
			continue
		}
		list, _ := s.d.list(e)
		for _, pattern := range list {
			patterns = append(patterns, packPatterns(key, pattern)...)
		}
	}
	pack.used["excludeDevDependencies"] = true // dependencies are installed without them
	if words, e, ok := pack.text("artifact"); ok {
		s.d.problem(e.value, "a ready-made package.artifact is deployed by itself: hearth deploy %s --handler …", words)
	}
	s.ignore(pack.rest())
	return patterns
}

// packPatterns turns a pattern of the framework, which counts from the top and takes
// files only, into those of a .gitignore, where what is below a folder that was left
// out cannot be taken back.
func packPatterns(key, pattern string) (patterns []string) {
	negated := strings.HasPrefix(pattern, "!")
	bare := strings.TrimPrefix(strings.TrimPrefix(pattern, "!"), "./")
	if key == "include" {
		negated = false
	}
	out := key == "exclude" || key == "patterns" && negated
	if key == "exclude" && negated {
		out = false
	}
	for _, one := range braces(bare) {
		one = strings.TrimSuffix(one, "/")
		if one == "" {
			continue
		}
		if !strings.HasPrefix(one, "**/") {
			one = "/" + strings.TrimPrefix(one, "/")
		}
		if out {
			patterns = append(patterns, one)
			continue
		}
		patterns = append(patterns, parents(one)...)
		patterns = append(patterns, "!"+one)
	}
	return patterns
}

// parents takes back the folders on the way to what a pattern names.
func parents(pattern string) (patterns []string) {
	parts := strings.Split(strings.Trim(pattern, "/"), "/")
	for i := 1; i < len(parts); i++ {
		folder := strings.Join(parts[:i], "/") + "/"
		if !strings.HasPrefix(folder, "**/") {
			folder = "/" + folder
		}
		patterns = append(patterns, "!"+folder)
	}
	return slices.Clip(patterns)
}

// braces writes {a,b} out. More than a few alternatives stay as they are.
func braces(pattern string) []string {
	open := strings.IndexByte(pattern, '{')
	end := strings.IndexByte(pattern, '}')
	if open < 0 || end < open || strings.Count(pattern, "{") > 3 {
		return []string{pattern}
	}
	var all []string
	for part := range strings.SplitSeq(pattern[open+1:end], ",") {
		all = append(all, braces(pattern[:open]+part+pattern[end+1:])...)
	}
	return all
}
