package screen

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Cell is one field of a table.
type Cell struct {
	Text  string
	Style Style
}

// Column is a table's column.
type Column struct {
	Name  string
	Right bool // numbers line up on the right
}

// Table is rows under a header.
type Table struct {
	Title   string
	Columns []Column
	rows    [][]Cell
}

// NewTable makes a table. Column names are shown in capitals; a column whose name
// starts with '>' is set flush right.
func NewTable(columns ...string) *Table {
	t := &Table{}
	for _, name := range columns {
		bare, right := strings.CutPrefix(name, ">")
		t.Columns = append(t.Columns, Column{Name: strings.ToUpper(bare), Right: right})
	}
	return t
}

// Row adds a row. A field is a Cell, or anything that fmt.Sprint can print.
func (t *Table) Row(fields ...any) {
	row := make([]Cell, len(t.Columns))
	for i, f := range fields {
		if c, ok := f.(Cell); ok {
			row[i] = c
		} else {
			row[i] = Cell{Text: fmt.Sprint(f)}
		}
		row[i].Text = OneLine(row[i].Text)
	}
	t.rows = append(t.rows, row)
}

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// TSV is the rows without the header, tab between fields, for cut and awk.
func (t *Table) TSV() string {
	var b strings.Builder
	for _, row := range t.rows {
		for i, c := range row {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(c.Text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Lines is the table laid out in columns, with its title and header, one string per
// line, painted as s can show, each padded to the same width if pad is set.
func (t *Table) Lines(s *Screen, pad bool) []string {
	widths := t.widths()
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	var lines []string
	if t.Title != "" {
		lines = append(lines, s.Paint(Bold, t.Title)+spaces(pad, total-width(t.Title)))
	}
	header := make([]Cell, len(t.Columns))
	for i, c := range t.Columns {
		header[i] = Cell{Text: c.Name, Style: Dim}
	}
	for _, row := range append([][]Cell{header}, t.rows...) {
		lines = append(lines, t.line(s, row, widths, pad))
	}
	return lines
}

func (t *Table) line(s *Screen, row []Cell, widths []int, pad bool) string {
	var b strings.Builder
	for i, c := range row {
		gap := strings.Repeat(" ", widths[i]-width(c.Text))
		text := s.Paint(c.Style, c.Text)
		switch {
		case t.Columns[i].Right:
			b.WriteString(gap + text)
		case i < len(row)-1 || pad:
			b.WriteString(text + gap)
		default:
			b.WriteString(text)
		}
		if i < len(row)-1 {
			b.WriteString("  ")
		}
	}
	return b.String()
}

func (t *Table) widths() []int {
	w := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		w[i] = width(c.Name)
		for _, row := range t.rows {
			w[i] = max(w[i], width(row[i].Text))
		}
	}
	return w
}

// SideBySide joins blocks of lines into columns with a gap between them. Every block
// but the last must be padded (Lines with pad).
func SideBySide(blocks ...[]string) []string {
	rows := 0
	for _, b := range blocks {
		rows = max(rows, len(b))
	}
	lines := make([]string, rows)
	for r := range lines {
		for i, b := range blocks {
			if i > 0 {
				lines[r] += "   │ "
			}
			if r < len(b) {
				lines[r] += b[r]
			} else if len(b) > 0 {
				lines[r] += spaces(i < len(blocks)-1, visible(b[0]))
			}
		}
		lines[r] = strings.TrimRight(lines[r], " ")
	}
	return lines
}

func spaces(want bool, n int) string {
	if !want || n <= 0 {
		return ""
	}
	return strings.Repeat(" ", n)
}

func width(text string) int { return utf8.RuneCountInString(text) }

// visible is the width of text that may hold escape sequences.
func visible(text string) int {
	n, in := 0, false
	for _, r := range text {
		switch {
		case r == '\x1b':
			in = true
		case in:
			in = r != 'm'
		default:
			n++
		}
	}
	return n
}

// OneLine makes text safe to show on one line of a terminal: control characters,
// which could move the cursor or change its colours, become spaces.
func OneLine(text string) string {
	return strings.Map(func(r rune) rune { return visibleOr(r, ' ') }, text)
}

// Safe makes text of several lines safe to show on a terminal: as OneLine, but lines and
// tabs stay.
func Safe(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return visibleOr(r, ' ')
	}, text)
}

// visibleOr is r, or what stands for it if it is a control character.
func visibleOr(r, instead rune) rune {
	if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
		return instead
	}
	return r
}

// Widest is the width of the widest line, without escape sequences.
func Widest(lines []string) int {
	n := 0
	for _, line := range lines {
		n = max(n, visible(line))
	}
	return n
}
