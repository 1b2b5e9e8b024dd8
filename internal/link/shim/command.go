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

// pythonCommand: nothing of the machine's own packages or settings (-I -S), no
// bytecode beside read-only code (-B), UTF-8 whatever the locale.
func pythonCommand(interpreter, base string) []string {
	return []string{interpreter, "-I", "-S", "-B", "-X", "utf8", path.Join(base, "python/main.py")}
}
