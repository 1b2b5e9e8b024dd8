package worker

import (
	"fmt"
	"sync"

	"hearth/internal/hearth"
	"hearth/internal/link/shim"
)

// program is the platform's own program among the shims, for custom runtimes. It is
// put there when the first instance needs it.
type program struct {
	mu      sync.Mutex
	written bool
}

func (p *program) write(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.written {
		return nil
	}
	err := shim.WriteProgram(dir)
	p.written = err == nil
	return err
}

// interpreter is the path of what runs a language here; custom runtimes need none.
func (w *Worker) interpreter(language string) (string, error) {
	if language == hearth.LangCustom {
		return "", w.program.write(w.cfg.ShimDir)
	}
	path, ok := w.cfg.Interpreters[language]
	if !ok {
		return "", fmt.Errorf("this machine has no interpreter for %s; install one and restart Hearth", language)
	}
	return path, nil
}
