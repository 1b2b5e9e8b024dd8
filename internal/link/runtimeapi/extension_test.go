package runtimeapi

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
)

const extensionBase = "/2020-01-01/extension/"

// register registers an extension and returns its identifier.
func (w *world) register(name, events string) string {
	w.t.Helper()
	r := w.do("POST", extensionBase+"register", `{"events":[`+events+`]}`, "Lambda-Extension-Name", name, "Lambda-Extension-Accept-Feature", "accountId")
	id := r.header.Get("Lambda-Extension-Identifier")
	if r.status != 200 || id == "" || !strings.Contains(r.body, `"functionName":"f"`) || !strings.Contains(r.body, `"accountId":"000000000000"`) {
		w.t.Fatalf("register: %d %s", r.status, r.body)
	}
	return id
}

// told reads an event.
func told(t *testing.T, r reply, kind string) (e struct{ EventType, RequestID, ShutdownReason string }) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || e.EventType != kind || r.header.Get("Lambda-Extension-Event-Identifier") == "" {
		t.Fatalf("%s, want %s", r.body, kind)
	}
	return e
}

// TestExtensionsFirst: extensions start before the runtime, which starts once all of them
// have registered; init ends when all of them and the runtime wait for what comes.
func TestExtensionsFirst(t *testing.T) {
	w, puppets := startBeside(t, hearth.Exclusive, 1, "one", "two")
	one := w.started(puppets, "one")
	w.started(puppets, "two")
	if slices.ContainsFunc(one.env, func(pair string) bool { return strings.HasPrefix(pair, "AWS_EXECUTION_ENV=") }) {
		t.Errorf("an extension sees the runtime's own variables: %q", one.env)
	}
	first := w.register("one", `"INVOKE","SHUTDOWN"`)
	refused(t, w.do("POST", extensionBase+"register", `{}`, "Lambda-Extension-Name", "one"), 403, "Extension.InvalidExtensionState")
	select {
	case p := <-puppets:
		t.Fatalf("%s is started before two has registered", p.path)
	default:
	}
	second := w.register("two", "")
	bootstrap := w.started(puppets, "bootstrap")
	events, _ := w.event(first), w.event(second)
	poll := w.poll()
	w.ready()
	refused(t, w.do("POST", extensionBase+"register", `{}`, "Lambda-Extension-Name", "late"), 403, "Extension.RegistrationClosed")
	call := w.send("r1", "{}")
	receive(t, poll)
	one.stdout.WriteString("an extension's line\n")
	if e := told(t, receive(t, events), "INVOKE"); e.RequestID != "r1" {
		t.Errorf("%+v", e)
	}
	w.respond("r1", `"done"`)
	if response, _ := w.wait(call); response != `"done"` {
		t.Error(response)
	}
	eventuallyLogged(t, w, "- 1 an extension's line")
	// The next one waits until the extension asks for news again.
	poll, call = w.poll(), w.send("r2", "{}")
	select {
	case r := <-poll:
		t.Fatalf("%s: the extension is busy still", r.id())
	case <-time.After(20 * time.Millisecond):
	}
	events = w.event(first)
	told(t, receive(t, events), "INVOKE")
	receive(t, poll)
	w.respond("r2", "1")
	w.wait(call)

	events = w.event(first)
	w.conn.Shutdown(2 * time.Second)
	if sig := receive(t, bootstrap.signals); sig != syscall.SIGTERM {
		t.Errorf("signal %v", sig)
	}
	bootstrap.exit(0)
	if e := told(t, receive(t, events), "SHUTDOWN"); e.ShutdownReason != "spindown" {
		t.Errorf("%+v", e)
	}
	one.exit(0)
	receive(t, w.code)
}

func eventuallyLogged(t *testing.T, w *world, text string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !strings.Contains(w.log(), text); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("log %q, want %q", w.log(), text)
		}
	}
}

// TestConcurrentExtensions: where many run at once nobody waits for an extension.
func TestConcurrentExtensions(t *testing.T) {
	w := start(t, hearth.Concurrent, 2)
	id := w.register("x", `"INVOKE"`)
	event := w.event(id)
	first, second := w.poll(), w.poll()
	w.ready()
	calls := []*link.Call{w.send("r1", "{}"), w.send("r2", "{}")}
	for _, poll := range []<-chan reply{first, second} {
		w.respond(receive(t, poll).id(), "1")
	}
	for _, call := range calls {
		w.wait(call)
	}
	told(t, receive(t, event), "INVOKE")
	told(t, w.do("GET", extensionBase+"event/next", "", "Lambda-Extension-Identifier", id), "INVOKE")
}

// TestExtensionsThatFail: init, or the invocation in flight, fails with Lambda's types.
func TestExtensionsThatFail(t *testing.T) {
	initFails := func(t *testing.T, w *world, kind, words string) {
		t.Helper()
		var failed *link.InitError
		if err := receive(t, w.initErr); !errors.As(err, &failed) || failed.Doc.ErrorType != kind || !strings.Contains(failed.Doc.ErrorMessage, words) {
			t.Errorf("%v, want %s with %q", err, kind, words)
		}
	}
	t.Run("it exits before it has registered", func(t *testing.T) {
		w, puppets := startBeside(t, hearth.Exclusive, 1, "x")
		w.started(puppets, "x").exit(3 << 8)
		initFails(t, w, "Extension.Crash", "the extension x exited with error: exit status 3")
		if code := receive(t, w.code); code != 3 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("it tells of a failed init", func(t *testing.T) {
		w, puppets := startBeside(t, hearth.Exclusive, 1, "x")
		w.started(puppets, "x")
		id := w.register("x", "")
		w.started(puppets, "bootstrap")
		refused(t, w.do("POST", extensionBase+"init/error", `{}`, "Lambda-Extension-Identifier", id), 403, "Extension.MissingHeader")
		w.do("POST", extensionBase+"init/error", `{"errorMessage":"no key"}`, "Lambda-Extension-Identifier", id, "Lambda-Extension-Function-Error-Type", "Extension.NoKey")
		initFails(t, w, "Extension.NoKey", "no key")
	})
	t.Run("it exits beside an invocation", func(t *testing.T) {
		w, puppets := startBeside(t, hearth.Exclusive, 1, "x")
		x := w.started(puppets, "x")
		id := w.register("x", `"INVOKE"`)
		bootstrap := w.started(puppets, "bootstrap")
		w.event(id)
		poll := w.poll()
		w.ready()
		call := w.send("r1", "{}")
		receive(t, poll)
		x.exit(0)
		if response, failed := w.wait(call); !failed || !strings.Contains(response, `"Extension.Crash"`) || !strings.Contains(response, "RequestId: r1 Error: the extension x exited") {
			t.Error(response)
		}
		if sig := receive(t, bootstrap.signals); sig != syscall.SIGKILL {
			t.Errorf("signal %v", sig)
		}
		if code := receive(t, w.code); code != 1 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("it says why it exits", func(t *testing.T) {
		w, puppets := startBeside(t, hearth.Exclusive, 1, "x")
		x := w.started(puppets, "x")
		id := w.register("x", "")
		w.started(puppets, "bootstrap")
		w.event(id)
		poll := w.poll()
		w.ready()
		call := w.send("r1", "{}")
		receive(t, poll)
		w.do("POST", extensionBase+"exit/error", `{"errorMessage":"lost"}`, "Lambda-Extension-Identifier", id, "Lambda-Extension-Function-Error-Type", "Extension.Lost")
		x.exit(1 << 8)
		if response, failed := w.wait(call); !failed || !strings.Contains(response, `"Extension.Lost"`) || !strings.Contains(response, "lost") {
			t.Error(response)
		}
	})
}

// TestExtensionThatHoldsUp: an invocation that waits for an extension is told of in the
// log, and fails with it.
func TestExtensionThatHoldsUp(t *testing.T) {
	w, puppets := startBeside(t, hearth.Exclusive, 1, "x")
	x := w.started(puppets, "x")
	id := w.register("x", `"INVOKE"`)
	w.started(puppets, "bootstrap")
	event := w.event(id)
	poll := w.poll()
	w.ready()
	call := w.send("r1", "{}")
	receive(t, poll)
	w.respond("r1", "1")
	w.wait(call)
	receive(t, event) // and it never asks again
	w.poll()
	call = w.send("r2", "{}")
	w.conn.Cancel(call)
	eventuallyLogged(t, w, "waited in vain for the extension x,")
	x.exit(0)
	receive(t, call.Done())
	if call.Err != link.ErrCancelled {
		t.Errorf("%v, %s", call.Err, call.Response)
	}
	receive(t, w.code)
}

// TestShutdownReasons: extensions hear that the instance ends because of a time-out,
// and that the runtime has failed.
func TestShutdownReasons(t *testing.T) {
	w, puppets := startBeside(t, hearth.Exclusive, 1, "x")
	x := w.started(puppets, "x")
	event := w.event(w.register("x", `"SHUTDOWN"`))
	w.started(puppets, "bootstrap").exit(7 << 8)
	if e := told(t, receive(t, event), "SHUTDOWN"); e.ShutdownReason != "failure" {
		t.Errorf("%+v", e)
	}
	x.exit(0)
	if code := receive(t, w.code); code != 7 {
		t.Errorf("exit code %d", code)
	}

	w, puppets = startBeside(t, hearth.Exclusive, 1, "x")
	x = w.started(puppets, "x")
	event = w.event(w.register("x", `"SHUTDOWN"`))
	bootstrap := w.started(puppets, "bootstrap")
	poll := w.poll()
	w.ready()
	call := w.send("r1", "{}")
	receive(t, poll)
	w.conn.Cancel(call)
	w.conn.Shutdown(2 * time.Second)
	receive(t, bootstrap.signals)
	bootstrap.exit(0)
	if e := told(t, receive(t, event), "SHUTDOWN"); e.ShutdownReason != "timeout" {
		t.Errorf("%+v", e)
	}
	x.exit(0)
	receive(t, w.code)
}

func TestNoTelemetry(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	refused(t, w.do("PUT", "/2022-07-01/telemetry", "{}"), 202, "Telemetry.NotSupported")
	refused(t, w.do("PUT", "/2020-08-15/logs", "{}"), 202, "Logs.NotSupported")
}

func TestFindExtensions(t *testing.T) {
	dir := t.TempDir()
	if paths, err := findExtensions(filepath.Join(dir, "none")); paths != nil || err != nil {
		t.Error(paths, err)
	}
	for name, mode := range map[string]os.FileMode{"b": 0o755, "a": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	if paths, err := findExtensions(dir); err != nil || len(paths) != 2 || paths[0] != filepath.Join(dir, "a") {
		t.Error(paths, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := findExtensions(dir); err == nil || !strings.Contains(err.Error(), "chmod +x") {
		t.Error(err)
	}
}
