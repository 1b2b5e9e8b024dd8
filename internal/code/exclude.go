package code

import (
	"path"
	"strings"
)

// rules are patterns in the order in which they were given; as in .gitignore, the
// last one that matches decides.
type rules []rule

type rule struct {
	parts   []string // of the pattern; "**" stands for any number of folders
	include bool     // began with "!"
	dirOnly bool     // ended with "/"
}

// parseRules reads patterns as .gitignore has them: "*", "?" and "[a-z]" within a
// name, "**" for any folders, a slash at the beginning or in the middle ties the
// pattern to the root, one at its end to folders, and "!" takes back what an earlier
// pattern excluded (though nothing within an excluded folder).
func parseRules(patterns []string) (rules, error) {
	var all rules
	for _, text := range patterns {
		pattern := strings.TrimSpace(text)
		if pattern == "" || strings.HasPrefix(pattern, "#") {
			continue
		}
		var r rule
		pattern, r.include = strings.CutPrefix(pattern, "!")
		pattern, r.dirOnly = strings.CutSuffix(pattern, "/")
		pattern = strings.TrimPrefix(pattern, "./")
		tied := strings.Contains(pattern, "/")
		pattern = strings.TrimPrefix(pattern, "/")
		if !tied {
			pattern = "**/" + pattern
		}
		r.parts = strings.Split(pattern, "/")
		for _, part := range r.parts {
			if _, err := path.Match(part, ""); err != nil || part == "" {
				return nil, refuse("the exclude pattern %q is malformed. Write it as in .gitignore, for instance \"tests/\" or \"**/*.map\"", text)
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// exclude tells whether a path is left out.
func (all rules) exclude(name string, isDir bool) bool {
	parts := strings.Split(name, "/")
	for i := len(all) - 1; i >= 0; i-- {
		r := &all[i]
		if (isDir || !r.dirOnly) && matchParts(r.parts, parts) {
			return !r.include
		}
	}
	return false
}

// matchParts matches name against pattern, part by part. A "**" at the end needs
// something below the folder, as in .gitignore. Time is at most the product of the
// two lengths: after a later "**" an earlier one need not be tried again.
func matchParts(pattern, name []string) bool {
	retryPattern, retryName := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			if p == len(pattern)-1 {
				return true
			}
			p++
			retryPattern, retryName = p, n
		case p < len(pattern) && matchPart(pattern[p], name[n]):
			p++
			n++
		case retryPattern >= 0:
			retryName++
			p, n = retryPattern, retryName
		default:
			return false
		}
	}
	return p == len(pattern)
}

func matchPart(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
