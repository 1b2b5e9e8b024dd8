package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hearth/internal/hearth"
)

// Profile says where the time of a request goes.
type Profile struct {
	Date      string        `json:"date"`
	Version   string        `json:"version"`
	Machine   string        `json:"machine"`
	Isolation string        `json:"isolation"`
	Handler   float64       `json:"handler"` // µs that the handler alone takes, called in a loop
	Cases     []ProfileCase `json:"cases"`
}

// ProfileCase is one way to call the hello function, by a number of connections.
type ProfileCase struct {
	Name        string        `json:"name"`
	Connections int           `json:"connections"`
	PerSecond   float64       `json:"perSecond"`
	P50         time.Duration `json:"p50"`
	// All of the following are per request.
	CPU         float64 `json:"cpu"`         // µs of Hearth's process
	FunctionCPU float64 `json:"functionCPU"` // µs of the function's processes
	KernelCPU   float64 `json:"kernelCPU"`   // of these in the kernel
	Stages      []Stage `json:"stages"`
	Counts      []Count `json:"counts"`
	Syscalls    []Count `json:"syscalls"`         // of Hearth's process, under strace
	FunctionSys []Count `json:"functionSyscalls"` // of the function's processes, under strace
}

// Count is a number per request.
type Count struct {
	Name string  `json:"name"`
	N    float64 `json:"n"`
}

// RunProfile profiles the hello function behind Hearth: by its URL and by Invoke, with one
// and with 64 connections. It takes about a minute.
func RunProfile(ctx context.Context, cfg Config) (*Profile, error) {
	cfg.fill()
	dir, err := os.MkdirTemp("", "hearth-profile-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := &suite{ctx: ctx, cfg: cfg, dir: dir, warmed: map[load]bool{}, report: &Report{}}
	pprof, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := s.start("data", "--pprof", pprof)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	r := &Profile{Date: time.Now().UTC().Format(time.DateOnly), Version: cfg.Version, Machine: machine()}
	if r.Isolation, err = p.isolation(); err != nil {
		return nil, err
	}
	err = p.deploy("hello", "hello", map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": 256, "model": hearth.Concurrent, "maxConcurrency": 512, "timeout": "10s"})
	if err != nil {
		return nil, err
	}
	if _, err := p.call("/fn/hello/"); err != nil {
		return nil, err
	}
	if r.Handler, err = s.handlerAlone(); err != nil {
		return nil, err
	}
	invoke, err := s.viaInvoke(p, "hello")
	if err != nil {
		return nil, err
	}
	for _, x := range []contestant{s.viaURL(p, "hello"), invoke} {
		for _, n := range []int{1, 64} {
			s.say("%s, c=%d", x.name, n)
			c, err := s.profileCase(x, n, "http://"+pprof)
			if err != nil {
				return nil, err
			}
			r.Cases = append(r.Cases, c)
		}
	}
	return r, nil
}

// handlerAlone is how many µs the hello handler takes when nothing is around it.
func (s *suite) handlerAlone() (float64, error) {
	dir, err := s.folder("handler", map[string]string{"index.js": "functions/hello/index.js"})
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(s.ctx, s.cfg.Node, "-e", `const { handler } = require('./index.js');
(async () => {
  const n = 2e6;
  for (let i = 0; i < n / 10; i++) await handler({}, {});
  const begin = process.cpuUsage();
  for (let i = 0; i < n; i++) await handler({}, {});
  const { user, system } = process.cpuUsage(begin);
  console.log((user + system) / n);
})();`)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

func (s *suite) profileCase(x contestant, connections int, pprof string) (ProfileCase, error) {
	c := ProfileCase{Name: x.name, Connections: connections}
	if _, err := s.turn(x, connections, 2*time.Second); err != nil { // V8 and the pools warm up
		return c, err
	}
	// First the counts, which cost nothing, and then the profile, which does.
	before, err := s.counters(x.server()[0], pprof)
	if err != nil {
		return c, err
	}
	pids := x.function()
	_, kernel := cpuTimes(pids)
	m, err := s.turn(x, connections, max(s.cfg.Duration, 2*time.Second))
	if err != nil {
		return c, err
	}
	after, err := s.counters(x.server()[0], pprof)
	if err != nil {
		return c, err
	}
	for i := range after {
		c.Counts = append(c.Counts, Count{after[i].Name, (after[i].N - before[i].N) / float64(m.Requests)})
	}
	_, now := cpuTimes(pids)
	c.KernelCPU = micros(now-kernel) / float64(m.Requests)
	c.PerSecond, c.P50, c.CPU, c.FunctionCPU = m.PerSecond, m.P50, m.ServerCPU, m.FunctionCPU
	samples, err := s.sample(x, connections, pprof)
	if err != nil {
		return c, err
	}
	c.Stages = stagesOf(samples, c.CPU)
	if c.Syscalls, err = s.strace(x, connections, x.server()); err != nil {
		s.say("without strace: %v", err)
		return c, nil
	}
	c.FunctionSys, err = s.strace(x, connections, x.function())
	return c, err
}

// counters reads what Hearth's process has counted so far.
func (s *suite) counters(pid int, pprof string) ([]Count, error) {
	text, err := s.fetch(pprof + "/debug/metrics")
	if err != nil {
		return nil, err
	}
	metric := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			metric[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	slept, pushed := 0, 0
	for _, t := range tasks {
		slept += memoryField(t, "voluntary_ctxt_switches:")
		pushed += memoryField(t, "nonvoluntary_ctxt_switches:")
	}
	io := fmt.Sprintf("/proc/%d/io", pid)
	return []Count{
		{"allocations", metric["/gc/heap/allocs:objects"]},
		{"bytes allocated", metric["/gc/heap/allocs:bytes"]},
		// The runtime measures one in eight of the times that a goroutine begins to run.
		{"goroutine switches (about)", 8 * metric["/sched/latencies:seconds"]},
		{"read system calls", float64(memoryField(io, "syscr:"))},
		{"write system calls", float64(memoryField(io, "syscw:"))},
		{"threads that went to sleep", float64(slept)},
		{"threads that were pushed aside", float64(pushed)},
	}, nil
}

// sample takes a processor profile under load.
func (s *suite) sample(x contestant, connections int, pprof string) ([]sample, error) {
	const seconds = 4
	type answer struct {
		text []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := s.fetch(fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", pprof, seconds))
		done <- answer{text, err}
	}()
	_, err := s.turn(x, connections, (seconds+1)*time.Second)
	profile := <-done
	if err == nil {
		err = profile.err
	}
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, fmt.Sprintf("cpu-%d.pprof", connections))
	if err := os.WriteFile(file, profile.text, 0o600); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(s.ctx, "go", "tool", "pprof", "-traces", "-unit=us", file).Output()
	if err != nil {
		return nil, fmt.Errorf("go tool pprof: %w", err)
	}
	return parseTraces(string(out))
}

func (s *suite) fetch(url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return text, err
}

// strace counts the system calls of processes per request. It slows them down, so that
// fewer answers share a call than usual.
func (s *suite) strace(x contestant, connections int, pids []int) ([]Count, error) {
	args := []string{"-c", "-f", "-U", "calls,name"}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.CommandContext(s.ctx, "strace", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.pause(300 * time.Millisecond) // it attaches to every thread
	m, err := s.turn(x, connections, 2*time.Second)
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait() // an interrupted strace reports as it should and fails
	if err != nil {
		return nil, err
	}
	list := parseStrace(log.String(), m.Requests)
	if len(list) == 0 {
		return nil, fmt.Errorf("strace: %s", strings.TrimSpace(log.String()))
	}
	return list, nil
}

// parseStrace reads the summary of strace -c -U calls,name: what is called once in fifty
// requests or more often.
func parseStrace(out string, requests int) []Count {
	var list []Count
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 2 || f[1] == "total" {
			continue
		}
		if n, err := strconv.Atoi(f[0]); err == nil && float64(n)/float64(max(requests, 1)) >= 0.02 {
			list = append(list, Count{f[1], float64(n) / float64(max(requests, 1))})
		}
	}
	return list
}
