package runtimeapi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
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

// gcPercent keeps the adapter small: it is there once for each instance.
const gcPercent = 25

// Config of an adapter.
type Config struct {
	// Conn is the shim's end of the frame protocol.
	Conn net.Conn
	// Start starts the runtime and the extensions; the real way when nil.
	Start StartFunc
}

// adapter stands between the host and one runtime.
type adapter struct {
	cfg        Config
	host       *host
	init       link.Init
	table      *table
	extensions *extensions
	held       held
	impatient  sync.Once      // the log has been told of a poll that was refused
	tasks      sync.WaitGroup // everything that runs beside live

	shutdown chan time.Duration // the host wants the end within that time
	gone     chan struct{}      // closed when the host's connection has ended
	ends     chan end           // processes that have ended by themselves
	over     chan struct{}      // closed when live ends

	mu       sync.Mutex
	outputs  []*output // the runtime's
	polled   bool      // the runtime has
	ready    bool      // and so have the extensions: READY is sent
	failed   bool      // INIT_ERROR is sent
	timedOut bool      // the host gave up on an invocation
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
	a := &adapter{
		cfg: cfg, host: &host{conn: cfg.Conn},
		shutdown: make(chan time.Duration, 1), gone: make(chan struct{}),
		ends: make(chan end, 1+maxExtensions), over: make(chan struct{}),
	}
	defer cfg.Conn.Close()
	a.host.hello(os.Getpid())
	f, err := a.host.read()
	if err != nil || f.kind != kindInit || json.Unmarshal(f.body, &a.init) != nil {
		return 0 // the host has gone
	}
	a.table = newTable(a.init.Model != hearth.Concurrent)
	a.extensions = newExtensions(a.table.exclusive)
	return a.live()
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

// read handles the host's frames until the connection ends.
func (a *adapter) read() {
	defer close(a.gone)
	defer a.table.cancelAll()
	partial := map[uint32]*invocation{}
	for {
		f, err := a.host.read()
		if err != nil || a.handle(f, partial) != nil {
			return
		}
	}
}

// errRule: the host broke the protocol.
var errRule = errors.New("a frame out of place")

func (a *adapter) handle(f frame, partial map[uint32]*invocation) error {
	switch f.kind {
	case kindInvoke:
		r, payload, err := parseInvoke(f.body, f.flags)
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
		a.mu.Lock()
		a.timedOut = true
		a.mu.Unlock()
		if busy := a.extensions.waitedFor(); busy != "" {
			a.tell("The invocation has waited in vain for the extension " + busy + ", which has not called " + extensionPath + "event/next since the one before.")
		}
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
		case a.shutdown <- time.Duration(binary.LittleEndian.Uint32(f.body)) * time.Millisecond:
		default:
		}
		return nil
	default:
		return errRule
	}
	if f.flags&flagMore != 0 {
		return nil
	}
	inv := partial[f.stream]
	delete(partial, f.stream)
	if err := inv.complete(); err != nil {
		return err
	}
	a.offer(inv)
	return nil
}

// offer gives an invocation to the runtime and the extensions, in the exclusive model
// when every extension has done with the one before (Extensions API).
func (a *adapter) offer(inv *invocation) {
	a.table.expect(inv)
	a.extensions.whenIdle(func() {
		a.extensions.invoked(&inv.request)
		a.table.add(inv)
	})
}

// runtimePolled: the runtime has initialised. It is false when init has failed.
func (a *adapter) runtimePolled() bool {
	a.mu.Lock()
	failed := a.failed
	a.polled = true
	a.mu.Unlock()
	if failed {
		return false
	}
	a.extensions.close()
	a.tryReady()
	return true
}

// tryReady tells the host that init has succeeded, once: when the runtime and every
// extension that has registered wait for what comes (Extensions API).
func (a *adapter) tryReady() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.polled && !a.ready && !a.failed && a.extensions.missing() == "" {
		a.ready = true
		a.host.write(kindReady, 0, 0, "", []byte("{}"))
	}
}

// failInit tells the host that init has failed. It is false when it is too late for that.
func (a *adapter) failInit(doc []byte) bool {
	a.syncOutputs()
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
	a.syncOutputs()
	// Forgotten first: the host may use the stream's number again once it has the result.
	a.table.done(inv)
	send()
}

// syncOutputs sends what the runtime has written by now.
func (a *adapter) syncOutputs() {
	a.mu.Lock()
	outputs := a.outputs
	a.mu.Unlock()
	for _, o := range outputs {
		o.sync()
	}
}
