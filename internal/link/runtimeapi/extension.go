package runtimeapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"hearth/internal/hearth"
)

// maxExtensions is how many extensions an instance may have (Extensions API).
const maxExtensions = 10

// pendingEvents is how many events an extension may be behind in the concurrent model;
// those after are lost.
const pendingEvents = 64

// extension is a program beside the runtime, which the adapter has started, or a part of
// the runtime's own process that registers itself: mostly to hear of the end.
type extension struct {
	name    string
	process Process // nil: internal

	// Guarded by extensions.mu.
	id     string // given by register; empty before
	events []string
	news   chan []byte
	ready  bool // it has called event/next
	busy   bool // it has not asked for news since the last
	over   bool // its process has ended
	doc    *hearth.FailureDoc
}

// extensions are those of an instance (Extensions API).
type extensions struct {
	exclusive  bool
	registered chan struct{} // closed when all that were started have registered
	outputs    []*output     // set before the runtime starts

	mu     sync.Mutex
	list   []*extension
	closed bool   // the runtime has polled: nobody registers any more
	idle   func() // to be called when no extension is busy
}

func newExtensions(exclusive bool) *extensions {
	return &extensions{exclusive: exclusive, registered: make(chan struct{})}
}

const (
	eventInvoke   = "INVOKE"
	eventShutdown = "SHUTDOWN"
)

func (e *extension) hears(kind string) bool { return slices.Contains(e.events, kind) }

// tellLocked gives an extension an event that it has asked for.
func (e *extension) tellLocked(kind string, event any) {
	if !e.hears(kind) {
		return
	}
	text, err := json.Marshal(event)
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	e.busy = true
	select {
	case e.news <- text:
	default:
	}
}

type invokeEvent struct {
	EventType  string `json:"eventType"`
	DeadlineMs int64  `json:"deadlineMs"`
	RequestID  string `json:"requestId"`
	ARN        string `json:"invokedFunctionArn"`
	Tracing    struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"tracing"`
}

type shutdownEvent struct {
	EventType  string `json:"eventType"`
	Reason     string `json:"shutdownReason"`
	DeadlineMs int64  `json:"deadlineMs"`
}

// invoked tells of an invocation.
func (x *extensions) invoked(r *request) {
	e := invokeEvent{EventType: eventInvoke, DeadlineMs: r.deadline.UnixMilli(), RequestID: r.id, ARN: r.arn}
	e.Tracing.Type, e.Tracing.Value = "X-Amzn-Trace-Id", r.traceID()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ext := range x.list {
		ext.tellLocked(eventInvoke, e)
	}
}

// shutdown tells of the end those that the adapter started, or the others.
func (x *extensions) shutdown(reason string, deadline time.Time, external bool) {
	e := shutdownEvent{EventType: eventShutdown, Reason: reason, DeadlineMs: deadline.UnixMilli()}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ext := range x.list {
		if (ext.process != nil) != external {
			continue
		}
		ext.tellLocked(eventShutdown, e)
		if external && !ext.over && !ext.hears(eventShutdown) {
			ext.process.Signal(syscall.SIGKILL) // it does not want to know (Extensions API)
		}
	}
}

// whenIdle calls f once every extension that hears of invocations has asked for news: at
// once, or by the one that asks last. In the concurrent model nobody waits for them.
func (x *extensions) whenIdle(f func()) {
	x.mu.Lock()
	if x.exclusive && x.busyLocked() {
		x.idle = f
		x.mu.Unlock()
		return
	}
	x.mu.Unlock()
	f()
}

func (x *extensions) busyLocked() bool { return x.busyNameLocked() != "" }

// busyNameLocked is the name of an extension that has not done with an invocation.
func (x *extensions) busyNameLocked() string {
	for _, e := range x.list {
		if e.busy && e.hears(eventInvoke) {
			return e.name
		}
	}
	return ""
}

// waitedFor is the name of the extension that an invocation waits for, if one does.
func (x *extensions) waitedFor() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.idle == nil {
		return ""
	}
	return x.busyNameLocked()
}

// asks: an extension waits for news, which come on its channel. first is true the first
// time.
func (x *extensions) asks(e *extension) (first bool) {
	x.mu.Lock()
	first, e.ready = !e.ready, true
	if len(e.news) == 0 {
		e.busy = false
	}
	var f func()
	if x.idle != nil && !x.busyLocked() {
		f, x.idle = x.idle, nil
	}
	x.mu.Unlock()
	if f != nil {
		f()
	}
	return first
}

// close: nobody registers any more.
func (x *extensions) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
}

// missing says what init waits for; it is empty when that is nothing.
func (x *extensions) missing() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var words []string
	for _, e := range x.list {
		switch {
		case e.id == "":
			words = append(words, fmt.Sprintf("the extension %s has not called %sregister", e.name, extensionPath))
		case !e.ready:
			words = append(words, fmt.Sprintf("the extension %s has not called %sevent/next", e.name, extensionPath))
		}
	}
	if words == nil {
		return ""
	}
	return strings.Join(words, "; ") + "."
}

// find is the extension with an identifier, nil if there is none.
func (x *extensions) find(id string) *extension {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.list {
		if e.id == id {
			return e
		}
	}
	return nil
}

// external tells whether any that the adapter has started still runs.
func (x *extensions) external() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.ContainsFunc(x.list, func(e *extension) bool { return e.process != nil && !e.over })
}

// ended: the process of an extension has. nil is harmless.
func (x *extensions) ended(e *extension) {
	if e == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	e.over = true
}

// kill ends those that still run.
func (x *extensions) kill() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.list {
		if e.process != nil && !e.over {
			e.process.Signal(syscall.SIGKILL)
		}
	}
}
