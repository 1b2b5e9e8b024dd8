package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hearth/internal/cli/screen"
)

// Values of --output.
const (
	formatAuto  = "auto"
	formatTable = "table"
	formatTSV   = "tsv"
	formatJSON  = "json"
)

func formats() []string { return []string{formatAuto, formatTable, formatTSV, formatJSON} }

// checkFormat settles auto: a table for people, tab-separated values for pipes.
func (a *app) checkFormat() error {
	if !slices.Contains(formats(), a.format) {
		return usagef("--output %q is not one of %s", a.format, strings.Join(formats(), ", "))
	}
	if a.format == formatAuto {
		a.format = formatTSV
		if a.out.TTY {
			a.format = formatTable
		}
	}
	return nil
}

func (a *app) json() bool { return a.format == formatJSON }

// printJSON prints v for programs: indented on a terminal, compact elsewhere.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	if a.out.TTY {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

// printTable prints t as the format says. An empty table on a terminal is the
// sentence empty.
func (a *app) printTable(t *screen.Table, empty string) error {
	if a.format == formatTSV {
		_, err := fmt.Fprint(a.out, t.TSV())
		return err
	}
	if t.Len() == 0 {
		_, err := fmt.Fprintln(a.out, empty)
		return err
	}
	for _, line := range t.Lines(a.out, false) {
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	return nil
}

// field is one line of a description: a name and what to say about it.
type field struct {
	name  string
	value string
}

// printFields prints a description, names in one column.
func (a *app) printFields(fields []field) error {
	if a.format == formatTSV {
		t := screen.NewTable("field", "value")
		for _, f := range fields {
			t.Row(f.name, f.value)
		}
		return a.printTable(t, "")
	}
	wide := 0
	for _, f := range fields {
		wide = max(wide, len(f.name))
	}
	for _, f := range fields {
		name := a.out.Paint(screen.Dim, fmt.Sprintf("%-*s", wide, f.name))
		if _, err := fmt.Fprintf(a.out, "%s  %s\n", name, f.value); err != nil {
			return err
		}
	}
	return nil
}
