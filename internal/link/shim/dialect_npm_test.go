package shim_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// vendorPackages are the vendors' published libraries that dialects are tested with.
var vendorPackages = []string{"@google-cloud/functions-framework@5.0.5", "@azure/functions@4.16.5"}

// vendorModules is a node_modules directory with vendorPackages. npm fills it once; it
// is kept among the machine's temporary files.
func vendorModules() (string, error) {
	name := strings.NewReplacer("@", "-", "/", "-").Replace(strings.Join(vendorPackages, ""))
	dir := filepath.Join(os.TempDir(), "hearth-test-npm"+name)
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	fresh, err := os.MkdirTemp("", "hearth-test-npm-new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", append([]string{"install", "--prefix", fresh, "--no-audit", "--no-fund", "--ignore-scripts"}, vendorPackages...)...)
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !os.IsExist(err) {
		return "", err // unless another test run was quicker
	}
	_, err = os.Stat(modules)
	return modules, err
}

// with is c with libraries of the vendor in the archive.
func (c checks) with(by, modules string) checks {
	c.by, c.modules = by, modules
	return c
}
