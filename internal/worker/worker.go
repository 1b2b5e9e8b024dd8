package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link/shim"
	"hearth/internal/logs"
	"hearth/internal/loop"
	"hearth/internal/pool"
	"hearth/internal/sandbox"
)

// CodeCache has the unpacked code of versions.
type CodeCache interface {
	// Get returns the directory of a code digest, fetching and unpacking it once.
	// The directory stays until release is called.
	Get(ctx context.Context, digest string) (dir string, release func(), err error)
}

// EventSink is told what happens to instances; it never blocks.
type EventSink interface {
	Emit(hearth.Event)
}

// Config of a Worker. Driver, Code, Logs, Events, Loops, ShimDir and Interpreters are needed.
type Config struct {
	MemoryMB     int // that instances may reserve altogether
	QueueLength  int // of one version; the pool's default when 0
	QueueTimeout time.Duration
	Region       string // for ARNs and the functions' environment
	Account      string
	ShimDir      string            // where shim.Write has put the shims, on the host
	Interpreters map[string]string // language → path of its interpreter
	Driver       sandbox.Driver
	Code         CodeCache
	Logs         *logs.Logs
	Events       EventSink
	Log          *slog.Logger
	InitTimeout  time.Duration // hearth.InitTimeout when 0
	Loops        *loop.Group   // read what the instances send
	// FreezeAfter is how long an instance is idle before it is frozen; 0 means never.
	// It means nothing to a driver whose sandboxes cannot be.
	FreezeAfter time.Duration
	// InUse tells whether any name still stands for a version; nil means always. It is
	// asked before an instance is started.
	InUse func(*hearth.Version) bool
	// Prewarming says which sandboxes wait for functions, from Prewarm on.
	Prewarming Prewarming
}

// Worker serves invocations with instances on this node.
type Worker struct {
	cfg   Config
	pool  *pool.Pool
	gates gates
	// starts bounds how many sandboxes are being made at once.
	starts  chan struct{}
	wake    chan struct{} // the expiry loop must look again
	program program
	calls   sync.Pool // of *call
	samples budget    // of reading instances' memory
	blanks  *blanks

	ctx    context.Context // ends when Close gives up waiting
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	closing atomic.Bool
}

// New makes a Worker and starts its expiry loop. The caller must Close it.
func New(cfg Config) (*Worker, error) {
	if cfg.Driver == nil || cfg.Code == nil || cfg.Logs == nil || cfg.Events == nil || cfg.Loops == nil {
		return nil, errors.New("worker: driver, code, logs, events and loops are needed")
	}
	if cfg.InitTimeout == 0 {
		cfg.InitTimeout = hearth.InitTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.ShimDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the shims: %w", err)
	}
	if err := shim.Write(cfg.ShimDir); err != nil {
		return nil, err
	}
	if !cfg.Driver.Isolation().Freeze {
		cfg.FreezeAfter = 0
	}
	atOnce := max(4, 2*runtime.NumCPU())
	w := &Worker{
		cfg: cfg,
		pool: pool.New(pool.Config{
			MemoryMB: cfg.MemoryMB, QueueLength: cfg.QueueLength, QueueTimeout: cfg.QueueTimeout,
			FreezeAfter: cfg.FreezeAfter,
		}),
		starts: make(chan struct{}, atOnce),
		wake:   make(chan struct{}, 1),
	}
	w.blanks = newBlanks(w, cfg.Prewarming)
	w.gates = gates{width: atOnce, open: map[*pool.Group]*gate{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.tasks.Go(w.expire)
	w.tasks.Go(w.compileShims)
	return w, nil
}

// compileShims makes Python's start shorter. Instances that start before it is done
// are merely slower.
func (w *Worker) compileShims() {
	python, ok := w.cfg.Interpreters[hearth.LangPython]
	if !ok {
		return
	}
	if err := shim.CompilePython(w.ctx, python, w.cfg.ShimDir); err != nil && w.ctx.Err() == nil {
		w.cfg.Log.Warn("the Python shim is not compiled ahead; Python instances start more slowly", "err", err)
	}
}

// expire carries out what time alone decides, until the worker closes.
func (w *Worker) expire() {
	// The pool's next time may come closer without a word; it asks to be called about
	// every second.
	const rest = 500 * time.Millisecond
	timer := time.NewTimer(rest)
	defer timer.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		now := time.Now()
		w.carryOut(w.pool.Expire(now))
		wait := rest
		if next, ok := w.pool.NextExpiry(); ok {
			wait = min(max(time.Until(next), time.Millisecond), rest)
		}
		timer.Reset(wait)
	}
}

func (w *Worker) carryOut(exp pool.Expired) {
	for _, inst := range exp.Reaped {
		w.destroy(inst)
	}
	for _, inst := range exp.Frozen {
		w.conform(inst.Value.(*instance))
	}
	for _, r := range exp.Refused {
		answer(r.Waiter, grant{err: r.Err})
	}
	for _, g := range exp.Start {
		w.start(g)
	}
}

// DrainUnless ends the instances of a function's versions that are of no use any more:
// idle ones at once, busy ones when they have finished. Invocations that queue for them
// fail with hearth.ErrMoved. It does not wait. The question, whether the version with
// this ID is still of use, is asked about versions that have been used on this node,
// after they were: so who answers from what Resolve reads keeps what an invocation has
// just been sent to.
func (w *Worker) DrainUnless(function string, used func(id string) bool) {
	for _, g := range w.pool.Groups() {
		v := g.Version()
		if v.Function == function && !used(v.ID()) {
			destroy, moved := g.Drain(time.Now())
			w.ended(destroy, moved, errMoved)
		}
	}
}

var errMoved = hearth.Errorf(hearth.ErrMoved, "the function was updated or deleted while the invocation queued")

func (w *Worker) ended(destroy []*pool.Instance, waiters []*pool.Waiter, err error) {
	for _, waiter := range waiters {
		answer(waiter, grant{err: err})
	}
	for _, inst := range destroy {
		w.destroy(inst)
	}
}

// Prefetch has the code of a version unpacked on this node, so that its first
// invocation does not wait for that. It blocks until it is.
func (w *Worker) Prefetch(ctx context.Context, v *hearth.Version) error {
	_, release, err := w.cfg.Code.Get(ctx, v.Code.Digest)
	if err != nil {
		return err
	}
	release()
	return nil
}

// Instances describes the instances of a function, or of all when it is empty.
func (w *Worker) Instances(function string) []hearth.InstanceInfo {
	list := []hearth.InstanceInfo{}
	for _, p := range w.pool.Instances() {
		info := p.Info()
		if function != "" && info.Function != function {
			continue
		}
		if inst, ok := p.Value.(*instance); ok {
			inst.describe(&info)
		}
		list = append(list, info)
	}
	return list
}

// Stats is the pool at a glance.
func (w *Worker) Stats() pool.Stats { return w.pool.Stats() }

// Close refuses what queues, lets invocations under way finish until ctx ends, then
// destroys every instance. It blocks until nothing of them is left.
func (w *Worker) Close(ctx context.Context) error {
	w.closing.Store(true)
	destroy, waiters := w.pool.Close(time.Now())
	w.ended(destroy, waiters, hearth.Errorf(hearth.ErrShuttingDown, "the platform is shutting down"))
	if !w.drained(ctx, func() {}) {
		w.drained(context.WithoutCancel(ctx), w.killAll) // every keeper sees to its own
	}
	w.cancel()
	w.tasks.Wait()
	return nil
}

// killAll asks every instance to go without grace.
func (w *Worker) killAll() {
	for _, p := range w.pool.Instances() {
		if inst, ok := p.Value.(*instance); ok {
			inst.kill(hearth.EndDrained)
		}
	}
}

// drained waits until no instance holds memory any more, and calls again meanwhile,
// for instances may still appear; false when ctx ends first.
func (w *Worker) drained(ctx context.Context, again func()) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(w.pool.Instances()) > 0 || w.pool.Stats().Starting > 0 {
		again()
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
