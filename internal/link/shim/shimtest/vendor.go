package shimtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// NodeModules is a node_modules directory with the vendors' published libraries that
// the dialects are tested with. npm fills it once; it is kept among the machine's
// temporary files. The error tells why npm could not.
func NodeModules() (string, error) {
	packages := []string{"@google-cloud/functions-framework@5.0.5", "@azure/functions@4.16.5"}
	return installed("node_modules", packages, func(ctx context.Context, dir string) *exec.Cmd {
		return exec.CommandContext(ctx, "npm", append([]string{"install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts"}, packages...)...)
	})
}

// Flask is a directory of Python modules with Flask, as Debian packages it for the
// machine's own Python. It is kept as NodeModules is.
func Flask() (string, error) {
	packages := []string{"python3-flask", "python3-werkzeug", "python3-jinja2", "python3-markupsafe", "python3-itsdangerous", "python3-click"}
	return installed("usr/lib/python3/dist-packages", packages, func(ctx context.Context, dir string) *exec.Cmd {
		script := "cd " + dir + " && apt-get download -q " + strings.Join(packages, " ") + " && for p in *.deb; do dpkg-deb -x $p . || exit; done; rm *.deb"
		return exec.CommandContext(ctx, "sh", "-c", script)
	})
}

// installed is the folder below a directory that a command has filled with packages.
func installed(below string, packages []string, fill func(ctx context.Context, dir string) *exec.Cmd) (string, error) {
	name := strings.NewReplacer("@", "", "/", "-").Replace(strings.Join(packages, "-"))
	dir := filepath.Join(os.TempDir(), "hearth-test-"+name)
	modules := filepath.Join(dir, below)
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	fresh, err := os.MkdirTemp("", "hearth-test-new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if out, err := fill(ctx, fresh).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !os.IsExist(err) {
		return "", err // unless another test run was quicker
	}
	_, err = os.Stat(modules)
	return modules, err
}
