package api

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"go.uber.org/goleak"

	"hearth/internal/events"
	"hearth/internal/hearth"
	"hearth/internal/logs"
	"hearth/internal/loop/looptest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// patience is how long to wait for what must come.
const patience = time.Minute

// world is a server on loopback, on top of everything it needs, in memory.
type world struct {
	*Server
	addr      string
	functions *memFunctions
	invoker   *memInvoker
	async     *memAsync
	platform  *memPlatform
	events    *events.Ring
	logs      *logs.Logs
	served    chan error
}

// start starts a server that stops with the test. Ids and times are always the same.
func start(t testing.TB, cfg Config) *world {
	t.Helper()
	cfg.Loops = looptest.Group(t)
	return startAs(t, cfg)
}

// startAs is start with the loops that cfg has, or none.
func startAs(t testing.TB, cfg Config) *world {
	t.Helper()
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	now := func() time.Time { return at }
	w := &world{functions: newMemFunctions(now), events: events.New(), logs: logs.New(logs.Config{}), served: make(chan error, 1)}
	w.invoker = newMemInvoker(w.functions)
	w.async = &memAsync{now: now, events: map[string]hearth.EventStatus{}}
	w.platform = &memPlatform{started: at, fns: w.functions}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w.Server = New(cfg, Deps{Functions: w.functions, Invoker: w.invoker, Async: w.async, Platform: w.platform, Logs: w.logs, Events: w.events})
	var ids atomic.Int64
	w.now = now
	w.newID = func() string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", ids.Add(1)) }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	go func() { w.served <- w.Serve(l) }()
	t.Cleanup(func() { w.stop(t) })
	return w
}

func (w *world) stop(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), patience/2)
	defer cancel()
	if err := w.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	select {
	case err := <-w.served:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
		w.served <- nil
	case <-ctx.Done():
		t.Error("Serve did not return")
	}
	w.invoker.close()
	w.logs.Close()
}

// deploy puts a function there without going through HTTP.
func (w *world) deploy(t testing.TB, name, handler, description string) {
	t.Helper()
	f := &hearth.Function{Name: name}
	f.Latest.Config = hearth.Config{Runtime: "nodejs20.x", Handler: handler}
	f.Latest.Config.Normalize()
	if _, err := w.functions.Create(context.Background(), f, archive("index.js", "exports."+handler)); err != nil {
		t.Fatal(err)
	}
	// Only in these tests may a description be as long as an answer.
	w.functions.functions[name].Latest.Config.Description = description
}

// archive is a zip of one file, the same bytes every time.
func archive(name, text string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err == nil {
		_, err = io.WriteString(f, text)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// dial opens a connection with a deadline for everything on it.
func (w *world) dial(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

// exchange sends one request as raw bytes and gives the answer with its body.
func (w *world) exchange(t testing.TB, raw string) (*http.Response, string) {
	t.Helper()
	c, r := w.dial(t)
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%v\nafter %.200q", err, raw)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestGolden holds every route, and every error, to what is written down.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		w := start(t, Config{AccountLimit: 1000, CheckHost: true, AllowedHosts: []string{"Hearth.test."}})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "deploy":
				var name, handler string
				d.ScanArgs(t, "name", &name)
				d.ScanArgs(t, "handler", &handler)
				w.deploy(t, name, handler, d.Input)
				return ""
			case "instance":
				w.platform.list = append(w.platform.list, hearth.InstanceInfo{ID: d.CmdArgs[0].Key, Function: d.CmdArgs[1].Key, State: hearth.Idle, Slots: 1})
				return ""
			case "event":
				w.events.Emit(hearth.Event{Time: w.now(), Kind: d.CmdArgs[0].Key, Function: d.CmdArgs[1].Key})
				return ""
			case "log":
				w.logs.Open(d.CmdArgs[0].Key, "i00000000000a").Line(w.now(), "r1", 1, []byte(d.Input+"\n"))
				return ""
			case "disk-full":
				w.async.full = true
				return ""
			case "dead-letter":
				w.async.bury(d.CmdArgs[0].Key, []byte(d.Input))
				return ""
			case "http":
				return w.golden(t, d.Input)
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

// golden sends a request written for people and writes the answer for people.
func (w *world) golden(t *testing.T, input string) string {
	input = strings.NewReplacer(
		"$ZIP2", base64.StdEncoding.EncodeToString(archive("index.js", "two")),
		"$ZIP", base64.StdEncoding.EncodeToString(archive("index.js", "one")),
	).Replace(input)
	head, body, _ := strings.Cut(input, "\n\n")
	lines := strings.Split(head, "\n")
	raw := lines[0] + " HTTP/1.1\r\n"
	if !strings.Contains(head, "\nHost:") {
		raw += "Host: hearth.test:9000\r\n"
	}
	for _, line := range lines[1:] {
		raw += line + "\r\n"
	}
	if body != "" {
		raw += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	resp, text := w.exchange(t, raw+"Connection: close\r\n\r\n"+body)
	var b strings.Builder
	fmt.Fprintln(&b, resp.Status)
	var names []string
	for name := range resp.Header {
		if name != "Date" && name != "Connection" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range resp.Header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	if text != "" {
		fmt.Fprintf(&b, "\n%s", strings.TrimSuffix(text, "\n")+"\n")
	}
	return b.String()
}
