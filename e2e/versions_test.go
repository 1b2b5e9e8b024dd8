package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// versioned says which text it was deployed with and which version it believes to be.
func versioned(name, text string, config map[string]any) function {
	return node(name, `let invocations = 0;
exports.handler = async (event) => {
  await new Promise((resolve) => setTimeout(resolve, event.wait ?? 0));
  return { text: '`+text+`', version: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    instance: process.env.HEARTH_INSTANCE_ID, invocation: ++invocations };
};`, config)
}

type told struct {
	Text, Version, Instance string
	Invocation              int
}

// ask invokes name and reads what it says.
func (p *platform) ask(name, payload string) told {
	p.t.Helper()
	a := p.invoke(name, payload)
	var said told
	if a.status != 200 || a.failed {
		p.t.Errorf("%s: %d %s", name, a.status, a.payload)
		return said
	}
	if err := json.Unmarshal([]byte(a.payload), &said); err != nil {
		p.t.Errorf("%s: %v: %s", name, err, a.payload)
	}
	if executed := a.header.Get("X-Amz-Executed-Version"); executed != said.Version {
		p.t.Errorf("%s: X-Amz-Executed-Version is %q, the function is version %q", name, executed, said.Version)
	}
	return said
}

// command runs the command line and fails the test unless it succeeds.
func (p *platform) command(args ...string) string {
	p.t.Helper()
	stdout, stderr, code := p.hearth(args...)
	if code != 0 {
		p.t.Fatalf("hearth %s: exit %d: %s", strings.Join(args, " "), code, stderr)
	}
	return strings.TrimSpace(stdout)
}

// TestSwitchUnderLoad updates, publishes and switches an alias again and again while
// callers use it. Nobody may notice: no call fails, and what was switched to is what
// answers.
func TestSwitchUnderLoad(t *testing.T) {
	p := up(t)
	shared := map[string]any{"model": "concurrent"}
	p.deploy(versioned("live", "v1", shared))
	p.command("alias", "set", "live", "prod="+p.command("publish", "live"))
	p.ask("live:prod", "{}")
	stop := make(chan struct{})
	var calls, failures, stale atomic.Int64
	var current atomic.Int64
	current.Store(1)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := current.Load()
				a := p.invoke("live:prod", `{"wait":15}`)
				calls.Add(1)
				var said told
				var n int64
				if a.status != 200 || a.failed || json.Unmarshal([]byte(a.payload), &said) != nil {
					failures.Add(1)
					t.Errorf("dropped: %d %s", a.status, a.payload)
				} else if _, err := fmt.Sscanf(said.Text, "v%d", &n); err != nil || n < before {
					stale.Add(1)
				}
			}
		})
	}
	for n := int64(2); n <= 5; n++ {
		p.deploy(versioned("live", fmt.Sprint("v", n), shared))
		number := p.command("publish", "live")
		if number != fmt.Sprint(n) {
			t.Errorf("published version %s, want %d", number, n)
		}
		p.command("alias", "set", "live", "prod="+number)
		current.Store(n)
		waitFor(t, &calls, 30)
	}
	close(stop)
	wg.Wait()
	if failures.Load() > 0 || stale.Load() > 0 {
		t.Errorf("of %d calls %d failed and %d went where the alias no longer led", calls.Load(), failures.Load(), stale.Load())
	}
	t.Logf("%d calls over four switches, no failure", calls.Load())
}

// TestVersionsStayWarm: an update of $LATEST does not cost a published version its
// instances; its deletion does.
func TestVersionsStayWarm(t *testing.T) {
	p := up(t)
	p.deploy(versioned("hello", "one", nil))
	one := p.command("publish", "hello")
	warm := p.ask("hello:"+one, "{}")
	if warm.Version != "1" || warm.Text != "one" {
		t.Fatalf("%+v", warm)
	}
	latest := p.ask("hello", "{}")
	if latest.Version != "$LATEST" || latest.Instance == warm.Instance {
		t.Errorf("$LATEST is served as %+v by the instance of version 1 (%+v)", latest, warm)
	}
	p.deploy(versioned("hello", "two", nil))
	two := p.command("publish", "hello")
	eventually(t, patience, "the old $LATEST is drained", func() bool {
		for _, i := range p.instances("hello") {
			if i.ID == latest.Instance {
				return false
			}
		}
		return true
	})
	if again := p.ask("hello:"+one, "{}"); again.Instance != warm.Instance || again.Invocation != 2 || again.Text != "one" {
		t.Errorf("version 1 was cold again: %+v, before %+v", again, warm)
	}
	if said := p.ask("hello:"+two, "{}"); said.Text != "two" || said.Version != two {
		t.Errorf("%+v", said)
	}
	p.command("delete", "hello:1", "--yes")
	eventually(t, patience, "the deleted version is drained", func() bool {
		for _, i := range p.instances("hello") {
			if i.ID == warm.Instance {
				return false
			}
		}
		return true
	})
	if a := p.invoke("hello:1", "{}"); a.status != 404 || !strings.Contains(a.payload, "Function not found: arn:aws:lambda:") {
		t.Errorf("the deleted version: %d %s", a.status, a.payload)
	}
}

// TestWeightedAlias: the second version gets its share.
func TestWeightedAlias(t *testing.T) {
	p := up(t)
	shared := map[string]any{"model": "concurrent"}
	p.deploy(versioned("hello", "one", shared))
	p.command("publish", "hello")
	p.deploy(versioned("hello", "two", shared))
	p.command("publish", "hello")
	p.command("alias", "set", "hello", "prod=1", "--also", "2=30%")
	const calls = 1000
	var second atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range calls / 10 {
				if p.ask("hello:prod", "{}").Version == "2" {
					second.Add(1)
				}
			}
		})
	}
	wg.Wait()
	// Five standard deviations: a fair choice is further off once in two million.
	if off := math.Abs(float64(second.Load()) - 0.3*calls); off > 5*math.Sqrt(calls*0.3*0.7) {
		t.Errorf("%d of %d calls went to the second version, want about 30%%", second.Load(), calls)
	}
}

// TestRollback: one command leads back, to instances that are still warm; versions and
// aliases outlive the platform.
func TestRollback(t *testing.T) {
	p := up(t)
	p.deploy(versioned("hello", "good", nil))
	p.command("alias", "set", "hello", "prod="+p.command("publish", "hello"))
	good := p.ask("hello:prod", "{}")
	p.deploy(versioned("hello", "bad", nil))
	p.command("alias", "set", "hello", "prod="+p.command("publish", "hello"))
	if said := p.ask("hello:prod", "{}"); said.Text != "bad" {
		t.Fatalf("%+v", said)
	}
	if said := p.command("rollback", "hello"); said != "hello:prod → version 1 (was version 2)" {
		t.Errorf("rollback says %q", said)
	}
	if said := p.ask("hello:prod", "{}"); said.Text != "good" || said.Instance != good.Instance {
		t.Errorf("after the rollback: %+v, want the instance %s", said, good.Instance)
	}
	status, body := p.do("GET", "/fn/hello:prod/", nil, nil)
	if status != 200 || !strings.Contains(string(body), `"text":"good"`) {
		t.Errorf("the function URL of the alias: %d %s", status, body)
	}
	p.kill()
	p = upIn(t, p.dir)
	if said := p.ask("hello:prod", "{}"); said.Text != "good" || said.Version != "1" {
		t.Errorf("after a kill: %+v", said)
	}
	if said := p.ask("hello:2", "{}"); said.Text != "bad" {
		t.Errorf("after a kill: %+v", said)
	}
	if number := p.command("publish", "hello"); number != "2" {
		t.Errorf("nothing has changed, but version %s was published", number)
	}
}

// TestEventByCommand: an event is accepted, executed, and can be asked about; one whose
// function always fails becomes a dead letter that can be read, replayed and purged.
func TestEventByCommand(t *testing.T) {
	p := up(t)
	p.deploy(versioned("hello", "one", nil))
	p.command("alias", "set", "hello", "prod="+p.command("publish", "hello"))
	id := p.command("invoke", "hello:prod", "--async", "-d", "{}")
	if said := p.command("event-status", id, "--wait"); !strings.Contains(said, "succeeded") || !strings.Contains(said, "hello:prod") {
		t.Errorf("event-status says\n%s", said)
	}
	p.deploy(node("broken", `exports.handler = async (e) => { if (!e.mended) throw new TypeError('not mended'); };`, nil))
	status, body := p.put("/2019-09-25/functions/broken/event-invoke-config", map[string]any{"MaximumRetryAttempts": 0})
	if status != 200 {
		t.Fatalf("PutFunctionEventInvokeConfig: %d %s", status, body)
	}
	id = p.command("invoke", "broken", "--async", "-d", `{"order":7}`)
	stdout, _, code := p.hearth("event-status", id, "--wait")
	if code != 1 || !strings.Contains(stdout, "dead") || !strings.Contains(stdout, "not mended") {
		t.Errorf("event-status: exit %d\n%s", code, stdout)
	}
	list := strings.Split(p.command("dlq", "list", "broken"), "\t")
	if len(list) < 5 || list[1] != "broken" || !strings.Contains(list[4], "not mended") {
		t.Fatalf("dlq list: %q", list)
	}
	key := list[0]
	if shown := p.command("dlq", "show", key); !strings.Contains(shown, `{"order":7}`) {
		t.Errorf("dlq show:\n%s", shown)
	}
	p.deploy(node("broken", `exports.handler = async (e) => e;`, nil))
	replayed := strings.Fields(p.command("dlq", "replay", key))
	if len(replayed) != 2 {
		t.Fatalf("dlq replay: %q", replayed)
	}
	if said := p.command("event-status", replayed[1], "--wait"); !strings.Contains(said, "succeeded") {
		t.Errorf("the replayed event:\n%s", said)
	}
	if left := p.command("dlq", "list"); left != "" {
		t.Errorf("left after the replay: %s", left)
	}
	if said := p.command("status"); !strings.Contains(said, "async broken") {
		t.Errorf("status says nothing of broken:\n%s", said)
	}
}
