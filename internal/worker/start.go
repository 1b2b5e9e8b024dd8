package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/pool"
	"hearth/internal/sandbox"
)

// start makes one more instance of a group, as the pool asked. It does not wait.
func (w *Worker) start(g *pool.Group) {
	w.tasks.Go(func() { w.live(g) })
}

// live is an instance's whole life: memory, sandbox, init, service, death, removal.
func (w *Worker) live(g *pool.Group) {
	watch := startWatch()
	leave := w.gates.enter(g)
	res, blank, err := w.reserve(g, w.blanks.take(g.Version()))
	if err != nil {
		w.blanks.give(blank)
		leave()
		w.aborted(g, err)
		return
	}
	w.blanks.wanted(g.Version())
	inst := newInstance(g.Version(), blank)
	inst.watch = watch
	inst.watch.lap("memory") // and disk
	inst.log = w.cfg.Logs.Open(inst.version.Function, inst.id)
	inst.pooled = g.Starting(time.Now(), inst.id, inst, res)
	w.emit(inst, "instance.starting", "", "")
	err = w.boot(inst)
	leave()
	if err != nil {
		w.stillborn(inst, err)
	} else {
		w.serve(inst)
	}
	inst.remove(w)
	w.emit(inst, "instance.dead", inst.end.reason, "")
	res.Release()
	close(inst.gone)
	for range g.Refill(time.Now()) {
		w.start(g)
	}
	w.poke()
}

// gates bound how many instances of one version are in their init at once: more than
// the processors can work on only makes every one of them late. They are apart, so that
// slow inits of one function keep no other waiting.
type gates struct {
	width int

	mu   sync.Mutex
	open map[*pool.Group]*gate
}

type gate struct {
	slots chan struct{}
	users int // in it or before it; guarded by gates.mu
}

// enter waits for a place. The caller must leave again.
func (gs *gates) enter(g *pool.Group) (leave func()) {
	gs.mu.Lock()
	at := gs.open[g]
	if at == nil {
		at = &gate{slots: make(chan struct{}, gs.width)}
		gs.open[g] = at
	}
	at.users++
	gs.mu.Unlock()
	at.slots <- struct{}{}
	return func() {
		<-at.slots
		gs.mu.Lock()
		defer gs.mu.Unlock()
		if at.users--; at.users == 0 {
			delete(gs.open, g)
		}
	}
}

// aborted tells the pool that a start did not take place.
func (w *Worker) aborted(g *pool.Group, err error) {
	out := g.StartAborted(time.Now(), err)
	for _, waiter := range out.Fail {
		answer(waiter, grant{err: out.Err})
	}
	for range out.Start {
		w.start(g)
	}
	w.poke() // the next try has its time
}

// poke makes the expiry loop look at once: memory has become free.
func (w *Worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// serve runs an initialised instance until its end.
func (w *Worker) serve(inst *instance) {
	w.emit(inst, "instance.ready", "", fmt.Sprintf("init %.2f ms", float64(inst.initTook.Microseconds())/1000))
	w.apply(inst.pooled, inst.pooled.Ready(time.Now()))
	w.cfg.Log.Debug("instance ready", append([]any{"instance", inst.id, "function", inst.version.Function, "prewarmed", inst.prewarmed}, inst.watch.laps...)...)
	byItself := inst.outlive()
	inst.end.memoryMB = inst.version.Config.MemoryMB
	if stats, err := inst.sb.Stats(); err == nil {
		inst.end.peakMB = mb(stats.PeakMemoryBytes)
	}
	inst.conn.Close() // those in flight wait for the verdict now
	inst.end.inFlight = inst.conn.Lost()
	if byItself {
		doc := inst.end.failure("")
		inst.log.Platform(time.Now(), doc.ErrorType+": "+doc.ErrorMessage)
	}
	// The pool knows already, unless the instance died by itself or was killed.
	w.apply(inst.pooled, inst.pooled.Lost(time.Now(), inst.end.reason))
	close(inst.died)
}

// stillborn tells the pool, and so the invocations that wait, why init failed.
func (w *Worker) stillborn(inst *instance, err error) {
	inst.end.reason = hearth.EndInitError
	failure := pool.Failure{Err: err}
	var reported *initFailure
	if errors.As(err, &reported) {
		failure.Doc = reported.doc
	}
	inst.log.Platform(time.Now(), "INIT_REPORT Status: error\t"+err.Error())
	failure.Log = inst.log.Tail("", hearth.MaxLogTailBytes)
	w.cfg.Log.Warn("instance did not start", "instance", inst.id, "function", inst.version.Function, "err", err)
	w.apply(inst.pooled, inst.pooled.StartFailed(time.Now(), failure))
	close(inst.died)
}

// initFailure is an init that failed by the function's own doing.
type initFailure struct {
	doc []byte
	err error
}

func (e *initFailure) Error() string { return e.err.Error() }
func (e *initFailure) Unwrap() error { return e.err }

// boot makes the sandbox and initialises the handler. Whatever it has made by the
// time of an error is for inst.remove to take away.
func (w *Worker) boot(inst *instance) error {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	released := make(chan struct{})
	defer close(released)
	w.tasks.Go(func() { // an instance that must go at once does not finish its init
		select {
		case <-inst.hard:
			cancel()
		case <-released:
		}
	})
	if err := w.makeSandbox(ctx, inst); err != nil {
		return err
	}
	began := time.Now()
	err := w.initialise(ctx, inst, w.initLimit(inst))
	inst.initTook = time.Since(began)
	inst.watch.lap("init")
	if late(err) {
		err = w.redo(ctx, inst, err)
	}
	if err == nil {
		inst.measure()
	}
	return err
}

func (w *Worker) makeSandbox(ctx context.Context, inst *instance) error {
	v := inst.version
	language, err := hearth.Language(v.Config.Runtime)
	if err != nil {
		return err
	}
	interpreter, err := w.interpreter(language)
	if err != nil {
		return err
	}
	codeDir, release, err := w.cfg.Code.Get(ctx, v.Code.Digest)
	if err != nil {
		return fmt.Errorf("get the code: %w", err)
	}
	inst.releaseCode = release
	inst.watch.lap("code")
	sb := w.adopt(ctx, inst, codeDir)
	if sb == nil {
		if sb, err = w.newSandbox(ctx, inst, language, interpreter, codeDir); err != nil {
			return fmt.Errorf("start the sandbox: %w", err)
		}
	}
	inst.sb = sb
	w.tasks.Go(inst.readOutput)
	inst.conn = link.New(sb.Conn(), link.Options{MaxInFlight: v.Config.Slots(), OnLog: inst.onLog, Loop: w.cfg.Loops.Next()})
	inst.shown.Store(&sb)
	return nil
}

// newSandbox makes a sandbox from nothing. If others have filled the disk since its room
// was reserved, room is made once more.
func (w *Worker) newSandbox(ctx context.Context, inst *instance, language, interpreter, codeDir string) (sandbox.Sandbox, error) {
	w.starts <- struct{}{} // making a sandbox keeps processors busy
	defer func() { <-w.starts }()
	v, inside := inst.version, w.inside(codeDir)
	spec := sandbox.Spec{
		ID:       inst.id,
		Args:     shim.Command(language, interpreter, v.Config.MemoryMB, inside.shim),
		Env:      pairs(w.environment(v, inst.id, inst.stream, inside)),
		CodeDir:  codeDir,
		ShimDir:  w.cfg.ShimDir,
		OptDir:   layers(language, codeDir),
		MemoryMB: v.Config.MemoryMB,
		CPUs:     float64(v.Config.MemoryMB) / hearth.MBPerCPU,
		TmpMB:    v.Config.TmpMB,
	}
	sb, err := w.cfg.Driver.Start(ctx, spec)
	for hearth.CodeOf(err) == hearth.ErrCapacity && w.refit(inst) {
		sb, err = w.cfg.Driver.Start(ctx, spec)
	}
	if err == nil {
		inst.watch.lap("sandbox")
		w.letStart(ctx, sb)
	}
	return sb, err
}

// startsAlone is how long the start of an interpreter keeps others from starting, at
// most: most of the work is the interpreter's, and too many at once make all of them late.
const startsAlone = 2 * time.Second

// letStart waits until the shim speaks. What happens if it does not is found out later.
func (w *Worker) letStart(ctx context.Context, sb sandbox.Sandbox) {
	ctx, cancel := context.WithTimeout(ctx, min(startsAlone, w.cfg.InitTimeout))
	defer cancel()
	_ = awaitWord(ctx, sb)
}

// inside is where things will be, seen from within the sandbox.
func (w *Worker) inside(codeDir string) place {
	if w.cfg.Driver.Isolation().FileSystem {
		return place{code: "/var/task", shim: shim.Dir, tmp: "/tmp"}
	}
	return place{code: codeDir, shim: w.cfg.ShimDir, tmp: "/tmp"}
}

func (inst *instance) onLog(call *link.Call, fd int, text []byte) {
	request := ""
	if call != nil {
		request = call.ID
	}
	inst.log.Line(time.Now(), request, fd, text)
}

// initialise waits for the shim and has it load the handler, within the limit.
func (w *Worker) initialise(ctx context.Context, inst *instance, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := inst.conn.Hello(ctx); err != nil {
		return w.initFailed(inst, err, limit)
	}
	inst.watch.lap("interpreter")
	v, seen := inst.version, place{code: inst.sb.CodeDir(), shim: w.inside("").shim, tmp: inst.sb.TmpDir()}
	env := w.environment(v, inst.id, inst.stream, seen)
	if inst.pooled.Provisioned() {
		env[initType] = initProvisioned
	}
	err := inst.conn.Init(ctx, link.Init{
		Handler: v.Config.Handler, Dialect: v.Config.Dialect.Name(), TaskRoot: seen.code, Env: env,
		Model: v.Config.Model, Slots: v.Config.Slots(), Function: v.Function, Version: v.Number,
		MemoryMB: v.Config.MemoryMB, ARN: hearth.FunctionARN(w.cfg.Region, w.cfg.Account, v.Function, ""), LogGroup: logGroup(v.Function), LogStream: inst.stream,
		MaxResponseBytes: hearth.MaxPayloadBytes,
	})
	if err != nil {
		return w.initFailed(inst, err, limit)
	}
	return nil
}

// initFailed finds the words for an init that did not succeed.
func (w *Worker) initFailed(inst *instance, err error, limit time.Duration) error {
	var reported *link.InitError
	switch {
	case errors.As(err, &reported):
		return &initFailure{doc: reported.Raw, err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &lateInit{limit}
	case errors.Is(err, context.Canceled):
		return err
	}
	waitAtMost(inst.sb.Done(), settle)
	d := death{reason: hearth.EndCrashed, exit: inst.exit(), memoryMB: inst.version.Config.MemoryMB}
	var broken *link.ProtocolError
	if errors.As(err, &broken) {
		d.reason, d.protocol = hearth.EndProtocol, broken
	} else if d.exit.OOM {
		d.reason, d.peakMB = hearth.EndOOM, d.memoryMB
	}
	doc := d.failure("")
	doc.ErrorMessage = sentence(doc.ErrorMessage) + " That was during init, before any invocation."
	return &initFailure{doc: encode(doc), err: errors.New(doc.ErrorMessage)}
}

func (w *Worker) emit(inst *instance, kind, reason, detail string) {
	w.cfg.Events.Emit(hearth.Event{Time: time.Now(), Kind: kind, Function: inst.version.Function,
		Instance: inst.id, Reason: reason, Detail: detail})
}
