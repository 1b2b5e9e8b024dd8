package runtimeapi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
)

// usual is where the Runtime API is on Lambda. A function may rely on its variable
// alone, AWS_LAMBDA_RUNTIME_API.
const usual = "127.0.0.1:9001"

// lambdaRoot is where the code is in a sandbox with a file system of its own.
const lambdaRoot = "/var/task"

const (
	// endGrace is left of a shutdown's grace to say good-bye.
	endGrace = 50 * time.Millisecond
	// gcPercent keeps the adapter small: it is there once for each instance.
	gcPercent = 25
)

// Config of an adapter.
type Config struct {
	// Conn is the shim's end of the frame protocol.
	Conn net.Conn
	// Start starts the runtime; the real way when nil.
	Start StartFunc
}

// adapter stands between the host and one runtime.
type adapter struct {
	cfg        Config
	host       *host
	init       link.Init
	table      *table
	extensions extensions
	outputs    []*output
	held       held

	mu       sync.Mutex
	ready    bool // the runtime has polled
	failed   bool // INIT_ERROR is sent
	stopping bool
}

// Main is "hearth init": it serves on descriptor 3 and returns the exit code.
func Main() int {
	debug.SetGCPercent(gcPercent)
	file := os.NewFile(3, "host")
	conn, err := net.FileConn(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hearth init runs inside of a sandbox, with the platform's socket as descriptor 3. To start a platform: hearth up")
		return 2
	}
	file.Close()
	return Run(Config{Conn: conn})
}

// Run serves until the runtime or the connection ends, and returns the exit code, which
// is the runtime's if it has ended by itself.
func Run(cfg Config) int {
	if cfg.Start == nil {
		s := newSpawner()
		defer s.close()
		cfg.Start = s.Start
	}
	a := &adapter{cfg: cfg, host: &host{conn: cfg.Conn}}
	defer cfg.Conn.Close()
	a.extensions.list = map[string]*extension{}
	a.host.hello(os.Getpid())
	f, err := a.host.read()
	if err != nil || f.kind != kindInit || json.Unmarshal(f.body, &a.init) != nil {
		return 0 // the host has gone
	}
	a.table = newTable(a.init.Model != hearth.Concurrent)
	return a.live()
}

// live starts the runtime and serves it until the end.
func (a *adapter) live() int {
	path, bad := command(&a.init, strings.TrimPrefix(a.init.Env["AWS_EXECUTION_ENV"], "AWS_Lambda_"))
	if bad != nil {
		a.failInit(encode(*bad))
		return 1
	}
	listener, err := listen(a.init.TaskRoot == lambdaRoot)
	if err != nil {
		a.failInit(encode(hearth.FailureDoc{ErrorType: hearth.TypeInitError, ErrorMessage: fmt.Sprintf("The Runtime API cannot be served: %v.", err)}))
		return 1
	}
	inner, err := a.openOutputs()
	if err != nil {
		a.failInit(encode(hearth.FailureDoc{ErrorType: hearth.TypeInitError, ErrorMessage: fmt.Sprintf("The runtime cannot have its output: %v.", err)}))
		return 1
	}
	server := &http.Server{Handler: a.routes(), ErrorLog: log.New(io.Discard, "", 0)}
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = server.Serve(listener) })
	defer tasks.Wait()
	defer server.Close()
	defer a.closeOutputs()
	process, err := a.cfg.Start(path, a.init.TaskRoot, a.environment(listener.Addr().String()), inner[0], inner[1])
	for _, file := range inner {
		file.Close()
	}
	if err != nil {
		a.failInit(encode(*cannotStart(path, err)))
		return 1
	}
	for _, o := range a.outputs {
		tasks.Go(o.run)
	}
	return a.outlive(process, &tasks)
}

// listen opens the Runtime API's port: the usual one in a sandbox with a network of its
// own, else any. Its buffers are small, so that a function that streams feels soon that
// nobody reads.
func listen(isolated bool) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, window) // works without
		})
	}}
	if isolated {
		if l, err := config.Listen(context.Background(), "tcp4", usual); err == nil {
			return l, nil
		}
	}
	return config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
}

// openOutputs makes the pipes for the runtime's output, and returns their inner ends.
func (a *adapter) openOutputs() (inner [2]*os.File, err error) {
	for i := range inner {
		o, end, err := newOutput(byte(i+1), a.host, a.table.owner)
		if err != nil {
			return inner, err
		}
		a.outputs, inner[i] = append(a.outputs, o), end
	}
	return inner, nil
}

// environment is this process's own, which may have marks of the sandbox in it, under
// the function's.
func (a *adapter) environment(api string) []string {
	env := map[string]string{}
	for _, pair := range os.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		env[key] = value
	}
	maps.Copy(env, a.init.Env)
	env["AWS_LAMBDA_RUNTIME_API"] = api
	list := make([]string, 0, len(env))
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	slices.Sort(list)
	return list
}

// outlive serves the host's frames until the runtime ends or the host goes.
func (a *adapter) outlive(process Process, tasks *sync.WaitGroup) int {
	shutdown, gone := make(chan time.Duration, 1), make(chan struct{})
	tasks.Go(func() {
		defer close(gone)
		a.read(shutdown)
		a.table.cancelAll()
	})
	defer a.cfg.Conn.Close() // ends read
	select {
	case status := <-process.Done():
		return a.ended(status)
	case <-gone:
	case grace := <-shutdown:
		a.leave(process, grace, gone)
	}
	process.Signal(syscall.SIGKILL)
	return 0
}

// leave lets the runtime run its exit hooks.
func (a *adapter) leave(process Process, grace time.Duration, gone <-chan struct{}) {
	a.mu.Lock()
	a.stopping = true
	a.mu.Unlock()
	a.extensions.shutdown(time.Now().Add(grace))
	process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(max(grace-endGrace, 0))
	defer timer.Stop()
	select {
	case <-process.Done():
	case <-gone:
	case <-timer.C:
	}
}

func (a *adapter) closeOutputs() {
	for _, o := range a.outputs {
		o.sync()
		o.close()
	}
}

// ended finds the exit code for a runtime that has ended by itself. Before it has
// polled, that is a failed init.
func (a *adapter) ended(status syscall.WaitStatus) int {
	for _, o := range a.outputs {
		o.sync()
	}
	a.held.release(flagLeaving)
	words, code := "Runtime exited without providing a reason", status.ExitStatus()
	switch {
	case status.Signaled():
		words, code = "Runtime exited with error: signal: "+status.Signal().String(), 128+int(status.Signal())
	case code != 0:
		words = fmt.Sprintf("Runtime exited with error: exit status %d", code)
	}
	a.failInit(encode(hearth.FailureDoc{ErrorType: hearth.TypeExit, ErrorMessage: words}))
	return code
}

// read handles the host's frames until the connection ends.
func (a *adapter) read(shutdown chan<- time.Duration) {
	partial := map[uint32]*invocation{}
	for {
		f, err := a.host.read()
		if err != nil || a.handle(f, partial, shutdown) != nil {
			return
		}
	}
}

// errRule: the host broke the protocol.
var errRule = errors.New("a frame out of place")

func (a *adapter) handle(f frame, partial map[uint32]*invocation, shutdown chan<- time.Duration) error {
	switch f.kind {
	case kindInvoke:
		r, payload, err := parseInvoke(f.body)
		if err != nil {
			return err
		}
		inv := newInvocation(f.stream, r)
		inv.payload = payload
		partial[f.stream] = inv
	case kindData:
		inv := partial[f.stream]
		if inv == nil {
			return errRule
		}
		inv.payload = append(inv.payload, f.body...)
	case kindCancel:
		if inv := a.table.get(f.stream); inv != nil {
			inv.cancel.Do(func() { close(inv.cancelled) })
		}
		return nil
	case kindWindow:
		if len(f.body) != 4 {
			return errRule
		}
		a.table.grant(f.stream, int(binary.LittleEndian.Uint32(f.body)))
		return nil
	case kindShutdown:
		if len(f.body) != 4 {
			return errRule
		}
		select {
		case shutdown <- time.Duration(binary.LittleEndian.Uint32(f.body)) * time.Millisecond:
		default:
		}
		return nil
	default:
		return errRule
	}
	if f.flags&flagMore == 0 {
		a.table.add(partial[f.stream])
		delete(partial, f.stream)
	}
	return nil
}

// becomeReady tells the host that init has succeeded, the first time. It is false when
// init has failed.
func (a *adapter) becomeReady() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed {
		return false
	}
	if !a.ready {
		a.ready = true
		a.host.write(kindReady, 0, 0, "", []byte("{}"))
	}
	return true
}

// failInit tells the host that init has failed. It is false when it is too late for that.
func (a *adapter) failInit(doc []byte) bool {
	for _, o := range a.outputs {
		o.sync()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ready || a.failed || a.stopping {
		return false
	}
	a.failed = true
	a.host.write(kindInitError, 0, 0, "", doc)
	return true
}

// finish sends the result of an invocation, after what it has logged.
func (a *adapter) finish(inv *invocation, flags byte, body []byte) {
	a.finishWith(inv, func() { a.host.result(inv.stream, flags, body) })
}

// finishLater sends it when the runtime has shown that it lives on, or that it does not.
func (a *adapter) finishLater(inv *invocation, flags byte, body []byte) {
	a.finishWith(inv, func() { a.held.add(func(more byte) { a.host.result(inv.stream, flags|more, body) }) })
}

func (a *adapter) finishWith(inv *invocation, send func()) {
	for _, o := range a.outputs {
		o.sync()
	}
	// Forgotten first: the host may use the stream's number again once it has the result.
	a.table.done(inv)
	send()
}
