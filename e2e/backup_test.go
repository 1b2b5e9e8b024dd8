package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// TestBackup: a platform is backed up while it is called, its functions are updated and
// deleted, and events come and end. What is restored on a fresh platform answers: every
// version, every alias, every function that the backup has; and no event is missing.
func TestBackup(t *testing.T) {
	p := up(t, "--isolation", "process")
	p.deploy(versioned("hello", "one", nil))
	p.command("alias", "set", "hello", "prod="+p.command("publish", "hello"))
	p.deploy(versioned("hello", "two", nil))
	p.command("publish", "hello")
	p.deploy(node("work", `exports.handler = async () => { throw new RangeError('bad'); };`, nil))
	if status, body := p.do("PUT", "/2019-09-25/functions/work/event-invoke-config", []byte(`{"MaximumRetryAttempts":0}`), nil); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	dead := p.event("work", `{}`)
	p.eventReaches(dead, hearth.EventDead)
	p.deploy(node("retried", `exports.handler = async () => { throw new RangeError('again'); };`, nil))
	retried := p.event("retried", `{}`)
	p.eventReaches(retried, hearth.EventRetrying)
	p.deploy(node("slow", `exports.handler = (e) => new Promise((resolve) => setTimeout(() => resolve('ok'), e.ms));`, map[string]any{"timeout": "60s"}))
	var queued []string
	for range 20 {
		queued = append(queued, p.event("slow", `{"ms":2000}`))
	}
	file := filepath.Join(t.TempDir(), "backup.tar.gz")
	p.underChange(func() { p.command("backup", file) })
	if _, stderr, code := p.hearth("backup", file); code != 2 || !strings.Contains(stderr, "exists already") {
		t.Errorf("over a file: exit %d, %s", code, stderr)
	}
	p.stop()

	fresh := up(t, "--isolation", "process")
	said := fresh.command("restore", file)
	t.Log(said)
	for name, text := range map[string]string{"hello": "two", "hello:1": "one", "hello:2": "two", "hello:prod": "one"} {
		if got := fresh.ask(name, "{}"); got.Text != text {
			t.Errorf("%s says %+v, want %s", name, got, text)
		}
	}
	fresh.everyFunctionAnswers()
	letters := fresh.deadLetters()
	if len(letters) != 1 || letters[0].ID != dead {
		t.Errorf("dead letters: %+v", letters)
	}
	var waiting struct{ Functions []hearth.Backlog }
	if fresh.get("/hearth/v1/async?function=retried", &waiting); len(waiting.Functions) != 1 || waiting.Functions[0].Retrying != 1 {
		t.Errorf("what waits for its second attempt: %+v", waiting)
	}
	fresh.everyEventRuns(queued)
	if _, stderr, code := fresh.hearth("restore", file); code != 2 || !strings.Contains(stderr, "not empty") {
		t.Errorf("a platform that has something: exit %d, %s", code, stderr)
	}
	fresh.restoreReplaces(file)
	fresh.refusesDamage(file)
	if got := fresh.ask("hello:prod", "{}"); got.Text != "one" {
		t.Errorf("after files that were damaged: %+v", got)
	}
}

// underChange does something while functions change, come and go.
func (p *platform) underChange(do func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		name := fmt.Sprint("changing", w)
		p.deploy(versioned(name, "0", nil))
		wg.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				p.deploy(versioned(name, fmt.Sprint(n), nil))
				passing := fmt.Sprint("passing", w)
				p.deploy(versioned(passing, fmt.Sprint(n), nil))
				p.do("DELETE", "/hearth/v1/functions/"+passing, nil, nil)
			}
		})
	}
	do()
	close(stop)
	wg.Wait()
}

func (p *platform) everyFunctionAnswers() {
	p.t.Helper()
	var list struct{ Functions []struct{ Name string } }
	p.get("/hearth/v1/functions", &list)
	if len(list.Functions) < 6 {
		p.t.Errorf("%d functions: %+v", len(list.Functions), list)
	}
	for _, f := range list.Functions {
		status, body := p.do("GET", "/hearth/v1/functions/"+f.Name+"/code", nil, nil)
		if status != 200 || !bytes.HasPrefix(body, []byte("PK")) {
			p.t.Errorf("code of %s: %d %.100s", f.Name, status, body)
		}
		if strings.HasPrefix(f.Name, "changing") || strings.HasPrefix(f.Name, "passing") {
			p.ask(f.Name, "{}")
		}
	}
}

// everyEventRuns waits until each event has been executed here.
func (p *platform) everyEventRuns(ids []string) {
	p.t.Helper()
	for _, id := range ids {
		eventually(p.t, patience, "event "+id+" has run", func() bool {
			status, body := p.do("GET", "/hearth/v1/async/events/"+id, nil, nil)
			return status == 200 && strings.Contains(string(body), `"succeeded"`)
		})
	}
}

// restoreReplaces: with --force what came after the backup goes, instances too.
func (p *platform) restoreReplaces(file string) {
	p.t.Helper()
	p.deploy(versioned("hello", "three", nil))
	p.deploy(versioned("later", "later", nil))
	p.ask("later", "{}")
	p.ask("hello", "{}")
	p.command("restore", "--force", file)
	// The version that comes back was drained a moment ago: callers may be told to try
	// again until the worker has forgotten that.
	eventually(p.t, 90*time.Second, "what was replaced answers again", func() bool {
		a := p.invoke("hello", "{}")
		if a.status == 200 && !strings.Contains(a.payload, `"text":"two"`) {
			p.t.Errorf("after a restore: %s", a.payload)
		}
		return a.status == 200
	})
	if a := p.invoke("later", "{}"); a.status != 404 {
		p.t.Errorf("a function that the backup lacks: %d %s", a.status, a.payload)
	}
	eventually(p.t, patience, "its instances go", func() bool { return len(p.instances("later")) == 0 })
}

// refusesDamage: a file with any fault changes nothing.
func (p *platform) refusesDamage(file string) {
	p.t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0x40
	for what, content := range map[string][]byte{"cut short": whole[:len(whole)-100], "flipped": flipped, "nonsense": []byte("nonsense"), "empty": nil} {
		status, body := p.do("POST", "/hearth/v1/restore?force=1", content, nil)
		if status != http.StatusBadRequest || !strings.Contains(string(body), "Nothing was restored") {
			p.t.Errorf("%s: %d %s", what, status, body)
		}
		bad := filepath.Join(p.t.TempDir(), "bad")
		if err := os.WriteFile(bad, content, 0o600); err != nil {
			p.t.Fatal(err)
		}
		if _, stderr, code := p.hearth("restore", "--force", bad); code != 2 || !strings.Contains(stderr, "damaged") {
			p.t.Errorf("%s by command: exit %d, %s", what, code, stderr)
		}
	}
}
