package shim

import (
	"path"
	"strconv"
)

// nodeCommand bounds V8's old generation below the memory limit, so that a leak in
// the handler ends in V8's own out-of-memory report, not in a silent kill.
func nodeCommand(interpreter string, memoryMB int, base string) []string {
	return []string{
		interpreter,
		"--max-old-space-size=" + strconv.Itoa(max(memoryMB*9/10, 64)),
		path.Join(base, "node/main.js"),
	}
}

// pythonCommand: no bytecode beside read-only code, no user site directory.
func pythonCommand(interpreter, base string) []string {
	return []string{interpreter, "-B", "-s", path.Join(base, "python/main.py")}
}
