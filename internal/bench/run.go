package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"hearth/internal/hearth"
)

// Config of a run.
type Config struct {
	Binary   string        // the hearth to measure
	Rounds   int           // interleaved rounds per figure; 3 when 0
	Duration time.Duration // of one measurement; 3 s when 0
	Args     []string      // more arguments for `hearth up`
	Progress io.Writer     // what is being measured right now, or nil
}

// Report holds every figure of a run.
type Report struct {
	Machine   string       `json:"machine"`
	Isolation string       `json:"isolation"`
	Rounds    int          `json:"rounds"`
	Hello     []Comparison `json:"hello"`
	Bursts    []Burst      `json:"bursts"`
	Idle      Idle         `json:"idle"`
}

// Comparison is one row: Hearth and the plain server at one number of connections.
type Comparison struct {
	Connections int      `json:"connections"`
	Hearth      measured `json:"hearth"` // medians over the rounds
	Direct      measured `json:"direct"`
	Ratio       float64  `json:"ratio"` // median of the rounds' ratios of requests per second
}

// Burst is what ten calls at once did to one execution model.
type Burst struct {
	Model     hearth.Model  `json:"model"`
	Calls     int           `json:"calls"`
	Instances int           `json:"instances"`
	P50       time.Duration `json:"p50"`
	Max       time.Duration `json:"max"`
	UsedMB    int           `json:"usedMB"`
	Reserved  int           `json:"reservedMB"`
}

// Idle is what the platform costs when it does nothing.
type Idle struct {
	ResidentMB int           `json:"residentMB"`
	Ready      time.Duration `json:"ready"` // process start to healthy; median of the rounds
}

func (c *Config) fill() {
	if c.Rounds == 0 {
		c.Rounds = 3
	}
	if c.Duration == 0 {
		c.Duration = 3 * time.Second
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
}

// Run measures everything but asynchronous invocation, for which there is RunAsync. It
// takes about a minute with the defaults.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg.fill()
	dir, err := os.MkdirTemp("", "hearth-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &Report{Machine: machine(), Rounds: cfg.Rounds}
	if r.Idle, err = measureIdle(ctx, cfg, dir); err != nil {
		return nil, err
	}
	p, err := startPlatform(ctx, cfg.Binary, filepath.Join(dir, "data"), cfg.Args...)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if r.Isolation, err = p.isolation(); err != nil {
		return nil, err
	}
	if r.Hello, err = measureHello(ctx, cfg, p, dir); err != nil {
		return nil, err
	}
	for _, model := range []hearth.Model{hearth.Concurrent, hearth.Exclusive} {
		fmt.Fprintf(cfg.Progress, "ten calls at once, %s\n", model)
		b, err := measureBurst(p, model, 10)
		if err != nil {
			return nil, err
		}
		r.Bursts = append(r.Bursts, b)
	}
	return r, nil
}

func machine() string {
	return fmt.Sprintf("%d CPUs, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}

func (p *platform) status() (hearth.Status, error) {
	var s hearth.Status
	text, err := p.call("/hearth/v1/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

func (p *platform) isolation() (string, error) {
	s, err := p.status()
	return s.Isolation, err
}

// measureIdle starts a fresh platform a few times and reads what it costs.
func measureIdle(ctx context.Context, cfg Config, dir string) (Idle, error) {
	var idle Idle
	var ready []time.Duration
	for i := range cfg.Rounds {
		fmt.Fprintf(cfg.Progress, "start to ready, round %d\n", i+1)
		p, err := startPlatform(ctx, cfg.Binary, filepath.Join(dir, fmt.Sprintf("idle%d", i)), cfg.Args...)
		if err != nil {
			return idle, err
		}
		s, err := p.status()
		if err2 := p.stop(); err == nil {
			err = err2
		}
		if err != nil {
			return idle, err
		}
		ready = append(ready, p.Ready)
		idle.ResidentMB = max(idle.ResidentMB, s.ResidentMB)
	}
	idle.Ready = median(ready)
	return idle, nil
}

// measureHello runs the hello handler behind Hearth and in a plain server in turn.
func measureHello(ctx context.Context, cfg Config, p *platform, dir string) ([]Comparison, error) {
	err := p.deploy("hello", "hello", map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": 256, "model": hearth.Concurrent, "maxConcurrency": 512, "timeout": "10s"})
	if err != nil {
		return nil, err
	}
	direct, directURL, err := startDirect(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer direct.stop()
	if _, err := p.call("/fn/hello/"); err != nil {
		return nil, err
	}
	var rows []Comparison
	for _, c := range []int{1, 16, 64, 256} {
		row, err := compare(ctx, cfg, c, p.URL+"/fn/hello/", directURL)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func compare(ctx context.Context, cfg Config, connections int, ours, theirs string) (Comparison, error) {
	row := Comparison{Connections: connections}
	var hearths, directs []measured
	var ratios []float64
	for round := range cfg.Rounds {
		fmt.Fprintf(cfg.Progress, "hello at %d connections, round %d\n", connections, round+1)
		h, err := wrk(ctx, load{URL: ours, Connections: connections, Duration: cfg.Duration})
		if err != nil {
			return row, err
		}
		d, err := wrk(ctx, load{URL: theirs, Connections: connections, Duration: cfg.Duration})
		if err != nil {
			return row, err
		}
		hearths, directs = append(hearths, h), append(directs, d)
		ratios = append(ratios, h.PerSecond/d.PerSecond)
	}
	row.Hearth, row.Direct, row.Ratio = middle(hearths), middle(directs), median(ratios)
	return row, nil
}

// middle takes the median of each figure by itself; errors add up.
func middle(runs []measured) measured {
	var m measured
	var rate []float64
	var p50, p99 []time.Duration
	for _, r := range runs {
		rate, p50, p99 = append(rate, r.PerSecond), append(p50, r.P50), append(p99, r.P99)
		m.Errors += r.Errors
	}
	m.PerSecond, m.P50, m.P99 = median(rate), median(p50), median(p99)
	return m
}

func median[T int | float64 | time.Duration](list []T) T {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}

// measureBurst fires calls at once at a fresh function and looks at what served them.
func measureBurst(p *platform, model hearth.Model, calls int) (Burst, error) {
	name := "burst-" + string(model)
	b := Burst{Model: model, Calls: calls}
	err := p.deploy(name, "burst", map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": 256, "model": model, "maxConcurrency": calls, "timeout": "30s"})
	if err != nil {
		return b, err
	}
	took, served, err := p.burst(name, calls)
	if err != nil {
		return b, err
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	b.Instances, b.P50, b.Max = len(served), took[len(took)/2], took[len(took)-1]
	var list struct{ Instances []hearth.InstanceInfo }
	text, err := p.call("/hearth/v1/instances?function=" + name)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return b, err
	}
	for _, i := range list.Instances {
		b.UsedMB += i.UsedMB
		b.Reserved += i.MemoryMB
	}
	return b, nil
}

// burst makes n calls at once: how long each took, and the numbers each instance
// gave out.
func (p *platform) burst(name string, n int) ([]time.Duration, map[string][]int, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var first error
	took := make([]time.Duration, n)
	served := map[string][]int{}
	for i := range n {
		wg.Go(func() {
			begin := time.Now()
			text, err := p.call("/fn/" + name + "/")
			took[i] = time.Since(begin)
			var answer struct {
				Instance   string
				Invocation int
			}
			if err == nil {
				err = json.Unmarshal(text, &answer)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
			}
			served[answer.Instance] = append(served[answer.Instance], answer.Invocation)
		})
	}
	wg.Wait()
	return took, served, first
}

// Markdown renders the report for docs/benchmarks.md.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s; isolation `%s`; load generator `wrk -t1`; medians of %d interleaved rounds.\n\n",
		r.Machine, r.Isolation, r.Rounds)
	b.WriteString("| hello, Node, `concurrent`, warm | Hearth req/s | plain Node req/s | ratio | Hearth p50 | plain p50 | Hearth p99 | plain p99 | errors |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range r.Hello {
		fmt.Fprintf(&b, "| c=%d | %.0f | %.0f | %.2f | %v | %v | %v | %v | %d |\n", c.Connections,
			c.Hearth.PerSecond, c.Direct.PerSecond, c.Ratio, c.Hearth.P50, c.Direct.P50, c.Hearth.P99, c.Direct.P99, c.Hearth.Errors)
	}
	b.WriteString("\n| ten calls at once, 2 s of waiting each | instances | p50 | slowest | memory used | memory reserved |\n|---|---|---|---|---|---|\n")
	for _, x := range r.Bursts {
		fmt.Fprintf(&b, "| `%s` | %d | %v | %v | %d MB | %d MB |\n", x.Model, x.Instances,
			x.P50.Round(time.Millisecond), x.Max.Round(time.Millisecond), x.UsedMB, x.Reserved)
	}
	fmt.Fprintf(&b, "\n| idle platform | |\n|---|---|\n| resident memory | %d MB |\n| start of the process to healthy | %v |\n",
		r.Idle.ResidentMB, r.Idle.Ready.Round(time.Millisecond))
	return b.String()
}
