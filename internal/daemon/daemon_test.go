package daemon

import (
	"archive/zip"
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
	"hearth/internal/registry"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps the Date header fresh for ever, and looks for idle workers every
		// ten seconds even after a server has stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1.1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// config is that of a small platform of plain processes.
func config(dir string) Config {
	return Config{Listen: "127.0.0.1:0", DataDir: dir, Isolation: IsolationProcess, MemoryMB: 1024}
}

func start(t *testing.T, cfg Config) *Platform {
	t.Helper()
	p, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func archive(t *testing.T, source string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("main.py")
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(source))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func create(t *testing.T, p *Platform, name, answer string) {
	t.Helper()
	f := &hearth.Function{Name: name}
	f.Latest.Config = hearth.Config{Runtime: "python", Handler: "main.handler", Timeout: 10 * time.Second}
	f.Latest.Config.Normalize()
	source := "def handler(event, context):\n    print('said')\n    return '" + answer + "'\n"
	if _, err := p.registry.Create(t.Context(), f, archive(t, source)); err != nil {
		t.Fatal(err)
	}
}

func (p *Platform) call(t *testing.T, name string) string {
	t.Helper()
	res, err := p.invoke.Invoke(t.Context(), &invoke.Request{Function: name, Payload: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	return string(res.Payload)
}

// What was acknowledged is there after a stop and a start.
func TestStopAndStartAgain(t *testing.T) {
	dir := t.TempDir()
	p := start(t, config(dir))
	create(t, p, "f", "one")
	if got := p.call(t, "f"); got != `"one"` {
		t.Error(got)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
	p = start(t, config(dir))
	if got := p.call(t, "f"); got != `"one"` {
		t.Errorf("after the restart: %s", got)
	}
	if s := p.Status(); s.Functions != 1 || s.Instances != 1 || s.Isolation != "process" || len(s.Warnings) == 0 {
		t.Errorf("status %+v", s)
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	p := start(t, config(dir))
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"port in use":       {Config{Listen: p.Addr().String(), DataDir: t.TempDir(), Isolation: IsolationProcess}, "--listen"},
		"data dir in use":   {config(dir), "process"},
		"open to everybody": {Config{Listen: "0.0.0.0:0", DataDir: t.TempDir(), Isolation: IsolationProcess}, "127.0.0.1"},
		"not a directory":   {Config{Listen: "127.0.0.1:0", DataDir: "/dev/null/x", Isolation: IsolationProcess}, "data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Start(t.Context(), c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want words about %q", err, c.want)
			}
		})
	}
	if l, err := net.Listen("tcp", p.Addr().String()); err == nil {
		l.Close()
		t.Error("the failed starts closed the door of the one that runs")
	}
}

// The follower hears of changes late: what has come after them must not suffer.
func TestLateNewsHarmNothing(t *testing.T) {
	p := start(t, config(t.TempDir()))
	create(t, p, "f", "old")
	p.call(t, "f")
	old, err := p.registry.Get("f")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.registry.Delete(t.Context(), "f"); err != nil {
		t.Fatal(err)
	}
	create(t, p, "f", "new")
	if got := p.call(t, "f"); got != `"new"` {
		t.Error(got)
	}
	f := follow(p.registry, p.worker, p.invoke, p.logs, p.events, p.cfg.Log)
	defer f.close()
	f.change(registry.Change{Old: old}) // once more, long after
	if got := p.call(t, "f"); got != `"new"` {
		t.Errorf("after the late news: %s", got)
	}
	entries, err := p.logs.Query(hearth.LogFilter{Function: "f"})
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, e := range entries {
		if e.Text == "said" {
			said++
		}
	}
	if said < 2 {
		t.Errorf("the log has %d lines of the new function's two invocations", said)
	}
}

func TestStopCutsOffWhatTakesTooLong(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.DrainTimeout = 200 * time.Millisecond
	p := start(t, cfg)
	f := &hearth.Function{Name: "slow"}
	f.Latest.Config = hearth.Config{Runtime: "python", Handler: "main.handler", Timeout: time.Minute}
	f.Latest.Config.Normalize()
	source := "import time\ndef handler(event, context):\n    time.sleep(60)\n"
	if _, err := p.registry.Create(t.Context(), f, archive(t, source)); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		res, err := p.invoke.Invoke(context.Background(), &invoke.Request{Function: "slow", Payload: []byte("{}")})
		if err != nil {
			done <- err.Error()
			return
		}
		done <- string(res.Payload)
	}()
	deadline := time.After(time.Minute)
	for p.Status().InFlight == 0 {
		select {
		case <-deadline:
			t.Fatal("the call did not begin")
		case <-time.After(5 * time.Millisecond):
		}
	}
	begin := time.Now()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if got := <-done; !strings.Contains(got, "stopping") {
		t.Errorf("the caller was told %s", got)
	}
}
