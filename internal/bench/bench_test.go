package bench

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const wrkReport = `Running 2s test @ http://127.0.0.1:19801/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    19.74ms   60.09ms 449.38ms   92.69%
    Req/Sec    18.65k     5.80k   25.70k    80.00%
  Latency Distribution
     50%    1.92ms
     75%    5.18ms
     90%   34.63ms
     99%  343.11ms
  37226 requests in 2.01s, 5.08MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:  18520.97
Transfer/sec:      2.53MB
`

func TestWrkReport(t *testing.T) {
	got, err := parseWrk(wrkReport)
	if err != nil {
		t.Fatal(err)
	}
	want := measured{PerSecond: 18520.97, P50: 1920 * time.Microsecond, P99: 343110 * time.Microsecond, Errors: 7, Requests: 37226}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := parseWrk("unable to connect"); err == nil {
		t.Error("a report without figures passes")
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		row  Row
		want Verdict
		text string
	}{
		{Row{Unit: "req/s", Aim: atLeast(1.3), Hearth: 130, Other: 100}, Met, "1.30"},
		{Row{Unit: "req/s", Aim: atLeast(1.3), Hearth: 129, Other: 100}, Missed, "1.29"},
		{Row{Unit: "req/s", Aim: atLeast(1.3), Hearth: 200, Other: 100, Value: 1.2}, Missed, "1.20"}, // the rounds say so
		{Row{Unit: "ms", Aim: atMost(0.15), Hearth: 6, Other: 40}, Met, "0.15"},
		{Row{Unit: "ms", Aim: atMost(0.15), Hearth: 7, Other: 40}, Missed, "0.17"},
		{Row{Unit: "µs", Aim: within(30), Hearth: 60, Other: 30}, Met, "+30 µs"},
		{Row{Unit: "µs", Aim: within(30), Hearth: 61, Other: 30}, Missed, "+31 µs"},
		{Row{Unit: "µs", Aim: within(30), Hearth: 20, Other: 30}, Met, "-10 µs"},
		{Row{Unit: "MB", Aim: below(60), Hearth: 60.5}, Missed, "60.5 MB"},
	} {
		c.row.judge()
		if c.row.Verdict != c.want || c.row.value() != c.text {
			t.Errorf("%+v: %s, %s", c.row, c.row.Verdict, c.row.value())
		}
	}
}

// Every row belongs to a section, so that none stays out of the table.
func TestEveryAimIsMeasured(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range aims() {
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
		if r.Verdict != NotMeasured {
			t.Errorf("%s is %s before it is measured", r.ID, r.Verdict)
		}
		if !slices.ContainsFunc(sections(), func(s section) bool {
			return slices.ContainsFunc(s.rows, func(p string) bool { return strings.HasPrefix(r.ID, p) })
		}) {
			t.Errorf("no section measures %s", r.ID)
		}
	}
}

func TestMedians(t *testing.T) {
	a := &Entry{runs: []measured{{PerSecond: 100}, {PerSecond: 300}, {PerSecond: 90}}}
	b := &Entry{runs: []measured{{PerSecond: 50}, {PerSecond: 100}, {PerSecond: 90}}}
	if got := overRounds(a, b, func(a, b measured) float64 { return a.PerSecond / b.PerSecond }); got != 2 {
		t.Errorf("median of 2, 3 and 1: %v", got)
	}
	m := middle([]measured{{P50: 3, Requests: 1, Errors: 1, ServerCPU: 9}, {P50: 1, Requests: 2, ServerCPU: 8}, {P50: 2, Requests: 3, Errors: 2, ServerCPU: 1}})
	if m.P50 != 2 || m.Requests != 6 || m.Errors != 3 || m.ServerCPU != 8 {
		t.Errorf("%+v", m)
	}
}

// report is a small one, for what is made of reports.
func report() *Report {
	r := &Report{Date: "2026-01-02", Version: "v1", Machine: "2 CPUs <x>", Isolation: "runc", Generator: "wrk -t1", Rounds: 3, Seconds: 2,
		Rows: aims(), Contests: []Contest{{Title: "hello, Node", Connections: 64, Reference: inNode, Entries: []Entry{
			{Name: byURL, measured: measured{PerSecond: 60000, P50: 1e6, P99: 3e6, ServerCPU: 12, FunctionCPU: 6}, Ratio: 1.2},
			{Name: inNode, measured: measured{PerSecond: 50000, P50: 1e6, P99: 3e6, ServerCPU: 13}, Ratio: 1},
		}}}}
	s := &suite{report: r}
	s.set("hello-url-64", 60000, 50000, 1.2)
	s.set("idle-memory", 33, 0, 0)
	return r
}

func TestChartIsXML(t *testing.T) {
	chart := report().Chart()
	for d := xml.NewDecoder(strings.NewReader(chart)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, chart)
		}
	}
	for _, want := range []string{"60.0 k/s (1.20)", "2 CPUs &lt;x&gt;", byURL} {
		if !strings.Contains(chart, want) {
			t.Errorf("the chart does not say %q", want)
		}
	}
	if chart := (&Report{}).Chart(); chart != "" {
		t.Errorf("a chart of nothing: %s", chart)
	}
}

func TestTables(t *testing.T) {
	r := report()
	for name, text := range map[string]string{"table": r.Table(), "page": r.Markdown(), "README": r.Readme("x.svg")} {
		for _, want := range []string{"60.0 k/s", "1.20", "≥ 1.3", "missed", "33.0 MB", "1 of 2 aims"} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s does not say %q:\n%s", name, want, text)
			}
		}
	}
}

// What is written to disk comes back the same, and the pages keep what is around the
// figures.
func TestWriteDocs(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	pages := []string{"README.md", "docs/benchmarks.md"}
	for _, page := range pages {
		if err := os.WriteFile(filepath.Join(root, page), []byte("before\n"+beginMark+"\nstale\n"+endMark+"\nafter\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := report()
	for range 2 { // the second time changes nothing
		if err := r.WriteDocs(root); err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		s := string(text)
		if !strings.HasPrefix(s, "before\n"+beginMark+"\n\n") || !strings.HasSuffix(s, "\n\n"+endMark+"\nafter\n") ||
			strings.Contains(s, "stale") || strings.Count(s, "1.20") == 0 {
			t.Errorf("%s: %s", page, s)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "docs/benchmarks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Markdown() != r.Markdown() || back.Chart() != r.Chart() {
		t.Errorf("what is read says something else:\n%s", back.Markdown())
	}
}

// A later run of one section replaces what it measured and leaves the rest.
func TestMerge(t *testing.T) {
	r := report()
	rows := len(r.Rows)
	later := &Report{Version: "v2", Rows: []Row{{ID: "idle-memory", Unit: "MB", Aim: below(60), Hearth: 70, Value: 70, Verdict: Missed}},
		Contests: []Contest{
			{Title: "hello, Node", Connections: 64, Entries: []Entry{{Name: byURL, Ratio: 9}}},
			{Title: "hello, Node", Connections: 16, Entries: []Entry{{Name: byURL, Ratio: 8}}},
		}}
	r.Merge(later)
	if len(r.Rows) != rows || len(r.Contests) != 2 || r.Contests[0].Entries[0].Ratio != 9 || r.Version != "v1, parts at v2" || r.Isolation != "runc" {
		t.Errorf("%+v", r)
	}
	if met, measured := r.count(); met != 0 || measured != 2 {
		t.Errorf("%d of %d", met, measured)
	}
}

func TestNoPlaceForFigures(t *testing.T) {
	for _, page := range []string{"", beginMark, endMark, endMark + beginMark} {
		if got, err := splice(page, "x"); err == nil {
			t.Errorf("%q became %q", page, got)
		}
	}
}

// The costs of this very process.
func TestCosts(t *testing.T) {
	me := os.Getpid()
	if !slices.Contains(tree(os.Getppid()), me) {
		t.Error("a parent's tree lacks its child")
	}
	if rss, pss := resident(me), proportional([]int{me}); pss <= 0 || pss > 2*rss {
		t.Errorf("RSS %d KB, PSS %d KB", rss, pss)
	}
	before := cpuTime([]int{me})
	for deadline := time.Now().Add(10 * time.Second); cpuTime([]int{me}) == before; {
		if time.Now().After(deadline) {
			t.Fatal("ten seconds of work cost no processor time")
		}
	}
	if f := statFields("12 (a) b) S 1 2"); len(f) != 3 || f[0] != "S" {
		t.Errorf("%q", f)
	}
}
