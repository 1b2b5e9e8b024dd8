package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// WriteDocs writes the figures below root, a checkout of Hearth: docs/benchmarks.json and
// docs/benchmarks.svg, and between their marks docs/benchmarks.md and README.md.
func (r *Report) WriteDocs(root string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "docs/benchmarks.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	chart := r.Chart()
	if chart == "" {
		return fmt.Errorf("the requests per second of hello were not measured: there is no chart")
	}
	if err := os.WriteFile(filepath.Join(root, "docs/benchmarks.svg"), []byte(chart), 0o644); err != nil {
		return err
	}
	page := "![Requests per second of a hello function](benchmarks.svg)\n\n" + r.Markdown()
	if err := spliceFile(filepath.Join(root, "docs/benchmarks.md"), page); err != nil {
		return err
	}
	return spliceFile(filepath.Join(root, "README.md"), r.Readme("docs/benchmarks.svg"))
}

// Marks in pages, between which figures are written.
const (
	beginMark = "<!-- figures -->"
	endMark   = "<!-- /figures -->"
)

func spliceFile(file, figures string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page, err := splice(string(text), figures)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(page), 0o644)
}

// splice puts figures between the marks of a page.
func splice(page, figures string) (string, error) {
	head, rest, begun := strings.Cut(page, beginMark)
	_, tail, ended := strings.Cut(rest, endMark)
	if !begun || !ended {
		return "", fmt.Errorf("there is no place for figures: want %s and, after it, %s", beginMark, endMark)
	}
	return head + beginMark + "\n\n" + strings.TrimSpace(figures) + "\n\n" + endMark + tail, nil
}
