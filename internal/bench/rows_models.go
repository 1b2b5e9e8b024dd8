package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
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
	x, d := s.viaURL(p, "updated"), max(s.cfg.Duration, 3*time.Second)
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

// many measures functions that are called in turn, every one warm, against one function
// called by the same script.
func (s *suite) many() error {
	n, why := s.cfg.Functions, ""
	// A Node instance takes some 13 MB of its own; leave a quarter of the memory alone.
	if free := memoryField("/proc/meminfo", "MemAvailable:") / 1024; n*16 > free*3/4 {
		n, why = free*3/4/16, "memory"
	}
	unmount, err := s.vastFolder("many")
	if err != nil {
		return err
	}
	defer unmount()
	p, err := s.start("many", "--memory", "1000000")
	if err != nil {
		return err
	}
	defer p.stop()
	warm, err := s.warm(p, n)
	if err != nil {
		if warm < 2 {
			return err
		}
		why, _, _ = strings.Cut(err.Error(), "\n")
	}
	for _, connections := range []int{1, 64} {
		title := fmt.Sprintf("%d functions in turn", warm)
		one, err := s.inTurn(p, "one function", 1)
		if err != nil {
			return err
		}
		all, err := s.inTurn(p, title, warm)
		if err != nil {
			return err
		}
		c, err := s.contest(title, connections, s.cfg.Duration, one.name, []contestant{all, one})
		if err != nil {
			return err
		}
		id := fmt.Sprintf("many-%d", connections)
		s.rate(id, c, all.name, one.name)
		if r := s.row(id); warm != 1000 {
			r.Note = strings.TrimSuffix(fmt.Sprintf("%d functions only, for lack of %s; %s", warm, cmp.Or(why, "more that were asked for"), r.Note), "; ")
		}
	}
	return nil
}

// vastFolder makes a folder of the run a file system with room for what a thousand
// instances are promised for their /tmp, 512 MB each, of which they use hardly anything.
// Without the right to mount, the disk has to do.
func (s *suite) vastFolder(name string) (unmount func(), err error) {
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1t") != nil {
		return func() {}, nil
	}
	return func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}

// warm deploys n functions and calls each, a few at a time. When that takes too long or
// one fails it stops; it tells how many are warm, and why they are fewer.
func (s *suite) warm(p *platform, n int) (int, error) {
	const atOnce, longest = 4, 120 * time.Second
	begin := time.Now()
	for done := 0; done < n; {
		if done%100 == 0 {
			s.say("many: %d of %d functions are warm", done, n)
		}
		if time.Since(begin) > longest {
			return done, fmt.Errorf("time: %v were not enough", longest)
		}
		next := min(done+atOnce, n)
		errs := make([]error, next-done)
		var wg sync.WaitGroup
		for i := done; i < next; i++ {
			wg.Go(func() {
				name := fmt.Sprintf("m%d", i)
				err := p.deploy(name, "hello", map[string]any{"runtime": "nodejs", "handler": "index.handler",
					"memoryMB": 128, "model": hearth.Concurrent, "maxConcurrency": 512, "timeout": "10s"})
				if err == nil {
					_, err = p.call("/fn/" + name + "/")
				}
				errs[i-done] = err
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return done, err
		}
		done = next
	}
	return n, nil
}

// inTurn calls functions m0 to m(n-1) one after the other.
func (s *suite) inTurn(p *platform, name string, n int) (contestant, error) {
	script, err := s.script(fmt.Sprintf("turn-%d", n), fmt.Sprintf(`local requests, at = {}, 0
init = function()
  for i = 0, %d do requests[i] = wrk.format('GET', '/fn/m' .. i .. '/') end
end
request = function()
  at = (at + 1) %% %d
  return requests[at]
end
`, n-1, n))
	return contestant{name: name, load: load{URL: p.URL, Script: script}, server: p.pid}, err
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
