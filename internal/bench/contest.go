package bench

import (
	"context"
	"fmt"
	"time"
)

// contestant is one of several servers that answer the same load in turn.
type contestant struct {
	name string
	load load
	// drive loads the server; nil = wrk. The load's URL then is no more than a name.
	drive func(context.Context, load) (measured, error)
	// server and function tell the processes whose time is counted; nil = none.
	server, function func() []int
}

// Contest is what several contestants did under the same load, in interleaved rounds.
type Contest struct {
	Title       string  `json:"title"`
	Connections int     `json:"connections"`
	Reference   string  `json:"reference"` // the contestant that the ratios are to
	Entries     []Entry `json:"entries"`
}

// Entry is one contestant's result: medians over the rounds.
type Entry struct {
	Name string `json:"name"`
	measured
	Ratio float64 `json:"ratio"` // median of the rounds' ratios of requests per second to the reference
	runs  []measured
}

// contest warms every contestant that is new, then measures them in turn, round by round. The
// reference is the contestant named so.
func (s *suite) contest(title string, connections int, d time.Duration, reference string, list []contestant) (*Contest, error) {
	c := &Contest{Title: title, Connections: connections, Reference: reference}
	for _, x := range list {
		c.Entries = append(c.Entries, Entry{Name: x.name})
		if s.warmed[x.load] {
			continue
		}
		if _, err := s.turn(x, connections, min(d, 2*time.Second)); err != nil {
			return nil, err
		}
		s.warmed[x.load] = true
	}
	for round := range s.cfg.Rounds {
		s.say("%s, c=%d, round %d", title, connections, round+1)
		for i, x := range list {
			m, err := s.turn(x, connections, d)
			if err != nil {
				return nil, err
			}
			c.Entries[i].runs = append(c.Entries[i].runs, m)
		}
	}
	ref := c.entry(reference)
	if ref == nil {
		return nil, fmt.Errorf("%s: no contestant is called %q", title, reference)
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		e.measured = middle(e.runs)
		e.Ratio = overRounds(e, ref, func(a, b measured) float64 { return a.PerSecond / b.PerSecond })
	}
	s.report.Contests = append(s.report.Contests, *c)
	return c, nil
}

// turn is one run of the load generator against one contestant.
func (s *suite) turn(x contestant, connections int, d time.Duration) (measured, error) {
	count := func(pids func() []int) func(requests int) float64 {
		if pids == nil {
			return func(int) float64 { return 0 }
		}
		which := pids()
		before := cpuTime(which)
		return func(requests int) float64 {
			return float64(cpuTime(which)-before) / float64(time.Microsecond) / float64(max(requests, 1))
		}
	}
	server, function := count(x.server), count(x.function)
	l := x.load
	l.Connections, l.Duration = connections, d
	drive := x.drive
	if drive == nil {
		drive = wrk
	}
	m, err := drive(s.ctx, l)
	if err != nil {
		return m, fmt.Errorf("%s: %w", x.name, err)
	}
	m.ServerCPU, m.FunctionCPU = server(m.Requests), function(m.Requests)
	return m, context.Cause(s.ctx)
}

func (c *Contest) entry(name string) *Entry {
	for i := range c.Entries {
		if c.Entries[i].Name == name {
			return &c.Entries[i]
		}
	}
	return nil
}

// overRounds is the median over the rounds of something about two contestants.
func overRounds(a, b *Entry, what func(a, b measured) float64) float64 {
	var list []float64
	for i := range min(len(a.runs), len(b.runs)) {
		list = append(list, what(a.runs[i], b.runs[i]))
	}
	return median(list)
}

// middle takes the median of each figure by itself; errors and requests add up.
func middle(runs []measured) measured {
	var m measured
	pick := func(what func(measured) float64) float64 {
		var list []float64
		for _, r := range runs {
			list = append(list, what(r))
		}
		return median(list)
	}
	for _, r := range runs {
		m.Errors += r.Errors
		m.Requests += r.Requests
	}
	m.PerSecond = pick(func(r measured) float64 { return r.PerSecond })
	m.P50 = time.Duration(pick(func(r measured) float64 { return float64(r.P50) }))
	m.P99 = time.Duration(pick(func(r measured) float64 { return float64(r.P99) }))
	m.ServerCPU = pick(func(r measured) float64 { return r.ServerCPU })
	m.FunctionCPU = pick(func(r measured) float64 { return r.FunctionCPU })
	return m
}
