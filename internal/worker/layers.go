package worker

import (
	"os"
	"path/filepath"

	"hearth/internal/hearth"
)

// layers is the folder of a custom runtime's code that its sandbox sees as /opt, where
// Lambda puts layers; empty if there is none. A link would be the owner's way to a
// directory of the host's.
func layers(language, codeDir string) string {
	dir := filepath.Join(codeDir, "opt")
	if info, err := os.Lstat(dir); language != hearth.LangCustom || err != nil || !info.IsDir() {
		return ""
	}
	return dir
}
