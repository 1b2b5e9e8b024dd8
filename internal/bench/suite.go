package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Config of a run.
type Config struct {
	Binary    string        // the hearth to measure
	Version   string        // of what is measured, for the report
	Rounds    int           // interleaved rounds per figure; 3 when 0
	Duration  time.Duration // of one measurement; 2 s when 0, 1 s when Quick
	Quick     bool          // nothing but requests per second, latency and Python: under a minute
	Only      []string      // the sections to measure; none = all
	Functions int           // called in turn; 1,000 when 0
	Burst     int           // cold functions called at once; 100 when 0
	Peers     string        // folder with the peers that scripts/install.sh --bench installs
	Node      string        // "node" when empty
	Python    string        // "/usr/bin/python3", else "python3", when empty
	Args      []string      // more arguments for `hearth up`
	Progress  io.Writer     // what is being measured right now, or nil
}

func (c *Config) fill() {
	if c.Rounds == 0 {
		c.Rounds = 3
	}
	if c.Duration == 0 {
		c.Duration = 2 * time.Second
		if c.Quick {
			c.Duration = time.Second
		}
	}
	if c.Functions == 0 {
		c.Functions = 1000
	}
	if c.Burst == 0 {
		c.Burst = 100
	}
	if c.Node == "" {
		c.Node = "node"
	}
	if c.Python == "" {
		c.Python = "/usr/bin/python3"
		if _, err := os.Stat(c.Python); err != nil {
			c.Python = "python3"
		}
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
}

// Report holds every figure of a run.
type Report struct {
	Date      string       `json:"date"`
	Version   string       `json:"version"`
	Machine   string       `json:"machine"`
	Isolation string       `json:"isolation"`
	Generator string       `json:"generator"`
	Rounds    int          `json:"rounds"`
	Seconds   float64      `json:"seconds"` // of one measurement
	Rows      []Row        `json:"rows"`
	Contests  []Contest    `json:"contests"`
	Bursts    []Burst      `json:"bursts,omitempty"`
	Async     *AsyncReport `json:"async,omitempty"`
}

// suite is a run under way.
type suite struct {
	ctx      context.Context
	cfg      Config
	dir      string
	platform *platform // the one that most sections share
	node     rival     // the hello handler in plain Node
	report   *Report
	warmed   map[load]bool // what has been under load already
}

// section measures some rows of the table. What it cannot measure it leaves, and the
// reason becomes the note of its rows.
type section struct {
	name  string
	quick bool
	rows  []string // prefixes of the ids of its rows
	run   func(*suite) error
}

func sections() []section {
	return []section{
		{"idle", false, []string{"idle"}, (*suite).idle},
		{"hello", true, []string{"hello", "latency"}, (*suite).hello},
		{"python", true, []string{"python"}, (*suite).python},
		{"payload", false, []string{"payload"}, (*suite).payloads},
		{"exclusive", false, []string{"exclusive"}, (*suite).exclusive},
		{"update", false, []string{"update"}, (*suite).updates},
		{"cold", false, []string{"cold"}, (*suite).cold},
		{"bursts", false, nil, (*suite).bursts},
		{"many", false, []string{"many"}, (*suite).many},
	}
}

// Run measures everything but asynchronous invocation, for which there is RunAsync. It
// takes some minutes; with Quick, less than one.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg.fill()
	dir, err := os.MkdirTemp("", "hearth-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := &suite{ctx: ctx, cfg: cfg, dir: dir, warmed: map[load]bool{}, report: &Report{Date: time.Now().UTC().Format(time.DateOnly),
		Version: cfg.Version, Machine: machine(), Generator: "wrk -t1", Rounds: cfg.Rounds,
		Seconds: cfg.Duration.Seconds(), Rows: aims()}}
	if err := s.sections(); err != nil {
		return nil, err
	}
	return s.report, nil
}

func (s *suite) sections() error {
	defer func() {
		if s.platform != nil {
			_ = s.platform.stop()
			s.node.stop()
		}
	}()
	var rows []Row
	for _, x := range sections() {
		if s.cfg.Quick && !x.quick || len(s.cfg.Only) > 0 && !slices.Contains(s.cfg.Only, x.name) {
			continue
		}
		if x.name != "idle" {
			if err := s.share(); err != nil {
				return err
			}
		}
		if err := x.run(s); err != nil {
			if s.ctx.Err() != nil {
				return context.Cause(s.ctx)
			}
			s.say("%s: %v", x.name, err)
			s.excuse(x.rows, err)
		}
		rows = append(rows, s.of(x.rows)...)
	}
	// In the order of the table, and without what was not asked for.
	s.report.Rows = slices.DeleteFunc(s.report.Rows, func(r Row) bool {
		return !slices.ContainsFunc(rows, func(x Row) bool { return x.ID == r.ID })
	})
	return nil
}

// share starts the platform that most sections use, and plain Node beside it.
func (s *suite) share() (err error) {
	if s.platform != nil {
		return nil
	}
	// Reservations are no limit here: the sections know what the machine holds.
	p, err := s.start("data", "--memory", "1000000")
	if err != nil {
		return err
	}
	if s.node, err = s.startDirect("hello", "path"); err != nil {
		_ = p.stop()
		return err
	}
	s.platform = p
	s.report.Isolation, err = p.isolation()
	return err
}

// start starts a platform with a folder of its own.
func (s *suite) start(folder string, args ...string) (*platform, error) {
	args = append([]string{"--python", s.cfg.Python, "--log-level", "error"}, args...)
	return startPlatform(s.ctx, s.cfg.Binary, filepath.Join(s.dir, folder), append(args, s.cfg.Args...)...)
}

func (s *suite) say(format string, args ...any) {
	fmt.Fprintf(s.cfg.Progress, format+"\n", args...)
}

// row is the row with that id.
func (s *suite) row(id string) *Row {
	for i := range s.report.Rows {
		if s.report.Rows[i].ID == id {
			return &s.report.Rows[i]
		}
	}
	panic("bench: no row " + id)
}

// set records a figure of Hearth and of the other side; value is what the aim is about,
// or 0 to have it computed.
func (s *suite) set(id string, hearth, other, value float64) *Row {
	r := s.row(id)
	r.Hearth, r.Other, r.Value = hearth, other, value
	r.judge()
	return r
}

// of gives the rows whose ids begin with one of prefixes.
func (s *suite) of(prefixes []string) []Row {
	var rows []Row
	for _, r := range s.report.Rows {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(r.ID, p) }) {
			rows = append(rows, r)
		}
	}
	return rows
}

// excuse notes why rows are missing.
func (s *suite) excuse(prefixes []string, err error) {
	for _, r := range s.of(prefixes) {
		if r.Verdict == NotMeasured && r.Note == "" {
			s.row(r.ID).Note, _, _ = strings.Cut(err.Error(), "\n")
		}
	}
}

// pause waits for things to settle.
func (s *suite) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

func machine() string {
	model := ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = ", " + strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d CPUs%s, %s/%s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH)
}

func median[T int | float64 | time.Duration](list []T) T {
	if len(list) == 0 {
		return 0
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}
