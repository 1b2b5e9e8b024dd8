package runtimeapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/loop/looptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// puppet is a runtime that the test plays: it speaks HTTP itself.
type puppet struct {
	path           string
	env            []string
	stdout, stderr *os.File
	signals        chan syscall.Signal
	done           chan syscall.WaitStatus
}

func (p *puppet) Signal(sig syscall.Signal)       { p.signals <- sig }
func (p *puppet) Done() <-chan syscall.WaitStatus { return p.done }

// exit ends the puppet.
func (p *puppet) exit(status syscall.WaitStatus) {
	p.stdout.Close()
	p.stderr.Close()
	p.done <- status
}

// world is an adapter between a real link and a puppet.
type world struct {
	t       *testing.T
	conn    *link.Conn
	puppet  *puppet
	url     string
	client  *http.Client
	initErr chan error
	code    chan int

	mu   sync.Mutex
	logs []string
}

// start starts an adapter and its puppet; init is under way then.
func start(t *testing.T, model hearth.Model, slots int) *world {
	t.Helper()
	w, puppets := startBeside(t, model, slots)
	w.puppet = w.started(puppets, "bootstrap")
	return w
}

// startBeside starts an adapter whose function has extensions of these names; what it
// starts comes on the channel.
func startBeside(t *testing.T, model hearth.Model, slots int, extensions ...string) (*world, <-chan *puppet) {
	t.Helper()
	root := t.TempDir()
	programs := []string{"bootstrap"}
	for _, name := range extensions {
		programs = append(programs, filepath.Join("opt/extensions", name))
	}
	for _, name := range programs {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/false\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	started := make(chan *puppet, len(programs))
	w := newWorld(t, root, model, slots, func(path, dir string, env []string, stdout, stderr *os.File) (Process, error) {
		p := &puppet{path: path, env: env, signals: make(chan syscall.Signal, 8), done: make(chan syscall.WaitStatus, 1)}
		p.stdout, p.stderr = dup(t, stdout), dup(t, stderr)
		started <- p
		return p, nil
	})
	return w, started
}

// started waits for the puppet with that name to be started.
func (w *world) started(puppets <-chan *puppet, name string) *puppet {
	w.t.Helper()
	p := receive(w.t, puppets)
	w.t.Cleanup(func() { p.stdout.Close(); p.stderr.Close() })
	if filepath.Base(p.path) != name {
		w.t.Fatalf("%s is started, want %s", p.path, name)
	}
	for _, pair := range p.env {
		if api, ok := strings.CutPrefix(pair, "AWS_LAMBDA_RUNTIME_API="); ok {
			w.url = "http://" + api
		}
	}
	return p
}

func newWorld(t *testing.T, root string, model hearth.Model, slots int, startRuntime StartFunc) *world {
	near, far := pair(t)
	w := &world{t: t, initErr: make(chan error, 1), code: make(chan int, 1), client: &http.Client{Transport: &http.Transport{}}}
	w.conn = link.New(near, link.Options{Loop: looptest.New(t), MaxInFlight: slots, OnLog: func(call *link.Call, fd int, text []byte) {
		id := "-"
		if call != nil {
			id = call.ID
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.logs = append(w.logs, fmt.Sprintf("%s %d %s", id, fd, text))
	}})
	var tasks sync.WaitGroup
	tasks.Go(func() { w.code <- Run(Config{Conn: far, Start: startRuntime}) })
	tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := w.conn.Hello(ctx); err != nil {
			w.initErr <- err
			return
		}
		w.initErr <- w.conn.Init(ctx, link.Init{
			Handler: "main", TaskRoot: root, Env: map[string]string{"AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023"},
			Model: model, Slots: slots, Function: "f", Version: "7", ARN: "arn:aws:lambda:r:000000000000:function:f", MaxResponseBytes: hearth.MaxPayloadBytes,
		})
	})
	t.Cleanup(func() {
		w.conn.Close()
		tasks.Wait()
		w.client.CloseIdleConnections()
	})
	return w
}

func dup(t *testing.T, f *os.File) *os.File {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Error(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

func pair(t *testing.T) (near, far net.Conn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		if conns[i], err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	return conns[0], conns[1]
}

// reply is an answer of the Runtime API.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) id() string { return r.header.Get("Lambda-Runtime-Aws-Request-Id") }

func (w *world) do(method, path, body string, header ...string) reply {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.request(ctx, method, path, strings.NewReader(body), header...)
}

func (w *world) request(ctx context.Context, method, path string, body io.Reader, header ...string) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, body)
	if err != nil {
		w.t.Error(err)
		return reply{}
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text)}
}

const base = "/2018-06-01/runtime/"

func (w *world) next() reply { w.t.Helper(); return w.do("GET", base+"invocation/next", "") }

func (w *world) respond(id, body string) reply {
	w.t.Helper()
	return w.do("POST", base+"invocation/"+id+"/response", body)
}

// poll calls next beside the test.
func (w *world) poll() <-chan reply {
	c := make(chan reply, 1)
	go func() { c <- w.next() }()
	return c
}

// event calls event/next beside the test.
func (w *world) event(id string) <-chan reply {
	c := make(chan reply, 1)
	go func() {
		c <- w.do("GET", "/2020-01-01/extension/event/next", "", "Lambda-Extension-Identifier", id)
	}()
	return c
}

// ready waits until the host knows that init has succeeded: some poll must be waiting.
func (w *world) ready() {
	w.t.Helper()
	if err := receive(w.t, w.initErr); err != nil {
		w.t.Fatal(err)
	}
}

func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// send sends an invocation.
func (w *world) send(id, payload string) *link.Call {
	w.t.Helper()
	call := link.NewCall()
	call.ID, call.Payload, call.Deadline = id, []byte(payload), time.UnixMilli(1_800_000_000_123)
	call.ARN, call.TraceID, call.ClientContext = "arn:x", "Root=1", []byte("{\n\"a\": 1}")
	if err := w.conn.Send(call); err != nil {
		w.t.Fatal(err)
	}
	return call
}

// wait waits for the end of a call that is not streamed.
func (w *world) wait(call *link.Call) (response string, failed bool) {
	w.t.Helper()
	receive(w.t, call.Done())
	if call.Err != nil || call.Stream != nil {
		w.t.Fatalf("%v, streamed %v", call.Err, call.Stream != nil)
	}
	return string(call.Response), call.Failed
}

func (w *world) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.logs, "")
}

// slowReader gives out its parts when the test says so.
type slowReader struct{ parts chan []byte }

func (s slowReader) Read(p []byte) (int, error) {
	part, ok := <-s.parts
	if !ok {
		return 0, io.EOF
	}
	return copy(p, part), nil
}

func readAll(s *link.Stream) string {
	var all bytes.Buffer
	for {
		part, err := s.Next()
		all.Write(part)
		if err != nil {
			return all.String()
		}
	}
}
