package shim

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Program is the name under which WriteProgram puts this program.
const Program = "hearth"

// WriteProgram copies the program that runs into dir, where sandboxes find it: what
// stands between frames and the Runtime API is the platform itself. It blocks on the
// disk; where the file system can, the copy shares its blocks with the original.
func WriteProgram(dir string) error {
	target := filepath.Join(dir, Program)
	if err := copyProgram(target + ".new"); err != nil {
		return fmt.Errorf("copy the platform's program for sandboxes: %w", err)
	}
	return os.Rename(target+".new", target)
}

func copyProgram(target string) (err error) {
	// Not by its name: it may have been replaced since it was started.
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	if err := to.Chmod(0o755); err != nil { // whatever the umask took away
		to.Close()
		return err
	}
	return to.Close()
}
