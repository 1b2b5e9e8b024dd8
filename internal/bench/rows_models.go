package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"hearth/internal/hearth"
)

// exclusive measures a function whose instances hold one invocation each: as many as
// twice the processors, because no more fit into this platform.
func (s *suite) exclusive() error {
	const memory = 1024
	instances := 2 * runtime.NumCPU()
	p, err := s.start("exclusive", "--memory", fmt.Sprint(instances*memory+memory/2))
	if err != nil {
		return err
	}
	defer p.stop()
	err = p.deploy("one", "hello", map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": memory, "model": hearth.Exclusive, "timeout": "10s"})
	if err != nil {
		return err
	}
	if _, err := p.call("/fn/one/"); err != nil {
		return err
	}
	ours := s.viaURL(p, "one")
	ours.name = "Hearth, exclusive"
	c, err := s.contest("hello, exclusive", 64, s.cfg.Duration, inNode, []contestant{ours, s.node.contestant(inNode)})
	if err != nil {
		return err
	}
	s.rate("exclusive-64", c, ours.name, inNode)
	list, err := p.instances("one")
	if err == nil && len(list) != instances {
		s.row("exclusive-64").Note = fmt.Sprintf("with %d instances, where %d were wanted", len(list), instances)
	}
	return err
}

// updates changes a function's code once a second while it is called.
func (s *suite) updates() error {
	const connections, version = 16, "//"
	p := s.platform
	code := func(i int) error {
		return p.deployEdited("updated", "hello", fmt.Sprintf("\n%s %d\n", version, i), map[string]any{"runtime": "nodejs",
			"handler": "index.handler", "memoryMB": 256, "model": hearth.Concurrent, "maxConcurrency": 512, "timeout": "10s"})
	}
	if err := code(0); err != nil {
		return err
	}
	if _, err := p.call("/fn/updated/"); err != nil {
		return err
	}
	x, d := s.viaURL(p, "updated"), max(s.cfg.Duration, 8*time.Second) // a tail needs many, of requests and of updates
	if _, err := s.turn(x, connections, time.Second); err != nil {
		return err
	}
	var steady, moving Entry
	for round := range s.cfg.Rounds {
		s.say("update under load, round %d", round+1)
		m, err := s.turn(x, connections, d)
		if err != nil {
			return err
		}
		steady.runs = append(steady.runs, m)
		if m, err = s.whileUpdating(x, connections, d, func(i int) error { return code(round*100 + i) }); err != nil {
			return err
		}
		moving.runs = append(moving.runs, m)
	}
	a, b := middle(moving.runs), middle(steady.runs)
	r := s.set("update-p99", micros(a.P99), micros(b.P99), overRounds(&moving, &steady, func(a, b measured) float64 { return float64(a.P99) / float64(b.P99) }))
	r.Note = fmt.Sprintf("c=%d, new code every second; %d errors in %d requests", connections, a.Errors, a.Requests)
	if a.Errors > 0 {
		r.Verdict = Missed
	}
	return nil
}

// whileUpdating measures a load during which update is called once a second.
func (s *suite) whileUpdating(x contestant, connections int, d time.Duration, update func(i int) error) (m measured, err error) {
	ctx, cancel := context.WithCancel(s.ctx)
	failed := make(chan error, 1)
	go func() {
		var err error
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for i := 1; err == nil; i++ {
			select {
			case <-ticker.C:
				err = update(i)
			case <-ctx.Done():
				failed <- nil
				return
			}
		}
		failed <- err
	}()
	m, err = s.turn(x, connections, d)
	cancel()
	return m, errors.Join(err, <-failed)
}

// deployEdited deploys a folder of functions with something added to its index.js.
func (p *platform) deployEdited(name, folder, added string, config map[string]any) error {
	archive, err := zipFolder("functions/"+folder, added)
	if err != nil {
		return err
	}
	return p.put(name, map[string]any{"config": config, "code": archive})
}

// instances are a function's, or all when it is "".
func (p *platform) instances(function string) ([]hearth.InstanceInfo, error) {
	path := "/hearth/v1/instances"
	if function != "" {
		path += "?function=" + function
	}
	text, err := p.call(path)
	if err != nil {
		return nil, err
	}
	var list struct{ Instances []hearth.InstanceInfo }
	return list.Instances, json.Unmarshal(text, &list)
}

// instancePids are the processes of a function's instances. Where instances have no
// control groups it finds none.
func (p *platform) instancePids(function string) []int {
	list, err := p.instances(function)
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range list {
		names = append(names, strings.TrimSpace(i.ID))
	}
	return inGroups(names)
}

// pid is the platform's process.
func (p *platform) pid() []int { return []int{p.cmd.Process.Pid} }
