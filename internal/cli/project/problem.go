package project

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong, and where: line and column count from 1, the
// column in characters.
type Problem struct {
	Line, Col int
	Message   string
	// File is where it is, when that is not the Error's own file but one it includes.
	File string
}

// Error is everything that is wrong in a project's file and in those it includes.
type Error struct {
	Path     string
	Source   []byte            // lines end in \n
	Problems []Problem         // never empty; in the order of the file
	Included map[string][]byte // the sources of Problem.File
}

// maxProblems bounds how many problems are told at once: one slip may cause many.
const maxProblems = 8

// Error tells each problem as path:line:col: message, with the line and a caret.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == maxProblems {
			fmt.Fprintf(&b, "and %d more\n", len(e.Problems)-i)
			break
		}
		file, source := e.Path, e.Source
		if p.File != "" {
			file, source = p.File, e.Included[p.File]
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s\n", file, p.Line, p.Col, p.Message)
		b.WriteString(excerpt(source, p))
	}
	return strings.TrimRight(b.String(), "\n")
}

// excerpt is the line that p is about, with a caret under the place.
func excerpt(source []byte, p Problem) string {
	lines := strings.Split(string(source), "\n")
	if p.Line < 1 || p.Line > len(lines) {
		return ""
	}
	line := printable(lines[p.Line-1])
	if line == "" || utf8.RuneCountInString(line) > 160 {
		return ""
	}
	before := []rune(line)[:min(max(p.Col-1, 0), utf8.RuneCountInString(line))]
	margin := fmt.Sprintf("%5d | ", p.Line)
	return fmt.Sprintf("%s%s\n%s%s^\n", margin, line,
		strings.Repeat(" ", len(margin)-2)+"| ", strings.Repeat(" ", len(before)))
}

// printable keeps a line from moving the caret or the terminal.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, line)
}
