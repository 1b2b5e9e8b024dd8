package runtimeapi

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"hearth/internal/hearth"
)

const (
	// endGrace is left of a shutdown's grace to say good-bye.
	endGrace = 50 * time.Millisecond
	// runtimeGrace is what a runtime gets to run its exit hooks where no extension is
	// beside it (Extensions API).
	runtimeGrace = 500 * time.Millisecond
	// runtimeShare is what it gets where extensions wait for the rest.
	runtimeShare = 300 * time.Millisecond
	// failureGrace is what extensions get when the runtime has failed: a caller waits.
	failureGrace = 500 * time.Millisecond
	// tellAfter is when the log says what init is waiting for.
	tellAfter = 8 * time.Second
)

// end is how a process ended that was not asked to. ext is nil for the runtime.
type end struct {
	ext    *extension
	status syscall.WaitStatus
}

// live starts the extensions and the runtime, and serves them until the end.
func (a *adapter) live() int {
	path, bad := command(&a.init, strings.TrimPrefix(a.init.Env["AWS_EXECUTION_ENV"], "AWS_Lambda_"))
	if bad != nil {
		return a.cannot(*bad)
	}
	listener, err := listen(a.init.TaskRoot == lambdaRoot)
	if err != nil {
		return a.cannot(hearth.FailureDoc{ErrorType: hearth.TypeInitError, ErrorMessage: fmt.Sprintf("The Runtime API cannot be served: %v.", err)})
	}
	server := &http.Server{Handler: a.routes(), ErrorLog: log.New(io.Discard, "", 0)}
	a.tasks.Go(func() { _ = server.Serve(listener) })
	a.tasks.Go(a.read)
	defer a.tasks.Wait()
	defer a.cfg.Conn.Close() // ends read
	defer server.Close()
	defer a.closeOutputs()
	defer close(a.over)
	env := a.environment(listener.Addr().String())
	defer a.extensions.kill()
	if doc := a.startExtensions(env); doc != nil {
		return a.cannot(*doc)
	}
	if code, ended := a.awaitExtensions(); ended {
		return code
	}
	process, doc := a.startRuntime(path, env)
	if doc != nil {
		return a.cannot(*doc)
	}
	return a.outlive(process)
}

// cannot fails the init, and returns the exit code for that.
func (a *adapter) cannot(doc hearth.FailureDoc) int {
	a.failInit(encode(doc))
	return 1
}

// startRuntime starts the runtime with its output in LOG frames.
func (a *adapter) startRuntime(path string, env map[string]string) (Process, *hearth.FailureDoc) {
	a.mu.Lock() // its calls wait until its outputs are known
	defer a.mu.Unlock()
	process, outputs, err := a.spawn(path, env, a.table.owner)
	if err != nil {
		return nil, cannotStart(path, err)
	}
	a.outputs = outputs
	a.watch(process, nil)
	return process, nil
}

// spawn starts a program and reads its output; who tells whose lines are whose.
func (a *adapter) spawn(path string, env map[string]string, who func([]byte) uint32) (Process, []*output, error) {
	var outputs []*output
	var inner [2]*os.File
	for i := range inner {
		o, file, err := newOutput(byte(i+1), a.host, who)
		if err != nil {
			return nil, nil, err
		}
		defer file.Close()
		outputs, inner[i] = append(outputs, o), file
	}
	process, err := a.cfg.Start(path, a.init.TaskRoot, list(env), inner[0], inner[1])
	if err != nil {
		for _, o := range outputs {
			o.close()
		}
		return nil, nil, err
	}
	for _, o := range outputs {
		a.tasks.Go(o.run)
	}
	return process, outputs, nil
}

// watch has the end of a process told to live.
func (a *adapter) watch(p Process, x *extension) {
	a.tasks.Go(func() {
		select {
		case status := <-p.Done():
			a.ends <- end{x, status}
		case <-a.over:
		}
	})
}

// awaitExtensions waits until the extensions have registered: the runtime starts after
// that (Extensions API). It returns true if there is nothing to be started any more.
func (a *adapter) awaitExtensions() (code int, ended bool) {
	patience := time.NewTimer(tellAfter)
	defer patience.Stop()
	for {
		select {
		case <-a.extensions.registered:
			return 0, false
		case e := <-a.ends:
			return a.crashed(e), true
		case <-a.gone:
			return 0, true
		case grace := <-a.shutdown:
			a.stopExtensions("spindown", grace)
			return 0, true
		case <-patience.C:
			a.tell("Init waits: " + a.extensions.missing())
		}
	}
}

// outlive waits until the runtime or an extension ends, the host wants it, or goes.
func (a *adapter) outlive(process Process) int {
	patience := time.NewTimer(tellAfter)
	defer patience.Stop()
	for {
		select {
		case e := <-a.ends:
			if e.ext == nil {
				return a.ended(e.status)
			}
			defer process.Signal(syscall.SIGKILL)
			return a.crashed(e)
		case <-a.gone:
			process.Signal(syscall.SIGKILL)
			return 0
		case grace := <-a.shutdown:
			a.leave(process, grace)
			return 0
		case <-patience.C:
			a.tellWhatIsMissing()
		}
	}
}

// tellWhatIsMissing says in the log why init has not ended, while that can still help.
func (a *adapter) tellWhatIsMissing() {
	a.mu.Lock()
	polled, ready, failed := a.polled, a.ready, a.failed
	a.mu.Unlock()
	switch missing := a.extensions.missing(); {
	case ready || failed:
	case !polled:
		a.tell("Init waits: the runtime has not called " + runtimePath + "invocation/next.")
	case missing != "":
		a.tell("Init waits: " + missing)
	}
}

// tell writes a line of the instance's log.
func (a *adapter) tell(line string) {
	a.host.write(kindLog, 0, 0, "\x02", []byte(line+"\n"))
}

// leave lets the runtime and then the extensions run their exit hooks.
func (a *adapter) leave(process Process, grace time.Duration) {
	a.mu.Lock()
	a.stopping = true
	reason := "spindown"
	if a.timedOut {
		reason = "timeout"
	}
	a.mu.Unlock()
	began, share := time.Now(), min(grace, runtimeGrace)
	if a.extensions.external() {
		share = min(grace/2, runtimeShare)
	}
	a.extensions.shutdown(reason, began.Add(share), false)
	process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(max(share-endGrace, 0))
	defer timer.Stop()
	for running := true; running; {
		select {
		case e := <-a.ends:
			running = e.ext != nil
			a.extensions.ended(e.ext)
		case <-a.gone:
			running = false
		case <-timer.C:
			running = false
		}
	}
	process.Signal(syscall.SIGKILL)
	a.stopExtensions(reason, grace-time.Since(began))
}

// stopExtensions tells the extensions of the end, and waits until they have ended too.
func (a *adapter) stopExtensions(reason string, grace time.Duration) {
	a.extensions.shutdown(reason, time.Now().Add(grace), true)
	timer := time.NewTimer(max(grace-endGrace, 0))
	defer timer.Stop()
	for a.extensions.external() {
		select {
		case e := <-a.ends:
			a.extensions.ended(e.ext)
		case <-a.gone:
			return
		case <-timer.C:
			return
		}
	}
}

func (a *adapter) closeOutputs() {
	for _, o := range slices.Concat(a.outputs, a.extensions.outputs) {
		o.sync()
		o.close()
	}
}

// ended finds the exit code for a runtime that has ended by itself. Before it has
// polled, that is a failed init.
func (a *adapter) ended(status syscall.WaitStatus) int {
	a.syncOutputs()
	a.held.release(flagLeaving)
	words, code := howEnded(status)
	words = "Runtime exited " + words
	if code == 0 {
		a.mu.Lock()
		polled := a.polled
		a.mu.Unlock()
		if !polled {
			words += ". The program must call " + runtimePath + "invocation/next in a loop, and not end by itself."
		}
	}
	a.failInit(encode(hearth.FailureDoc{ErrorType: hearth.TypeExit, ErrorMessage: words}))
	a.stopExtensions("failure", failureGrace)
	return code
}

// howEnded is Lambda's wording of a process's end, and the exit code for it.
func howEnded(status syscall.WaitStatus) (words string, code int) {
	switch {
	case status.Signaled():
		return "with error: signal: " + status.Signal().String(), 128 + int(status.Signal())
	case status.ExitStatus() != 0:
		return fmt.Sprintf("with error: exit status %d", status.ExitStatus()), status.ExitStatus()
	}
	return "without providing a reason", 0
}
