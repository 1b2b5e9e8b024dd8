package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// RequirementsFile is where a Python project lists its packages.
const RequirementsFile = "requirements.txt"

// provided are packages that Hearth's own runtime stands in for.
func provided() []string { return []string{"functions-framework", "azure-functions"} }

// requirementName is the package that a line of requirements.txt asks for.
var requirementName = regexp.MustCompile(`^\s*([A-Za-z0-9][A-Za-z0-9._-]*)`)

// pip installs what requirements.txt asks for, unless it lies in the folder already.
// It returns the folder whose contents belong beside the code, "" when there is nothing
// to install.
func (b *Builder) pip(ctx context.Context, dir string) (string, error) {
	file := filepath.Join(dir, RequirementsFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	missing := missingPackages(dir, string(text))
	if len(missing) == 0 {
		return "", nil
	}
	vendor := fmt.Sprintf("Where pip can reach an index, run this in %s, and deploy again:\n\n  python3 -m pip install --target . -r %s", dir, RequirementsFile)
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("%s asks for %s, and python3 is not installed here. %s", file, strings.Join(missing, ", "), vendor)
	}
	version, err := exec.CommandContext(ctx, python, "-VV").Output()
	if err != nil {
		return "", fmt.Errorf("%s does not run: %w", python, err)
	}
	words := count(len(missing), "package", "packages") + " of " + RequirementsFile
	return b.install("pip", key(text, version), "installing "+words+": pip install", words+": found in the cache", func(work string) error {
		// In the folder itself: the file may refer to others beside it.
		err := b.run(ctx, dir, python, "-m", "pip", "install", "--target", work, "--requirement", RequirementsFile,
			"--no-input", "--disable-pip-version-check", "--no-compile", "--retries", "1", "--timeout", "10", "--root-user-action", "ignore")
		if err == nil || ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("pip could not install %s: %w\n%s", strings.Join(missing, ", "), err, vendor)
	})
}

// missingPackages are those that requirements.txt names and the folder does not hold.
// A line that names no package (an option, a URL) always counts as missing.
func missingPackages(dir, requirements string) []string {
	held := heldPackages(dir)
	var missing []string
	for line := range strings.Lines(requirements) {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if strings.HasPrefix(line, "--") || strings.HasPrefix(line, "-i") || strings.HasPrefix(line, "-f") {
			continue // an option, such as another index
		}
		m := requirementName.FindStringSubmatch(line)
		if m == nil || !slices.Contains(held, normal(m[1])) && !slices.Contains(provided(), normal(m[1])) {
			missing = append(missing, line)
		}
	}
	return missing
}

// heldPackages are the packages and modules at the top of a folder.
func heldPackages(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".py")
		if base, _, ok := strings.Cut(name, "-"); ok && strings.HasSuffix(name, ".dist-info") {
			name = base
		}
		names = append(names, normal(name))
	}
	return names
}

// normal is a package's name as indexes compare it (PEP 503).
func normal(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
}
