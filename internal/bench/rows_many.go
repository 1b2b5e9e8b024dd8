package bench

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"hearth/internal/hearth"
)

const (
	// startAtOnce is how many functions or servers are started at once, and startLongest
	// how long starting all of them may take.
	startAtOnce  = 4
	startLongest = 120 * time.Second
)

// many measures functions that are called in turn, every one warm, against one function
// called by the same script; and, for what the machine makes of that without Hearth, as
// many plain Node servers against one of them.
func (s *suite) many() error {
	n, why := s.cfg.Functions, ""
	// A Node instance takes some 13 MB of its own; leave a quarter of the memory alone.
	if free := memoryField("/proc/meminfo", "MemAvailable:") / 1024; n*16 > free*3/4 {
		n, why = free*3/4/16, "memory"
	}
	warm, err := s.manyFunctions(n, why)
	if err != nil {
		return err
	}
	return s.manyServers(warm)
}

// manyFunctions sets the rows, and tells how many functions were called.
func (s *suite) manyFunctions(n int, why string) (warm int, err error) {
	unmount, err := s.vastFolder("many")
	if err != nil {
		return 0, err
	}
	defer unmount()
	// None is prewarmed: after so many cold starts Hearth would make hundreds of sandboxes
	// for the next ones, just while those that are warm are measured.
	p, err := s.start("many", "--memory", "1000000", "--prewarm", "0")
	if err != nil {
		return 0, err
	}
	defer p.stop()
	warm, err = s.warm(p, n)
	if err != nil {
		if warm < 2 {
			return warm, err
		}
		why, _, _ = strings.Cut(err.Error(), "\n")
	}
	for _, connections := range []int{1, 64} {
		title := fmt.Sprintf("%d functions in turn", warm)
		one, err := s.inTurn(p, "one function", 1)
		if err != nil {
			return warm, err
		}
		one.function = func() []int { return p.instancePids("m0") }
		all, err := s.inTurn(p, title, warm)
		if err != nil {
			return warm, err
		}
		all.function = func() []int { return p.instancePids("") }
		c, err := s.contest(title, connections, s.cfg.Duration, one.name, []contestant{all, one})
		if err != nil {
			return warm, err
		}
		id := fmt.Sprintf("many-%d", connections)
		s.rate(id, c, all.name, one.name)
		if warm != 1000 {
			s.remark(id, fmt.Sprintf("%d functions only, for lack of %s", warm, cmp.Or(why, "more that were asked for")))
		}
	}
	return warm, nil
}

// remark adds to what is to be known of a row.
func (s *suite) remark(id, text string) {
	r := s.row(id)
	r.Note = strings.TrimSuffix(text+"; "+r.Note, "; ")
}

// manyServers measures plain Node servers in turn against one of them, and notes the
// ratio where the functions' stands.
func (s *suite) manyServers(n int) error {
	servers, err := s.startMany(n)
	defer func() {
		for _, x := range servers {
			x.stop()
		}
	}()
	if err != nil {
		return err
	}
	ringed := func(name string, servers []rival) (contestant, func()) {
		var addrs []string
		var pids []int
		for _, x := range servers {
			addrs = append(addrs, strings.TrimSuffix(strings.TrimPrefix(x.url, "http://"), "/"))
			pids = append(pids, x.cmd.Process.Pid)
		}
		r := newRing(addrs)
		return contestant{name: name, load: load{URL: name}, drive: r.drive, server: func() []int { return pids }}, r.close
	}
	all, hangUp := ringed(fmt.Sprintf("%d plain Node servers in turn", n), servers)
	defer hangUp()
	one, hangUp := ringed("one plain Node server", servers[:1])
	defer hangUp()
	for _, connections := range []int{1, 64} {
		c, err := s.contest(all.name+", called by Go", connections, s.cfg.Duration, one.name, []contestant{all, one})
		if err != nil {
			return err
		}
		e := c.entry(all.name)
		s.remark(fmt.Sprintf("many-%d", connections), fmt.Sprintf("as many plain Node servers, without Hearth: %s, %.2f of one",
			quantity(e.PerSecond, "req/s"), e.Ratio))
	}
	return nil
}

// startMany starts n plain Node servers, a few at a time. Those that it returns are to be
// stopped, also after an error.
func (s *suite) startMany(n int) (servers []rival, err error) {
	servers = make([]rival, n)
	_, err = s.few("plain Node servers", n, func(i int) (err error) {
		servers[i], err = s.direct(s.node.dir, "path")
		return err
	})
	return slices.DeleteFunc(servers, func(x rival) bool { return x.cmd == nil }), err
}

// few starts n of something, a few at a time. When that takes too long or one fails it
// stops; it tells how many were started, and why they are fewer.
func (s *suite) few(what string, n int, start func(i int) error) (started int, err error) {
	begin := time.Now()
	for done := 0; done < n; {
		if done%100 == 0 {
			s.say("many: %d of %d %s", done, n, what)
		}
		if time.Since(begin) > startLongest {
			return done, fmt.Errorf("time: %v were not enough", startLongest)
		}
		next := min(done+startAtOnce, n)
		errs := make([]error, next-done)
		var wg sync.WaitGroup
		for i := done; i < next; i++ {
			wg.Go(func() { errs[i-done] = start(i) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return done, err
		}
		done = next
	}
	return n, nil
}

// warm deploys n functions and calls each; it tells how many are warm, and why they are
// fewer.
func (s *suite) warm(p *platform, n int) (int, error) {
	return s.few("functions are warm", n, func(i int) error {
		name := fmt.Sprintf("m%d", i)
		err := p.deploy(name, "hello", map[string]any{"runtime": "nodejs", "handler": "index.handler",
			"memoryMB": 128, "model": hearth.Concurrent, "maxConcurrency": 512, "timeout": "10s"})
		if err == nil {
			_, err = p.call("/fn/" + name + "/")
		}
		return err
	})
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
