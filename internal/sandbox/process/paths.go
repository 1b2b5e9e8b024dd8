package process

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"hearth/internal/sandbox"
)

// translator turns paths as seen from inside a sandbox into those of the host.
func translator(s *sandbox.Spec) paths {
	return paths{sandbox.TaskRoot: s.CodeDir, sandbox.RuntimeRoot: s.ShimDir}
}

type paths map[string]string

func (p paths) translate(path string) string {
	for inside, host := range p {
		if host == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(path, inside); ok && (rest == "" || rest[0] == '/') {
			return host + rest
		}
	}
	return path
}

// all translates arguments, and the values of variables ("K=V", or lists "K=V:W").
func (p paths) all(list []string) []string {
	out := make([]string, 0, len(list)+2)
	for _, s := range list {
		if key, value, ok := strings.Cut(s, "="); ok && !strings.HasPrefix(s, "/") {
			parts := strings.Split(value, ":")
			for i := range parts {
				parts[i] = p.translate(parts[i])
			}
			s = key + "=" + strings.Join(parts, ":")
		} else {
			s = p.translate(s)
		}
		out = append(out, s)
	}
	return out
}

// lookPath finds a program in the PATH of env.
func lookPath(program string, env []string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, entry := range env {
		list, ok := strings.CutPrefix(entry, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path, err := exec.LookPath(filepath.Join(dir, program))
			if err == nil && filepath.IsAbs(path) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", strconv.Quote(program), exec.ErrNotFound)
}
