// Package shimtest runs the real shims for tests and benchmarks: a real interpreter,
// the embedded shim and a socketpair, without a sandbox.
package shimtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/loop/looptest"
)

// Patience bounds every wait for an interpreter.
const Patience = time.Minute

// Options says what to start.
type Options struct {
	Language    string // shim.Node or shim.Python
	Interpreter string
	Files       map[string]string // the code, by path below the task root
	Handler     string
	Modules     string // a directory that is node_modules below the task root
	Dialect     string // a hearth.Dialect's name; "" is aws
	Slots       int    // over 1: the concurrent model
	Concurrent  bool
	Env         map[string]string // of the function
	// ProcessEnv is the environment that the process starts with.
	ProcessEnv       []string
	MaxResponseBytes int
	OnLog            func(call *link.Call, fd int, text []byte) // besides Log
}

// Instance is a running shim.
type Instance struct {
	Conn     *link.Conn
	Hello    link.Hello
	InitErr  error
	TaskRoot string
	Process  *os.Process

	command *exec.Cmd
	output  bytes.Buffer // what went to the real standard output and error
	exited  chan struct{}

	mu   sync.Mutex
	logs []Entry
}

// Entry is one LOG frame.
type Entry struct {
	Request string // "" when it belongs to the instance
	FD      int
	Text    string
}

// Start starts a shim and initialises it; InitErr tells how that ended. Everything is
// gone when the test ends.
func Start(tb testing.TB, o Options) *Instance {
	tb.Helper()
	shims := filepath.Join(tb.TempDir(), "runtime")
	if err := shim.Write(shims); err != nil {
		tb.Fatal(err)
	}
	in := &Instance{TaskRoot: filepath.Join(tb.TempDir(), "task"), exited: make(chan struct{})}
	writeFiles(tb, in.TaskRoot, o.Files)
	if o.Modules != "" {
		if err := os.Symlink(o.Modules, filepath.Join(in.TaskRoot, "node_modules")); err != nil {
			tb.Fatal(err)
		}
	}
	near := in.spawn(tb, shim.Command(o.Language, o.Interpreter, 256, shims), o.ProcessEnv)
	slots := max(o.Slots, 1)
	in.Conn = link.New(near, link.Options{
		Loop: looptest.New(tb), MaxInFlight: slots, MaxResponseBytes: o.MaxResponseBytes, OnLog: func(call *link.Call, fd int, text []byte) {
			in.record(call, fd, text)
			if o.OnLog != nil {
				o.OnLog(call, fd, text)
			}
		},
	})
	tb.Cleanup(func() { in.stop(tb) })
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var err error
	if in.Hello, err = in.Conn.Hello(ctx); err != nil {
		tb.Fatalf("hello: %v; output: %s", err, in.output.String())
	}
	in.InitErr = in.Conn.Init(ctx, in.init(o, slots))
	return in
}

func (in *Instance) init(o Options, slots int) link.Init {
	model := hearth.Exclusive
	if o.Concurrent || slots > 1 {
		model = hearth.Concurrent
	}
	most := o.MaxResponseBytes
	if most == 0 {
		most = hearth.MaxPayloadBytes
	}
	return link.Init{
		Handler: o.Handler, Dialect: o.Dialect, TaskRoot: in.TaskRoot, Env: o.Env, Model: model, Slots: slots,
		Function: "hello", Version: "7", MemoryMB: 256,
		ARN:      "arn:aws:lambda:us-east-1:000000000000:function:hello",
		LogGroup: "/aws/lambda/hello", LogStream: "2026/11/21/[7]i0123456789ab", MaxResponseBytes: most,
	}
}

func writeFiles(tb testing.TB, root string, files map[string]string) {
	tb.Helper()
	if err := os.MkdirAll(root, 0o755); err != nil {
		tb.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
}

// Socketpair returns both ends of a connected stream socket: one for link.New, one to
// be inherited as descriptor 3.
func Socketpair(tb testing.TB) (net.Conn, *os.File) {
	tb.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	near := os.NewFile(uintptr(fds[0]), "link")
	defer near.Close()
	conn, err := net.FileConn(near)
	if err != nil {
		tb.Fatal(err)
	}
	return conn, os.NewFile(uintptr(fds[1]), "link")
}

func (in *Instance) spawn(tb testing.TB, args, env []string) net.Conn {
	tb.Helper()
	near, far := Socketpair(tb)
	defer far.Close()
	in.command = exec.Command(args[0], args[1:]...)
	in.command.Env = append([]string{"PATH=/usr/bin:/bin"}, env...)
	in.command.ExtraFiles = []*os.File{far}
	in.command.Stdout, in.command.Stderr = &in.output, &in.output
	in.command.WaitDelay = time.Second
	if err := in.command.Start(); err != nil {
		near.Close()
		tb.Fatal(err)
	}
	in.Process = in.command.Process
	go func() {
		in.command.Wait()
		close(in.exited)
	}()
	return near
}

// stop closes the connection, which must end the process.
func (in *Instance) stop(tb testing.TB) {
	in.Conn.Close()
	select {
	case <-in.exited:
	case <-time.After(Patience):
		in.Process.Kill()
		<-in.exited
		tb.Errorf("the shim outlived its connection")
	}
}

// Exit waits for the end of the process and returns its exit code.
func (in *Instance) Exit(tb testing.TB) int {
	tb.Helper()
	select {
	case <-in.exited:
		return in.command.ProcessState.ExitCode()
	case <-time.After(Patience):
		tb.Fatal("the process did not exit")
		return 0
	}
}

// Output is what went to the real standard output and error of a process that has
// exited.
func (in *Instance) Output(tb testing.TB) string {
	tb.Helper()
	in.Exit(tb)
	return in.output.String()
}

func (in *Instance) record(call *link.Call, fd int, text []byte) {
	entry := Entry{FD: fd, Text: string(text)}
	if call != nil {
		entry.Request = call.ID
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.logs = append(in.logs, entry)
}

// Logs returns the LOG frames so far.
func (in *Instance) Logs() []Entry {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]Entry(nil), in.logs...)
}

// Log joins the texts of one request's LOG frames; fd 0 means both.
func (in *Instance) Log(request string, fd int) string {
	var b strings.Builder
	for _, entry := range in.Logs() {
		if entry.Request == request && (fd == 0 || entry.FD == fd) {
			b.WriteString(entry.Text)
		}
	}
	return b.String()
}

// Result is how a call ended.
type Result struct {
	Response string
	Failed   bool
	Err      error
	Body     string // that came beside Response
}

// Begin sends a call and returns a function that waits for its result: an empty one when
// a streamed response has begun, which the call tells of once more when it has ended.
func (in *Instance) Begin(tb testing.TB, call *link.Call) func() Result {
	tb.Helper()
	if call.Deadline.IsZero() {
		call.Deadline = time.Now().Add(Patience)
	}
	if call.ARN == "" {
		call.ARN = "arn:aws:lambda:us-east-1:000000000000:function:hello:live"
	}
	if err := in.Conn.Send(call); err != nil {
		tb.Fatalf("send %s: %v", call.ID, err)
	}
	return func() Result {
		tb.Helper()
		select {
		case <-call.Done():
			if call.Stream != nil {
				return Result{}
			}
			return Result{string(call.Response), call.Failed, call.Err, string(call.Body)}
		case <-time.After(Patience):
			tb.Fatalf("call %s did not end; logs: %v", call.ID, in.Logs())
			return Result{}
		}
	}
}

// Call invokes the handler with a payload and waits.
func (in *Instance) Call(tb testing.TB, id, payload string) Result {
	tb.Helper()
	if in.InitErr != nil {
		tb.Fatalf("init: %v", in.InitErr)
	}
	call := link.NewCall()
	call.ID, call.Payload = id, []byte(payload)
	return in.Begin(tb, call)()
}

func (r Result) String() string {
	return fmt.Sprintf("response %s, failed %v, error %v", r.Response, r.Failed, r.Err)
}
