package shim_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/reference/dialects as the tests have found them")

const (
	docsDir    = "../../../docs/reference/dialects"
	tableBegin = "<!-- table: written by `go test ./internal/link/shim -run TestDialects -update` -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// found is what the checks of a dialect have found: about, by column, by row.
type found struct {
	columns []string
	rows    []string
	cells   map[string]map[string]bool
}

func (f *found) add(column, about string, ok bool) {
	if f.cells == nil {
		f.cells = map[string]map[string]bool{}
	}
	if f.cells[about] == nil {
		f.cells[about] = map[string]bool{}
		f.rows = append(f.rows, about)
	}
	if len(f.columns) == 0 || f.columns[len(f.columns)-1] != column {
		f.columns = append(f.columns, column)
	}
	f.cells[about][column] = ok
}

// table is what is found as Markdown. A cell stands for both execution models.
func (f *found) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(f.columns, " | "), strings.Repeat("---|", len(f.columns)))
	for _, about := range f.rows {
		fmt.Fprintf(&b, "| %s |", strings.ReplaceAll(about, "|", `\|`))
		for _, column := range f.columns {
			word := ""
			if ok, tested := f.cells[about][column]; tested && ok {
				word = "yes"
			} else if tested {
				word = "no"
			}
			fmt.Fprintf(&b, " %s |", word)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// compare fails the test when the page of a dialect says something else.
func (f *found) compare(t *testing.T, dialect string) {
	t.Helper()
	path := filepath.Join(docsDir, dialect+".md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(page, []byte(tableBegin))
	old, tail, closed := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !closed {
		t.Fatalf("%s has no place for the table, between %q and %q", path, tableBegin, tableEnd)
	}
	table := f.table()
	if string(old) == table {
		return
	}
	if !*update {
		t.Errorf("%s is stale. Run go test ./internal/link/shim -run TestDialects -update. Found:\n%s", path, table)
		return
	}
	if err := os.WriteFile(path, []byte(string(head)+tableBegin+table+tableEnd+string(tail)), 0o644); err != nil {
		t.Error(err)
	}
}
