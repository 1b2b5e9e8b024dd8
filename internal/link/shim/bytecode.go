package shim

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// CompilePython writes bytecode beside the Python shim below dir, where Write has put
// it, so that the interpreters in sandboxes need not compile the shim at every start:
// that halves the time to READY. Nothing depends on it, and a later Write makes old
// bytecode invalid. It blocks for as long as an interpreter runs, some 50 ms.
func CompilePython(ctx context.Context, interpreter, dir string) error {
	tree := filepath.Join(dir, "python")
	if _, err := os.Stat(tree); err != nil { // compileall takes no notice
		return fmt.Errorf("compile the Python shim: %w", err)
	}
	command := exec.CommandContext(ctx, interpreter, "-I", "-S", "-m", "compileall", "-q", tree)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the Python shim: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
