package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hearth/internal/cli/build"
	"hearth/internal/cli/project"
	"hearth/internal/cli/screen"
	"hearth/internal/code"
	"hearth/internal/hearth"
)

// packer makes the archives of one deployment. Functions with the same code share one.
type packer struct {
	*app
	project *project.Project
	packed  map[string]*pack
	staged  map[string]*build.Staged // a folder's code with its dependencies
}

// close removes the copies that were made to be packed.
func (k *packer) close() {
	for _, s := range k.staged {
		if err := s.Close(); err != nil {
			fmt.Fprintf(k.err, "hearth: %v\n", err)
		}
	}
}

// pack makes the archive of the function's code. The project's own files stay out of
// it: they are about the code, and a new setting is not new code.
func (k *packer) pack(ctx context.Context, p *plan, dir string) error {
	from := filepath.Join(dir, filepath.FromSlash(p.Code))
	info, err := os.Stat(from)
	if err != nil {
		return usagef("the code of %s, %s, is not there", p.Name, from)
	}
	if !info.IsDir() {
		return p.read(from)
	}
	language := languageOf(p, from)
	key := from + "\x00" + language + "\x00" + strings.Join(p.Exclude, "\x00")
	if k.packed[key] == nil {
		whole, err := k.stage(ctx, from, language)
		if err != nil {
			return err
		}
		archive, summary, err := code.Pack(whole.Dir, append(append([]string{}, k.project.Exclude...), p.Exclude...))
		if err != nil {
			return usagef("%w", err)
		}
		k.packed[key] = &pack{archive, summary.Files}
	}
	p.archive, p.files = k.packed[key].archive, k.packed[key].files
	return p.complete(os.DirFS(from), from)
}

// stage is the folder with its dependencies.
func (k *packer) stage(ctx context.Context, from, language string) (*build.Staged, error) {
	key := from + "\x00" + language
	if s := k.staged[key]; s != nil {
		return s, nil
	}
	b := build.Builder{Cache: k.cacheDir(), Say: func(line string) { fmt.Fprintln(k.err, k.err.Paint(screen.Dim, line)) }}
	s, err := b.Stage(ctx, from, language)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, usagef("%w", err)
	}
	k.staged[key] = s
	return s, nil
}

// cacheDir is where installed packages are kept.
func (a *app) cacheDir() string {
	dir := a.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(dir) {
		if dir = a.Getenv("HOME"); dir == "" {
			return filepath.Join(os.TempDir(), fmt.Sprintf("hearth-cache-%d", os.Geteuid()))
		}
		dir = filepath.Join(dir, ".cache")
	}
	return filepath.Join(dir, "hearth")
}

// languageOf is the language of a function about which more may still be guessed.
func languageOf(p *plan, from string) string {
	runtime := ""
	if p.Patch.Runtime != nil {
		runtime = *p.Patch.Runtime
	} else if g, err := project.GuessFrom(os.DirFS(from)); err == nil {
		runtime = g.Runtime
	}
	language, err := hearth.Language(runtime)
	if err != nil {
		return ""
	}
	return language
}
