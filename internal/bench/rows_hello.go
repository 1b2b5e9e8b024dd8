package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hearth/internal/hearth"
)

// Names of contestants.
const (
	byURL    = "Hearth, function URL"
	byInvoke = "Hearth, Invoke"
	inNode   = "plain Node"
)

// script writes a Lua script for wrk and gives its path.
func (s *suite) script(name, text string) (string, error) {
	file := filepath.Join(s.dir, name+".lua")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// post is a script for POST requests with a body, which may be an expression of Lua.
func (s *suite) post(name, body, contentType string) (string, error) {
	return s.script(name, fmt.Sprintf("wrk.method = 'POST'\nwrk.headers['Content-Type'] = '%s'\nwrk.body = %s\n", contentType, body))
}

func invokePath(function string) string {
	return "/2015-03-31/functions/" + function + "/invocations"
}

// viaURL is a function behind Hearth by its URL.
func (s *suite) viaURL(p *platform, function string) contestant {
	return contestant{name: byURL, load: load{URL: p.URL + "/fn/" + function + "/"},
		server: p.pid, function: func() []int { return p.instancePids(function) }}
}

// viaInvoke is a function behind Hearth by Lambda's API, with an empty event.
func (s *suite) viaInvoke(p *platform, function string) (contestant, error) {
	script, err := s.post("invoke", "'{}'", "application/json")
	c := s.viaURL(p, function)
	c.name, c.load = byInvoke, load{URL: p.URL + invokePath(function), Script: script}
	return c, err
}

// hello is the first rows: requests per second and latency of a handler that does nothing.
func (s *suite) hello() error {
	p := s.platform
	err := p.deploy("hello", "hello", map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": 256, "model": hearth.Concurrent, "maxConcurrency": 512, "timeout": "10s"})
	if err != nil {
		return err
	}
	if _, err := p.call("/fn/hello/"); err != nil {
		return err
	}
	url := s.viaURL(p, "hello")
	invoke, err := s.viaInvoke(p, "hello")
	if err != nil {
		return err
	}
	plain := s.node.contestant(inNode)
	ours := []contestant{url, invoke, plain}
	if err := s.latency("latency", byURL, inNode, "hello, Node", []contestant{url, plain}); err != nil {
		return err
	}
	for _, n := range []int{64, 256} {
		list := ours
		if n == 64 && !s.cfg.Quick {
			peers, stop := s.peers()
			defer stop()
			list = append(list[:len(list):len(list)], peers...)
		}
		c, err := s.contest("hello, Node", n, s.cfg.Duration, inNode, list)
		if err != nil {
			return err
		}
		s.rate(fmt.Sprintf("hello-url-%d", n), c, byURL, inNode)
		s.rate(fmt.Sprintf("hello-invoke-%d", n), c, byInvoke, inNode)
	}
	if s.cfg.Quick {
		return nil
	}
	_, err = s.contest("hello, Node", 16, time.Second, inNode, ours)
	return err
}

// rate sets a row about requests per second from a contest.
func (s *suite) rate(id string, c *Contest, ours, theirs string) {
	a, b := c.entry(ours), c.entry(theirs)
	r := s.set(id, a.PerSecond, b.PerSecond, overRounds(a, b, func(a, b measured) float64 { return a.PerSecond / b.PerSecond }))
	if a.Errors > 0 {
		r.Note, r.Verdict = fmt.Sprintf("%d errors", a.Errors), Missed
	}
}

// latency sets the two rows about one caller: prefix-p50 and prefix-p99.
func (s *suite) latency(prefix, ours, theirs, title string, list []contestant) error {
	c, err := s.contest(title, 1, s.cfg.Duration, theirs, list)
	if err != nil {
		return err
	}
	a, b := c.entry(ours), c.entry(theirs)
	s.set(prefix+"-p50", micros(a.P50), micros(b.P50), overRounds(a, b, func(a, b measured) float64 { return micros(a.P50 - b.P50) }))
	s.set(prefix+"-p99", micros(a.P99), micros(b.P99), overRounds(a, b, func(a, b measured) float64 { return float64(a.P99) / float64(b.P99) }))
	return nil
}

// python is the same with Python.
func (s *suite) python() error {
	p := s.platform
	err := p.deploy("pyhello", "pyhello", map[string]any{"runtime": "python3", "handler": "app.handler",
		"memoryMB": 256, "model": hearth.Concurrent, "maxConcurrency": 512, "timeout": "10s"})
	if err != nil {
		return err
	}
	if _, err := p.call("/fn/pyhello/"); err != nil {
		return err
	}
	const threaded, uvicorn = "threaded Python", "uvicorn"
	direct, err := s.startPython("direct.py", func(port string) []string { return []string{"direct.py", port} })
	if err != nil {
		return err
	}
	defer direct.stop()
	list := []contestant{s.viaURL(p, "pyhello"), direct.contestant(threaded)}
	if err := s.latency("python", byURL, threaded, "hello, Python", list); err != nil {
		return err
	}
	asgi, err := s.startPython("asgi.py", func(port string) []string {
		return []string{"-m", "uvicorn", "--port", port, "--no-access-log", "--log-level", "warning", "asgi:app"}
	})
	if err == nil {
		defer asgi.stop()
		list = append(list, asgi.contestant(uvicorn))
	} else {
		s.row("python-uvicorn-64").Note = "uvicorn is not installed"
	}
	c, err := s.contest("hello, Python", 64, s.cfg.Duration, threaded, list)
	if err != nil {
		return err
	}
	s.rate("python-64", c, byURL, threaded)
	if c.entry(uvicorn) != nil {
		s.rate("python-uvicorn-64", c, byURL, uvicorn)
	}
	return nil
}
