package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// traces is everything on this machine that a platform could leave behind, by kind.
type traces map[string][]string

// look finds the traces of the platform with this data directory. Everything that a
// platform makes outside of it bears a name made from it (daemon.Config, network.New),
// so others on the same machine do not disturb the test.
func look(t testing.TB, dir string) traces {
	t.Helper()
	found := traces{}
	add := func(kind, what string) { found[kind] = append(found[kind], what) }
	sum := sha256.Sum256([]byte(dir))
	name := hex.EncodeToString(sum[:4])
	sum = sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:3])
	prefix := "h" + id + "-"
	for _, line := range lines(t, "/proc/self/mountinfo") {
		if strings.Contains(line, dir) || strings.Contains(line, "/run/hearth/"+name) {
			add("mounts", line)
		}
	}
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Name(), prefix) {
			add("links", l.Name())
		}
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*/hearth-" + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		inside, err := os.ReadDir(g)
		if err != nil {
			continue
		}
		add("cgroups", g)
		for _, e := range inside {
			if e.IsDir() {
				add("cgroups", filepath.Join(g, e.Name()))
			}
		}
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range loops {
		if text, err := os.ReadFile(l); err == nil && strings.Contains(string(text), dir) {
			add("loop devices", l)
		}
	}
	if out, err := exec.Command("nft", "list", "tables").Output(); err == nil {
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "hearth_"+id) {
				add("firewall tables", strings.TrimSpace(line))
			}
		}
	}
	for _, what := range processesIn(dir, "/hearth-"+name) {
		add("processes", what)
	}
	return found
}

func lines(t testing.TB, path string) (list []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		list = append(list, s.Text())
	}
	return list
}

// processesIn lists processes that have the directory in their command line, or that
// run in the cgroup. The dead count while it is one of these that has to bury them: those
// of a platform that was killed wait for the machine's init.
func processesIn(dir, cgroup string) (list []string) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		cmd, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		group, _ := os.ReadFile("/proc/" + e.Name() + "/cgroup")
		if len(cmd) == 0 && !strings.Contains(parentOf(e.Name()), dir) {
			continue
		}
		if strings.Contains(string(cmd), dir) || strings.Contains(string(group), cgroup) {
			list = append(list, e.Name()+" "+strings.ReplaceAll(string(cmd), "\x00", " "))
		}
	}
	return list
}

// parentOf is the command line of a process's parent.
func parentOf(pid string) string {
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	_, rest, _ := strings.Cut(string(status), "\nPPid:\t")
	ppid, _, _ := strings.Cut(rest, "\n")
	cmd, _ := os.ReadFile("/proc/" + ppid + "/cmdline")
	return string(cmd)
}

// new are the traces in after that were not there before.
func (after traces) since(before traces) (left []string) {
	for _, kind := range slices.Sorted(maps.Keys(after)) {
		for _, what := range after[kind] {
			if !slices.Contains(before[kind], what) {
				left = append(left, kind+": "+what)
			}
		}
	}
	return left
}

func (t traces) counts() map[string]int {
	n := map[string]int{}
	for kind, list := range t {
		n[kind] = len(list)
	}
	return n
}

// cycle creates, calls and deletes one function.
func (p *platform) cycle(name string) {
	p.t.Helper()
	p.deploy(python(name, "def handler(event, context):\n    return 'x'\n", nil))
	if a := p.invoke(name, "{}"); a.payload != `"x"` {
		p.t.Errorf("%s: %d %s", name, a.status, a.payload)
	}
	if status, text := p.do("DELETE", "/hearth/v1/functions/"+name, nil, nil); status >= 300 {
		p.t.Errorf("delete %s: %d %s", name, status, text)
	}
}

func TestNothingIsLeftAfterAStop(t *testing.T) {
	dir := t.TempDir()
	before := look(t, dir)
	p := upIn(t, dir)
	p.deploy(node("shared", burstSource, map[string]any{"model": "concurrent"}))
	p.deploy(node("alone", burstSource, nil))
	p.burst("shared", 3)
	p.burst("alone", 3)
	if during := look(t, dir).since(before); len(during) < 4 {
		t.Fatalf("with four instances running only this can be seen, so the test sees too little: %q", during)
	}
	p.stop()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, what := range look(t, dir).since(before) {
		t.Errorf("left: %s", what)
	}
}

// kill -9 loses no acknowledged function, and the next start removes what was left.
func TestKillAndRestart(t *testing.T) {
	dir := t.TempDir()
	before := look(t, dir)
	p := upIn(t, dir)
	for i := range 5 {
		p.deploy(node(fmt.Sprintf("f%d", i), burstSource, nil))
	}
	p.burst("f0", 2)
	p.kill()
	p = upIn(t, dir)
	if n := len(p.instances("")); n != 0 {
		t.Errorf("%d instances after the restart", n)
	}
	for i := range 5 {
		if a := p.invoke(fmt.Sprintf("f%d", i), "{}"); a.status != 200 || a.failed {
			t.Errorf("f%d after the restart: %d %s", i, a.status, a.payload)
		}
	}
	p.stop()
	for _, what := range look(t, dir).since(before) {
		t.Errorf("left: %s", what)
	}
}

// awaitRest waits until all functions have been deleted for so long that neither an
// instance nor a sandbox that waited for one is left.
func (p *platform) awaitRest() {
	p.t.Helper()
	const looks = 30 // in a row
	quiet := 0
	eventually(p.t, patience, "no sandbox is left", func() bool {
		boxes, _ := os.ReadDir(filepath.Join(p.dir, "sandboxes", "sandboxes"))
		if quiet++; len(boxes) > 0 || len(p.instances("")) > 0 {
			quiet = 0
		}
		return quiet == looks
	})
}

// Create, call and delete functions, HEARTH_CYCLES times (default 1,000).
func TestCyclesLeaveNothing(t *testing.T) {
	cycles := 1000
	if s := os.Getenv("HEARTH_CYCLES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("HEARTH_CYCLES=%q is not a number", s)
		}
		cycles = n
	}
	dir := t.TempDir()
	before := look(t, dir)
	p := upIn(t, dir)
	p.cycle("warm-up") // what the first one makes stays: the parent cgroup, ready namespaces
	p.awaitRest()
	idle := look(t, dir)
	work := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range work {
				p.cycle(fmt.Sprintf("cycle-%d", i))
			}
		})
	}
	for i := range cycles {
		work <- i
	}
	close(work)
	wg.Wait()
	p.awaitRest()
	eventually(t, patience, fmt.Sprintf("as little is left while the platform runs as before the cycles: %v", idle.counts()), func() bool {
		return maps.Equal(look(t, dir).counts(), idle.counts())
	})
	if left, err := os.ReadDir(filepath.Join(dir, "sandboxes", "sandboxes")); err == nil && len(left) > 0 {
		t.Errorf("%d sandbox directories left", len(left))
	}
	p.stop()
	for _, what := range look(t, dir).since(before) {
		t.Errorf("left: %s", what)
	}
}
