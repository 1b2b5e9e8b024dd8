package e2e

import (
	"encoding/json"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// lookAround tells what a function finds around it.
const lookAround = `
const fs = require('fs');
const v8 = require('v8');
exports.handler = async () => {
  let written = 'yes';
  try { fs.writeFileSync('/var/task/x', 'x'); } catch (err) { written = err.code; }
  const tmp = fs.statfsSync('/tmp');
  const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    .filter((line) => line.includes(' /var/task ') || line.includes(' /tmp ')).length;
  return {
    written, mounts, cwd: process.cwd(), greeting: process.env.GREETING,
    heapMB: Math.round(v8.getHeapStatistics().heap_size_limit / 1048576),
    tmpMB: Math.round(tmp.blocks * tmp.bsize / 1048576 / 64) * 64,
    stack: Error.stackTraceLimit,
  };
};`

type surroundings struct {
	Written, Cwd, Greeting       string
	Mounts, HeapMB, TmpMB, Stack int
}

func (p *platform) lookAround(name string) (s surroundings) {
	p.t.Helper()
	a := p.invoke(name, "{}")
	if a.status != 200 || a.failed {
		p.t.Fatalf("%s: %d %s", name, a.status, a.payload)
	}
	if err := json.Unmarshal([]byte(a.payload), &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *platform) status() (s hearth.Status) {
	p.t.Helper()
	_, body := p.do("GET", "/hearth/v1/status", nil, nil)
	if err := json.Unmarshal(body, &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// prewarmed is how many sandboxes wait for functions.
func (p *platform) prewarmed() (n int) {
	p.t.Helper()
	for _, kind := range p.status().Prewarmed {
		n += kind.Ready
	}
	return n
}

// A function finds the same around it whether its sandbox has waited for it or was made
// from nothing.
func TestPrewarmed(t *testing.T) {
	larger := map[string]any{"memoryMB": 320, "tmpMB": 1024, "env": map[string]string{"GREETING": "hello"}}
	cold := up(t, "--prewarm", "0")
	if cold.status().Isolation != "runc" {
		t.Skip("processes have nothing around them that could differ")
	}
	cold.deploy(node("f", lookAround, larger))
	want := cold.lookAround("f")
	if n := cold.prewarmed(); n != 0 {
		t.Errorf("%d sandboxes wait without --prewarm", n)
	}
	cold.stop()

	p := up(t)
	p.deploy(node("f", lookAround, larger))
	eventually(t, patience, "a sandbox waits", func() bool { return p.prewarmed() > 0 })
	made := time.Now()
	got := p.lookAround("f")
	if got != want {
		t.Errorf("prewarmed: %+v\nfrom nothing: %+v", got, want)
	}
	if got.Written != "EROFS" || got.Greeting != "hello" || got.Cwd != "/var/task" {
		t.Errorf("%+v", got)
	}
	t.Logf("%v from request to response", time.Since(made))
	// What node reads only when it starts needs a start.
	p.deploy(node("g", lookAround, map[string]any{"memoryMB": 320, "env": map[string]string{"NODE_OPTIONS": "--stack-trace-limit=7"}}))
	if g := p.lookAround("g"); g.Stack != 7 {
		t.Errorf("the function's own NODE_OPTIONS had no effect: %+v", g)
	}
}
