package runtimeapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"hearth/internal/hearth"
)

// extensions are those that have registered, mostly runtimes that want to hear of the
// end (Extensions API).
type extensions struct {
	mu   sync.Mutex
	list map[string]*extension
}

type extension struct {
	events []string
	news   chan []byte
}

// pendingEvents is how many events an extension may be behind; older ones are lost.
const pendingEvents = 64

// tell sends an event to those who have asked for its kind.
func (x *extensions) tell(kind string, event any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.list) == 0 {
		return
	}
	text, err := json.Marshal(event)
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	for _, e := range x.list {
		if !slices.Contains(e.events, kind) {
			continue
		}
		select {
		case e.news <- text:
		default:
		}
	}
}

const (
	eventInvoke   = "INVOKE"
	eventShutdown = "SHUTDOWN"
)

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

func (x *extensions) invoked(r *request) {
	e := invokeEvent{EventType: eventInvoke, DeadlineMs: r.deadline.UnixMilli(), RequestID: r.id, ARN: r.arn}
	e.Tracing.Type, e.Tracing.Value = "X-Amzn-Trace-Id", r.trace
	x.tell(eventInvoke, e)
}

func (x *extensions) shutdown(deadline time.Time) {
	x.tell(eventShutdown, shutdownEvent{EventType: eventShutdown, Reason: "spindown", DeadlineMs: deadline.UnixMilli()})
}

func (a *adapter) registerExtension(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Events []string `json:"events"`
	}
	if r.Header.Get("Lambda-Extension-Name") == "" {
		refuse(w, http.StatusForbidden, "Extension.InvalidExtensionName", "The header Lambda-Extension-Name must be given.")
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestFormat", "The body must be a JSON object such as {\"events\":[\"SHUTDOWN\"]}.")
		return
	}
	for _, e := range in.Events {
		if e != eventInvoke && e != eventShutdown {
			refuse(w, http.StatusBadRequest, "InvalidEventType", "%q is no event; there are INVOKE and SHUTDOWN.", e)
			return
		}
	}
	id := hearth.NewRequestID()
	a.extensions.mu.Lock()
	a.extensions.list[id] = &extension{events: in.Events, news: make(chan []byte, pendingEvents)}
	a.extensions.mu.Unlock()
	w.Header().Set("Lambda-Extension-Identifier", id)
	answer(w, http.StatusOK, map[string]string{
		"functionName": a.init.Function, "functionVersion": a.init.Version, "handler": a.init.Handler})
}

func (a *adapter) nextEvent(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Lambda-Extension-Identifier")
	a.extensions.mu.Lock()
	e := a.extensions.list[id]
	a.extensions.mu.Unlock()
	if e == nil {
		refuse(w, http.StatusForbidden, "Extension.UnknownExtensionIdentifier", "No extension has registered with this Lambda-Extension-Identifier.")
		return
	}
	select {
	case text := <-e.news:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Lambda-Extension-Event-Identifier", hearth.NewRequestID())
		_, _ = w.Write(text) // gone already
	case <-r.Context().Done():
	}
}

func (a *adapter) extensionFailed(w http.ResponseWriter, r *http.Request) { accepted(w) }
