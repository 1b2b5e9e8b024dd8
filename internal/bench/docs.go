package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// partsAt is written between the version of a whole run and that of a later one of parts.
const partsAt = ", parts at "

// Merge takes the figures of a later run, of some sections perhaps, into r.
func (r *Report) Merge(later *Report) {
	r.Date, r.Machine, r.Generator = later.Date, later.Machine, later.Generator
	if whole, _, _ := strings.Cut(r.Version, partsAt); whole != later.Version {
		r.Version = whole + partsAt + later.Version
	}
	r.Rounds, r.Seconds = later.Rounds, later.Seconds
	r.Isolation = cmp.Or(later.Isolation, r.Isolation)
	for _, x := range later.Rows {
		if i := slices.IndexFunc(r.Rows, func(old Row) bool { return old.ID == x.ID }); i >= 0 {
			r.Rows[i] = x
		} else {
			r.Rows = append(r.Rows, x)
		}
	}
	for _, c := range later.Contests {
		same := func(old Contest) bool {
			return old.Title == c.Title && old.Connections == c.Connections && old.first() == c.first()
		}
		if i := slices.IndexFunc(r.Contests, same); i >= 0 {
			r.Contests[i] = c
		} else {
			r.Contests = append(r.Contests, c)
		}
	}
	if len(later.Bursts) > 0 {
		r.Bursts = later.Bursts
	}
	if later.Async != nil {
		r.Async = later.Async
	}
}

// first names the first contestant: two contests may have the same title and differ in how
// the function is called.
func (c *Contest) first() string {
	if len(c.Entries) == 0 {
		return ""
	}
	return c.Entries[0].Name
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
