package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// npm installs what package.json depends on, unless node_modules is there. It returns
// the folder to be put into node_modules' place, "" when there is nothing to install.
func (b *Builder) npm(ctx context.Context, dir string) (string, error) {
	manifest, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err == nil {
		return "", nil
	}
	var p map[string]json.RawMessage
	if err := json.Unmarshal(manifest, &p); err != nil {
		return "", fmt.Errorf("%s is not JSON: %w", filepath.Join(dir, "package.json"), err)
	}
	var dependencies map[string]json.RawMessage
	if json.Unmarshal(p["dependencies"], &dependencies); len(dependencies) == 0 {
		return "", nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("package.json names dependencies, node_modules is not there, and npm is not installed; " +
			"run npm install in the folder where npm is, and deploy again")
	}
	// The scripts of the project itself may need files that are not there.
	delete(p, "scripts")
	if manifest, err = json.Marshal(p); err != nil {
		return "", err
	}
	files := map[string][]byte{"package.json": manifest}
	command := []string{"install", "--omit=dev", "--no-audit", "--no-fund", "--no-package-lock"}
	for _, name := range []string{"npm-shrinkwrap.json", "package-lock.json", ".npmrc"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return "", err
		}
		files[name] = text
		if name != ".npmrc" {
			command = []string{"ci", "--omit=dev", "--no-audit", "--no-fund"}
		}
	}
	id := key(manifest, files["npm-shrinkwrap.json"], files["package-lock.json"], []byte(runtime.GOOS+"/"+runtime.GOARCH))
	words := count(len(dependencies), "dependency", "dependencies") + " of package.json"
	done, err := b.install("npm", id, fmt.Sprintf("installing %s: npm %s", words, command[0]), words+": found in the cache", func(work string) error {
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(work, name), text, 0o644); err != nil {
				return err
			}
		}
		if err := b.run(ctx, work, npm, command...); err != nil {
			return fmt.Errorf("npm %s could not install the dependencies of %s: %w", command[0], dir, err)
		}
		return os.MkdirAll(filepath.Join(work, "node_modules"), 0o755)
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(done, "node_modules"), nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
