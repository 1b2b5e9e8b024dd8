// Package screen prints for people: tables and colours on a terminal, plain
// tab-separated text anywhere else.
package screen

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Screen is somewhere to print, and what it can show. It is not safe for use by
// several goroutines at once.
type Screen struct {
	io.Writer
	// TTY says that a person is looking; Colour that escape sequences are welcome.
	TTY, Colour bool
	// Width is the terminal's width in columns, or 0 when it has none.
	Width int
}

// New looks at what w is. NO_COLOR (any value) and TERM=dumb switch colours off.
func New(w io.Writer, getenv func(string) string) *Screen {
	s := &Screen{Writer: w}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.TTY = true
	s.Colour = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		s.Width = width
	}
	return s
}

// IsTerminal tells whether r is a terminal that a person may type at.
func IsTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Style is how a piece of text looks: an ANSI "select graphic rendition" code.
type Style string

// Styles.
const (
	Plain   Style = ""
	Bold    Style = "1"
	Dim     Style = "2"
	Red     Style = "31"
	Green   Style = "32"
	Yellow  Style = "33"
	Blue    Style = "34"
	Magenta Style = "35"
	Cyan    Style = "36"
	BoldRed Style = "1;31"
)

// Paint gives text a style where colours are welcome, and leaves it alone elsewhere.
func (s *Screen) Paint(style Style, text string) string {
	if !s.Colour || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}
