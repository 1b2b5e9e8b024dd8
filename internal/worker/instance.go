package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/logs"
	"hearth/internal/pool"
	"hearth/internal/sandbox"
)

const (
	// shutdownGrace is what exit hooks get when an idle instance is stopped. Lambda
	// gives at most 2 s.
	shutdownGrace = 500 * time.Millisecond
	// customGrace is what a custom runtime and its extensions get. Without extensions
	// "hearth init" takes no more of it than the runtime's share.
	customGrace = 2 * time.Second
	// settle is how long the two signs of a death, the end of the process and the end
	// of its socket, may lie apart.
	settle = time.Second
	// destroyTimeout bounds the removal of a sandbox.
	destroyTimeout = 30 * time.Second
)

// instance is one live instance. Its keeper, the goroutine that runs live, makes it
// and destroys it; everybody else only asks the keeper to stop.
type instance struct {
	id      string
	version *hearth.Version
	stream  string
	pooled  *pool.Instance
	log     *logs.Stream

	// Set by the keeper before the instance is ready.
	sb          sandbox.Sandbox
	conn        *link.Conn
	outputRead  chan struct{} // closed when the reader of sb.Output has ended
	releaseCode func()
	blank       *blank // the sandbox that it will have, if one waited
	prewarmed   bool   // one did
	watch       stopwatch
	initTook    time.Duration
	redone      time.Duration // what it took to do the init again, 0 if that was not needed

	lastWords lastWords // of the processes' own output

	shown atomic.Pointer[sandbox.Sandbox] // sb, once there is one
	gauge gauge

	frost frost

	stopOnce sync.Once
	stop     chan struct{} // closed when somebody wants the instance gone
	hard     chan struct{} // closed when it must go without grace
	hardOnce sync.Once
	why      string // reason to be gone; set before stop is closed

	died chan struct{} // closed when end is set
	end  death
	gone chan struct{} // closed when nothing is left of it
}

// newInstance begins an instance of v, in a sandbox that waited if it is not nil: the
// name of the one is the name of the other.
func newInstance(v *hearth.Version, b *blank) *instance {
	inst := &instance{
		id: hearth.NewInstanceID(), version: v, blank: b,
		stop: make(chan struct{}), hard: make(chan struct{}),
		died: make(chan struct{}), gone: make(chan struct{}), outputRead: make(chan struct{}),
	}
	if b != nil {
		inst.id, inst.prewarmed = b.id, true
	}
	inst.stream = logStream(v, inst.id, time.Now())
	return inst
}

// requestStop asks the keeper to end the instance; the first reason counts.
func (inst *instance) requestStop(reason string) {
	inst.stopOnce.Do(func() {
		inst.why = reason
		close(inst.stop)
	})
}

// kill ends the instance without grace.
func (inst *instance) kill(reason string) {
	inst.requestStop(reason)
	inst.hardOnce.Do(func() { close(inst.hard) })
}

// verdict waits until it is known how the instance ended.
func (inst *instance) verdict() *death {
	<-inst.died
	return &inst.end
}

// destroy asks an instance's keeper to remove it. It does not wait.
func (w *Worker) destroy(p *pool.Instance) {
	p.Value.(*instance).requestStop(p.Reason())
}

func mb(bytes int64) int { return int((bytes + 1<<20 - 1) >> 20) }

// describe adds what the worker knows to what the pool knows.
func (inst *instance) describe(info *hearth.InstanceInfo) {
	info.LogStream = inst.stream
	shown := inst.shown.Load()
	if shown == nil {
		return
	}
	sb := *shown
	info.PID = sb.PID()
	if info.State != hearth.Starting { // the keeper writes it until then
		info.Init = inst.initTook
	}
	if stats, err := sb.Stats(); err == nil {
		info.UsedMB, info.PeakMB, info.CPU = mb(stats.MemoryBytes), mb(stats.PeakMemoryBytes), stats.CPU
	}
}

// readOutput turns what the processes inside write to their standard output and
// error into log lines of the instance. Not reading on is the back-pressure.
func (inst *instance) readOutput() {
	defer close(inst.outputRead)
	lines := inst.log.Writer(2, time.Now)
	if _, err := io.Copy(io.MultiWriter(lines, &inst.lastWords), inst.sb.Output()); err != nil && !errors.Is(err, os.ErrClosed) {
		inst.log.Platform(time.Now(), "the instance's output could not be read: "+err.Error())
	}
	lines.Close()
}

// heapFull tells whether the language itself gave up because its heap was full: V8
// then writes so and aborts. It waits for the last words to arrive.
func (inst *instance) heapFull() bool {
	if inst.end.exit.Signal == nil && inst.end.exit.Code < 128 {
		return false
	}
	waitAtMost(inst.outputRead, settle)
	return inst.lastWords.have("heap out of memory")
}

// lastWords keeps the end of what was written.
type lastWords struct {
	mu  sync.Mutex
	end []byte
}

const lastWordsBytes = 4 << 10

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = append(l.end, p[max(0, len(p)-lastWordsBytes):]...)
	l.end = l.end[max(0, len(l.end)-lastWordsBytes):]
	return len(p), nil
}

func (l *lastWords) have(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.end, []byte(text))
}

// outlive blocks until the instance has ended by itself or somebody wants it gone,
// and finds out how it ended. It returns true if it ended by itself.
func (inst *instance) outlive() (byItself bool) {
	select {
	case <-inst.stop:
		inst.thawForGood()
		inst.leave()
		inst.end.reason, inst.end.exit = inst.why, inst.exit()
		return false
	case <-inst.sb.Done():
		waitAtMost(inst.conn.Done(), settle) // answers may still be in the socket
	case <-inst.conn.Done():
		waitAtMost(inst.sb.Done(), settle)
	}
	inst.end.exit = inst.exit()
	var broken *link.ProtocolError
	if !inst.over() {
		broken = &link.ProtocolError{Reason: "descriptor 3 was closed inside"}
	}
	switch {
	case errors.As(inst.conn.Err(), &broken) || broken != nil:
		inst.end.reason, inst.end.protocol = hearth.EndProtocol, broken
	case inst.end.exit.OOM || inst.heapFull():
		inst.end.reason = hearth.EndOOM
	default:
		inst.end.reason = hearth.EndCrashed
	}
	return true
}

// leave lets an instance run its exit hooks.
func (inst *instance) leave() {
	grace := shutdownGrace
	if language, err := hearth.Language(inst.version.Config.Runtime); err == nil && language == hearth.LangCustom {
		grace = customGrace
	}
	inst.conn.Shutdown(grace)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-inst.sb.Done():
		waitAtMost(inst.conn.Done(), settle) // its last lines may still be in the socket
	case <-inst.hard:
	case <-timer.C:
	}
}

// over tells whether the first process has ended.
func (inst *instance) over() bool {
	select {
	case <-inst.sb.Done():
		return true
	default:
		return false
	}
}

// exit is how the process ended, as far as is known.
func (inst *instance) exit() sandbox.Exit {
	if inst.over() {
		return inst.sb.Exit()
	}
	return sandbox.Exit{}
}

func waitAtMost(done <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// remove destroys what there is of the sandbox. It blocks until nothing is left.
func (inst *instance) remove(w *Worker) {
	if inst.conn != nil {
		inst.conn.Close()
	}
	if inst.blank != nil { // it never became the instance's
		w.blanks.remove(inst.blank)
	}
	if inst.sb != nil {
		ctx, cancel := context.WithTimeout(context.Background(), destroyTimeout)
		defer cancel()
		if err := inst.sb.Destroy(ctx); err != nil {
			w.cfg.Log.Error("sandbox not removed cleanly", "instance", inst.id, "function", inst.version.Function, "err", err)
		}
		<-inst.outputRead
		inst.sb.Output().Close()
	}
	if inst.releaseCode != nil {
		inst.releaseCode()
	}
}
