package cli

import (
	"fmt"
	"io"
	"slices"

	"hearth/internal/cli/project"
	"hearth/internal/cli/screen"
)

// projectDoc is what deploy -o json says about the project's file.
type projectDoc struct {
	File    string            `json:"file,omitempty"`
	Vendor  string            `json:"vendor,omitempty"`
	Service string            `json:"service,omitempty"`
	Ignored []project.Ignored `json:"ignored"`
}

func projectDocOf(p *project.Project) projectDoc {
	return projectDoc{p.File, p.Vendor, p.Service, append([]project.Ignored{}, p.Ignored...)}
}

// aside is where words go that are not the command's result: with it for people,
// beside it for programs.
func (a *app) aside() io.Writer {
	if a.format == formatTSV || a.json() {
		return a.err
	}
	return a.out
}

// printProject says what another platform's file was understood to be.
func (a *app) printProject(p *planned) {
	if p.project.Vendor == "" || a.json() {
		return
	}
	service := ""
	if p.project.Service != "" {
		service = ", service " + p.project.Service
	}
	fmt.Fprintf(a.aside(), "%s: %s%s, %s\n"+a.gap(), p.project.File, p.project.Vendor, service, screen.Count(len(p.plans), "function"))
}

// gap is an empty line between what is told and the functions, where these go to the same place.
func (a *app) gap() string {
	if a.aside() == a.err {
		return ""
	}
	return "\n"
}

// printIgnored lists what the file says and Hearth made no use of.
func (a *app) printIgnored(p *project.Project) {
	if len(p.Ignored) == 0 {
		return
	}
	ignored := slices.Clone(p.Ignored)
	slices.SortStableFunc(ignored, func(a, b project.Ignored) int { return a.Line - b.Line })
	w := a.aside()
	fmt.Fprintf(w, a.gap()+"Not used of %s:\n", p.File)
	for _, i := range ignored {
		fmt.Fprintf(w, "  %s\n", i)
	}
}
