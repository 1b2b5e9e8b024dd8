package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/events"
	"hearth/internal/hearth"
	"hearth/internal/logs"
	"hearth/internal/loop/looptest"
	"hearth/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testPatience is how long to wait for what must come.
const testPatience = 30 * time.Second

// machine is a Driver whose sandboxes are goroutines of the test: each speaks the
// frame protocol over a real socket, as its script says.
type machine struct {
	script func(*box)
	refuse error

	mu      sync.Mutex
	running int
	most    int
	made    []*box
}

func (m *machine) Name() string                         { return "scripted" }
func (m *machine) Isolation() sandbox.Isolation         { return sandbox.Isolation{Freeze: true} }
func (m *machine) Recover(context.Context) (int, error) { return 0, nil }
func (m *machine) Close() error                         { return nil }

func (m *machine) Start(_ context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if m.refuse != nil {
		return nil, m.refuse
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	host, err := connOf(fds[0])
	if err != nil {
		return nil, err
	}
	inside, err := connOf(fds[1])
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	b := &box{machine: m, spec: spec, host: host, shim: inside, output: r, out: w, done: make(chan struct{})}
	m.mu.Lock()
	m.running++
	m.most = max(m.most, m.running)
	m.made = append(m.made, b)
	m.mu.Unlock()
	b.tasks.Go(func() { m.script(b) })
	return b, nil
}

func connOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "descriptor 3")
	defer f.Close()
	return net.FileConn(f)
}

// box is a scripted sandbox: host is the worker's end, shim the script's.
type box struct {
	machine *machine
	spec    sandbox.Spec
	host    net.Conn
	shim    net.Conn
	output  *os.File
	out     *os.File
	tasks   sync.WaitGroup

	still   sync.RWMutex // held while it is frozen
	freezes atomic.Int64
	thaws   atomic.Int64
	init    atomic.Value // what it was told

	once sync.Once
	done chan struct{}
	how  sandbox.Exit
	gone sync.Once
}

func (b *box) ID() string            { return b.spec.ID }
func (b *box) PID() int              { return 1 }
func (b *box) Conn() net.Conn        { return b.host }
func (b *box) Output() *os.File      { return b.output }
func (b *box) Done() <-chan struct{} { return b.done }
func (b *box) Exit() sandbox.Exit    { return b.how }
func (b *box) CodeDir() string       { return b.spec.CodeDir }
func (b *box) TmpDir() string        { return "/tmp" }
func (b *box) Stats() (sandbox.Stats, error) {
	return sandbox.Stats{MemoryBytes: 10 << 20, PeakMemoryBytes: 20 << 20}, nil
}

func (b *box) Freeze() error {
	b.still.Lock()
	b.freezes.Add(1)
	return nil
}

func (b *box) Thaw() error {
	b.thaws.Add(1)
	b.still.Unlock()
	return nil
}

// frozen tells whether it stands still now.
func (b *box) frozen() bool { return b.freezes.Load() > b.thaws.Load() }

func (b *box) Destroy(context.Context) error {
	b.exit(sandbox.Exit{Code: 137, Signal: syscall.SIGKILL})
	b.tasks.Wait()
	b.gone.Do(func() {
		b.machine.mu.Lock()
		b.machine.running--
		b.machine.mu.Unlock()
	})
	return nil
}

// exit ends the sandbox's process.
func (b *box) exit(how sandbox.Exit) {
	b.once.Do(func() {
		b.how = how
		b.shim.Close()
		b.out.Close()
		close(b.done)
	})
}

// The frames that scripts need (PROTOCOL.md).
const (
	frameInit, frameInvoke, frameShutdown  = 1, 2, 5
	frameHello, frameReady, frameInitError = 16, 17, 18
	frameResult, frameLog                  = 19, 21
	flagFailed                             = 2
)

type frame struct {
	kind, flags uint8
	stream      uint32
	body        []byte
}

func (b *box) send(f frame) {
	text := binary.LittleEndian.AppendUint32(nil, uint32(len(f.body)))
	text = append(text, f.kind, f.flags, 0, 0)
	text = binary.LittleEndian.AppendUint32(text, f.stream)
	b.shim.Write(append(text, f.body...)) // a closed socket is what some scripts are about
}

// next reads a frame; kind 0 when the connection has ended.
func (b *box) next() frame {
	var head [12]byte
	if _, err := io.ReadFull(b.shim, head[:]); err != nil {
		return frame{}
	}
	f := frame{kind: head[4], flags: head[5], stream: binary.LittleEndian.Uint32(head[8:])}
	f.body = make([]byte, binary.LittleEndian.Uint32(head[:4]))
	if _, err := io.ReadFull(b.shim, f.body); err != nil {
		return frame{}
	}
	b.still.RLock() // what has been read while it was frozen was not read at all
	defer b.still.RUnlock()
	return f
}

func (b *box) hello() {
	b.send(frame{kind: frameHello, body: []byte(`{"protocol":1,"runtime":"scripted","pid":1}`)})
}

// serve is the life of a well-behaved shim: it calls handle for every invocation, one
// after the other, until it is asked to leave.
func (b *box) serve(handle func(f frame)) {
	b.hello()
	for {
		switch f := b.next(); f.kind {
		case 0, frameShutdown:
			b.exit(sandbox.Exit{})
			return
		case frameInit:
			b.init.Store(string(f.body))
			b.send(frame{kind: frameReady, body: []byte(`{}`)})
		case frameInvoke:
			handle(f)
		}
	}
}

// echo answers every invocation with "ok".
func echo(b *box) {
	b.serve(func(f frame) { b.send(frame{kind: frameResult, stream: f.stream, body: []byte(`"ok"`)}) })
}

// noCode is a CodeCache of an empty directory.
type noCode struct{ dir string }

func (c noCode) Get(context.Context, string) (string, func(), error) { return c.dir, func() {}, nil }

// newWorker makes a worker whose sandboxes follow the script; the test's end closes
// it, and checks that every sandbox was destroyed.
func newWorker(t testing.TB, m *machine, edit func(*Config)) *Worker {
	t.Helper()
	dir := t.TempDir()
	log := logs.New(logs.Config{})
	cfg := Config{
		MemoryMB: 1024, Region: hearth.DefaultRegion, Account: hearth.DefaultAccount, ShimDir: dir,
		Interpreters: map[string]string{hearth.LangNode: "/bin/node"}, Driver: m, Code: noCode{dir},
		Logs: log, Loops: looptest.Group(t), Events: events.New(), Log: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&cfg)
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // for what hangs on purpose
		defer cancel()
		if err := w.Close(ctx); err != nil {
			t.Error(err)
		}
		log.Close()
		if m.running != 0 {
			t.Errorf("%d sandboxes were not destroyed", m.running)
		}
		if s := w.Stats(); s.ReservedMB+s.DiskMB != 0 || s.InFlight != 0 {
			t.Errorf("after the end: %+v", s)
		}
	})
	return w
}

func version(name string, model hearth.Model, edit func(*hearth.Config)) *hearth.Version {
	v := &hearth.Version{Function: name, Number: hearth.Latest, Identity: name + "/1", Config: hearth.Config{
		Runtime: "nodejs", Handler: "index.handler", Model: model, MaxConcurrency: 10, MemoryMB: 256, Timeout: 10 * time.Second,
	}}
	v.Config.Normalize()
	if edit != nil {
		edit(&v.Config)
	}
	return v
}

func (w *Worker) call(v *hearth.Version) (*hearth.Result, error) {
	return w.invoke(&hearth.Invocation{ID: hearth.NewRequestID(), Version: v, Payload: []byte("{}"), WantLog: true})
}

var errNoRoot = errors.New("no room in the inn")

func (w *Worker) invoke(inv *hearth.Invocation) (*hearth.Result, error) {
	outcome := hearth.NewOutcome()
	w.Start(inv, outcome)
	return outcome.Wait()
}
