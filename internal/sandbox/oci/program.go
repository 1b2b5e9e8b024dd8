package oci

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hearth/internal/sandbox"
)

// defaultPath is where a command without a slash is looked for when the environment
// does not say.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// checkProgram tells before anything is made whether the sandbox would find its
// command: init could only say so after it has started.
func (d *Driver) checkProgram(s *sandbox.Spec) error {
	name := s.Args[0]
	if strings.Contains(name, "/") {
		if d.executable(s, name) {
			return nil
		}
		return fmt.Errorf("start sandbox %s: there is no program %s inside", s.ID, name)
	}
	search := ""
	for _, variable := range s.Env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			search = value
		}
	}
	for _, dir := range filepath.SplitList(cmp.Or(search, defaultPath)) {
		if d.executable(s, filepath.Join(dir, name)) {
			return nil
		}
	}
	return fmt.Errorf("start sandbox %s: there is no program %s in %s", s.ID, name, cmp.Or(search, defaultPath))
}

// executable looks at a path as it will be inside.
func (d *Driver) executable(s *sandbox.Spec, path string) bool {
	host := filepath.Join(d.root.Path(), path)
	for inside, outside := range map[string]string{sandbox.TaskRoot: s.CodeDir, sandbox.RuntimeRoot: s.ShimDir} {
		if rest, ok := strings.CutPrefix(path, inside+"/"); ok && outside != "" {
			host = filepath.Join(outside, rest)
		}
	}
	info, err := os.Stat(host)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
