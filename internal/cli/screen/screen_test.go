package screen

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNoTerminalNoColour(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range []*Screen{New(&bytes.Buffer{}, os.Getenv), New(f, os.Getenv)} {
		if s.TTY || s.Colour || s.Paint(Red, "x") != "x" {
			t.Errorf("%+v takes a file for a terminal", s)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable("name", ">count")
	table.Title = "things"
	table.Row(Cell{Text: "é", Style: Red}, 7)
	table.Row("two\nlines\x1b[2J", 1234)
	want := []string{"things", "NAME           COUNT", "é                  7", "two lines [2J   1234"}
	if got := table.Lines(&Screen{}, false); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if got, want := table.TSV(), "é\t7\ntwo lines [2J\t1234\n"; got != want {
		t.Errorf("got %q", got)
	}
	if got := table.Lines(&Screen{Colour: true}, false)[2]; got != "\x1b[31mé\x1b[0m                  7" {
		t.Errorf("painted: %q", got)
	}
}

// Whatever is in the cells, with or without colours: padded lines are equally wide,
// and nothing but the table's own escape sequences reaches the terminal.
func TestPaddedLinesAreEquallyWide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := NewTable("a", ">b", "c")
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			table.Row(Cell{Text: rapid.String().Draw(t, "a"), Style: Cyan}, rapid.Int().Draw(t, "b"), rapid.String().Draw(t, "c"))
		}
		plain := table.Lines(&Screen{}, true)
		for i, line := range table.Lines(&Screen{Colour: true}, true) {
			if visible(line) != width(plain[0]) || width(plain[i]) != width(plain[0]) {
				t.Fatalf("line %d is %d wide, painted %d; the first is %d", i, width(plain[i]), visible(line), width(plain[0]))
			}
			if strings.ContainsAny(plain[i], "\x1b\n\r\t\a") {
				t.Fatalf("control characters in %q", plain[i])
			}
		}
	})
}

func TestSideBySide(t *testing.T) {
	got := SideBySide([]string{"ab", "cd", "ef"}, []string{"x"})
	want := []string{"ab   │ x", "cd   │", "ef   │"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	got = SideBySide([]string{"ab"}, []string{"x", "y"})
	want = []string{"ab   │ x", "     │ y"}
	if !slices.Equal(got, want) || Widest(got) != 8 {
		t.Errorf("got %q, %d wide", got, Widest(got))
	}
}

func TestUnits(t *testing.T) {
	for got, want := range map[string]string{
		Duration(0):                        "0",
		Duration(850 * time.Microsecond):   "850 µs",
		Duration(1234 * time.Microsecond):  "1.23 ms",
		Duration(12345 * time.Microsecond): "12.3 ms",
		Duration(512 * time.Millisecond):   "512 ms",
		Duration(2050 * time.Millisecond):  "2.05 s",
		Duration(-2 * time.Second):         "-2.00 s",
		Duration(90 * time.Second):         "1m30s",
		Span(0):                            "0s",
		Span(15 * time.Minute):             "15m",
		Span(90 * time.Minute):             "1h30m",
		Span(26 * time.Hour):               "26h",
		Span(72 * time.Hour):               "3d",
		MB(128):                            "128 MB",
		MB(1024):                           "1 GB",
		MB(1536):                           "1536 MB",
		MB(21695):                          "21.19 GB",
		Bytes(812):                         "812 bytes",
		Bytes(4210):                        "4.21 KB",
		Bytes(13_400_000):                  "13.4 MB",
		Count(1, "file"):                   "1 file",
		Count(2, "file"):                   "2 files",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	now := time.Now()
	if Ago(now, time.Time{}) != "never" || Ago(now, now) != "just now" || Ago(now, now.Add(-time.Minute)) != "1m ago" {
		t.Error("ages are wrong")
	}
}

func TestSafe(t *testing.T) {
	const text = "a\tb\nc\x1b[2Jd\re\x00f\u009b31mg\u2028ü"
	if got, want := Safe(text), "a\tb\nc [2Jd e f 31mg\u2028ü"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := OneLine(text), "a b c [2Jd e f 31mg\u2028ü"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
