package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// ticking counts what a timer of its own does, a hundred times a second.
func ticking(name string, config map[string]any) function {
	return node(name, `let ticks = 0;
setInterval(() => { ticks++; }, 10);
exports.handler = async () => ({ ticks, version: process.env.AWS_LAMBDA_FUNCTION_VERSION,
  instance: process.env.HEARTH_INSTANCE_ID, initialised: process.env.AWS_LAMBDA_INITIALIZATION_TYPE });`, config)
}

type tick struct {
	Ticks       int
	Version     string
	Instance    string
	Initialised string
}

func (p *platform) tick(name string) (t tick) {
	p.t.Helper()
	a := p.invoke(name, "{}")
	if a.status != http.StatusOK || a.failed || json.Unmarshal([]byte(a.payload), &t) != nil {
		p.t.Errorf("%s: %d %s", name, a.status, a.payload)
	}
	return t
}

// only is the function's one instance; those that are dead and being removed do not count.
func (p *platform) only(name string) hearth.InstanceInfo {
	p.t.Helper()
	list := slices.DeleteFunc(p.instances(name), func(i hearth.InstanceInfo) bool { return i.State == hearth.Dead })
	if len(list) != 1 {
		p.t.Fatalf("%s has %d instances, want one: %+v", name, len(list), list)
	}
	return list[0]
}

func (p *platform) awaitFrozen(name string) {
	p.t.Helper()
	eventually(p.t, patience, name+" is frozen", func() bool { return p.only(name).State == hearth.Frozen })
}

// TestFrozen: an idle instance stands still, uses no processor time, and answers when
// it is called; one that was told otherwise goes on.
func TestFrozen(t *testing.T) {
	p := up(t, "--freeze-after", "100ms")
	if p.status().Isolation != "runc" {
		t.Skip("plain processes are not frozen")
	}
	p.deploy(ticking("still", map[string]any{"model": "concurrent"}))
	p.deploy(ticking("awake", map[string]any{"freeze": false}))
	still, awake := p.tick("still"), p.tick("awake")
	p.awaitFrozen("still")
	from := p.tick("awake").Ticks
	pass := func(ticks int) {
		eventually(t, patience, "time has passed", func() bool { return p.tick("awake").Ticks > from+ticks })
	}
	pass(20) // the kernel stops it soon, not at once
	before := p.only("still").CPU
	pass(80)
	if after := p.only("still").CPU; after != before {
		t.Errorf("frozen, it used %v of processor time", after-before)
	}
	thawed, later := p.tick("still"), p.tick("awake")
	if thawed.Instance != still.Instance {
		t.Error("it was not the frozen instance that answered")
	}
	if slept := (later.Ticks - awake.Ticks) - (thawed.Ticks - still.Ticks); slept < 30 {
		t.Errorf("the frozen one's timer ran %d times, the other's %d times", thawed.Ticks-still.Ticks, later.Ticks-awake.Ticks)
	}
	if state := p.only("awake").State; state == hearth.Frozen {
		t.Error("it is frozen although it must not be")
	}
	for range 5 { // again and again, also while it freezes
		p.awaitFrozen("still")
		if a := p.invoke("still", "{}"); a.status != http.StatusOK || a.failed || a.duration > patience/2 {
			t.Errorf("after %v: %d %s", a.duration, a.status, a.payload)
		}
		for range 10 {
			p.tick("still")
		}
	}
	p.awaitFrozen("still")
	if err := syscall.Kill(p.only("still").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.invoke("still", "{}") // which may find out that it is dead
	p.tick("still")
	p.awaitFrozen("still")
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("with frozen instances it took %v to stop", took)
	}
}

// provisioned lists the instances that are kept ready and can serve, by version.
func (p *platform) provisioned(name string) map[string][]hearth.InstanceInfo {
	ready := map[string][]hearth.InstanceInfo{}
	for _, i := range p.instances(name) {
		if i.Provisioned && (i.State == hearth.Idle || i.State == hearth.Frozen) {
			ready[i.Version] = append(ready[i.Version], i)
		}
	}
	return ready
}

func (p *platform) awaitProvisioned(name, version string, n int) {
	p.t.Helper()
	eventually(p.t, patience, fmt.Sprintf("%d instances of version %s are ready", n, version), func() bool {
		ready := p.provisioned(name)
		return len(ready) == 1 && len(ready[version]) == n
	})
}

// TestProvisioned: instances are ready before anybody calls, follow their alias, are
// replaced when they die, and are there again after the platform was killed.
func TestProvisioned(t *testing.T) {
	const config = "/2019-09-30/functions/kept/provisioned-concurrency?Qualifier=prod"
	dir := t.TempDir()
	p := upIn(t, dir)
	p.deploy(ticking("kept", nil))
	p.command("alias", "set", "kept", "prod="+p.command("publish", "kept"))
	if status, body := p.put(config, map[string]any{"ProvisionedConcurrentExecutions": 2}); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	p.awaitProvisioned("kept", "1", 2)
	var state struct{ Status string }
	if p.get(config, &state); state.Status != hearth.ProvisionReady {
		t.Errorf("its status is %q", state.Status)
	}
	if said := p.tick("kept:prod"); said.Initialised != "provisioned-concurrency" || said.Version != "1" {
		t.Errorf("%+v", said)
	}
	p.deploy(ticking("kept", map[string]any{"memoryMB": 192}))
	p.command("alias", "set", "kept", "prod="+p.command("publish", "kept"))
	p.awaitProvisioned("kept", "2", 2)
	victim := p.provisioned("kept")["2"][0]
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "it is gone", func() bool {
		for _, i := range p.instances("kept") {
			if i.ID == victim.ID {
				return false
			}
		}
		return true
	})
	p.awaitProvisioned("kept", "2", 2)
	p.kill()
	p = upIn(t, dir)
	p.awaitProvisioned("kept", "2", 2)
	p.command("provision", "kept:prod", "0")
	p.command("provision", "kept", "1")
	p.awaitProvisioned("kept", hearth.Latest, 1)
	if said := p.tick("kept"); said.Initialised != "provisioned-concurrency" {
		t.Errorf("%+v", said)
	}
}
