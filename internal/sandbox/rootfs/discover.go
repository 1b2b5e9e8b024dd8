package rootfs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Names of the runtimes that Discover looks for.
const (
	NodeJS = "nodejs"
	Python = "python"
)

// Runtime is an interpreter found on the host.
type Runtime struct {
	Name    string // NodeJS or Python
	Path    string // of the program, the same inside and outside of a sandbox
	Version string // "20.20.2"
	// Prefix is the directory it is installed in ("/usr"): the program is in
	// Prefix/bin, its library below Prefix/lib.
	Prefix string
}

func (r Runtime) String() string { return r.Name + " " + r.Version }

// Discover finds the interpreters of this machine, at most one of each name. The
// distribution's own come first, then what PATH has, then the usual places of
// version managers. Version managers' stand-ins, which are shell scripts that need
// their owner's home, are passed over for the program they stand for. It runs each
// program once to ask for its version, all at the same time: some 10 ms.
func Discover(ctx context.Context) []Runtime {
	return search{
		path:  filepath.SplitList(os.Getenv("PATH")),
		home:  os.Getenv("HOME"),
		first: []string{"/usr/bin", "/usr/local/bin", "/bin"},
	}.run(ctx)
}

// search says where to look.
type search struct {
	first []string // directories of the distribution
	path  []string // directories of PATH
	home  string   // "" = none
}

func (s search) run(ctx context.Context) []Runtime {
	wanted := []struct {
		name     string
		programs []string
		managed  []string // where version managers put programs, newest last
	}{
		{NodeJS, []string{"node", "nodejs"}, []string{
			".nvm/versions/node/*/bin", ".local/share/fnm/node-versions/*/installation/bin",
			".asdf/installs/nodejs/*/bin", ".volta/tools/image/node/*/bin",
		}},
		{Python, []string{"python3", "python"}, []string{
			".pyenv/versions/3.*/bin", ".asdf/installs/python/3.*/bin",
		}},
	}
	results := make([]chan *Runtime, len(wanted))
	for i, w := range wanted {
		results[i] = make(chan *Runtime, 1)
		go func() { results[i] <- s.find(ctx, w.name, w.programs, w.managed) }()
	}
	var found []Runtime
	for _, c := range results {
		if r := <-c; r != nil {
			found = append(found, *r)
		}
	}
	return found
}

// find returns the first program that is usable.
func (s search) find(ctx context.Context, name string, programs, managed []string) *Runtime {
	dirs := append(append([]string{}, s.first...), s.path...)
	if s.home != "" {
		for _, pattern := range managed {
			matches, _ := filepath.Glob(filepath.Join(s.home, pattern)) // the patterns are well-formed
			for i := len(matches) - 1; i >= 0; i-- {
				dirs = append(dirs, matches[i])
			}
		}
	}
	for _, dir := range dirs {
		for _, program := range programs {
			if r := examine(ctx, name, filepath.Join(dir, program)); r != nil {
				return r
			}
		}
	}
	return nil
}

// examine returns the runtime at path, or nil if there is none to be used.
func examine(ctx context.Context, name, path string) *Runtime {
	if !filepath.IsAbs(path) {
		return nil
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil || !isProgram(real) {
		return nil
	}
	version, err := askVersion(ctx, real)
	if err != nil {
		return nil
	}
	// Major version 2 of Python is another language.
	if name == Python && !strings.HasPrefix(version, "3.") {
		return nil
	}
	return &Runtime{
		Name:    name,
		Path:    real,
		Version: version,
		Prefix:  filepath.Dir(filepath.Dir(real)),
	}
}

// isProgram tells machine code from scripts.
func isProgram(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return false
	}
	var magic [4]byte
	_, err = f.ReadAt(magic[:], 0)
	return err == nil && string(magic[:]) == "\x7fELF"
}

// askVersion runs "program --version": "v20.20.2" (Node), "Python 3.11.2".
func askVersion(ctx context.Context, program string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Env = []string{"LANG=C"}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	word := bytes.Fields(out)
	if len(word) == 0 {
		return "", fmt.Errorf("%s does not tell its version", program)
	}
	return strings.TrimPrefix(string(word[len(word)-1]), "v"), nil
}
