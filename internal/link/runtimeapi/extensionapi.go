package runtimeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"hearth/internal/hearth"
)

// The Extensions API's answers to what it refuses (recorded behaviour: 403, whatever it
// is).
func forbid(w http.ResponseWriter, errorType, format string, args ...any) {
	refuse(w, http.StatusForbidden, errorType, format, args...)
}

func (a *adapter) registerExtension(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Events []string `json:"events"`
	}
	name := r.Header.Get("Lambda-Extension-Name")
	if name == "" {
		forbid(w, "Extension.InvalidExtensionName", "The header Lambda-Extension-Name must be given.")
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in); err != nil {
		forbid(w, "InvalidRequestFormat", "The body must be a JSON object such as {\"events\":[\"SHUTDOWN\"]}.")
		return
	}
	for _, e := range in.Events {
		if e != eventInvoke && e != eventShutdown {
			forbid(w, "Extension.InvalidEventType", "%q is no event; there are INVOKE and SHUTDOWN.", e)
			return
		}
	}
	id, kind, words := a.extensions.register(name, in.Events)
	if kind != "" {
		forbid(w, kind, "%s", words)
		return
	}
	a.tell(fmt.Sprintf("EXTENSION\tName: %s\tState: Registered\tEvents: [%s]", name, strings.Join(in.Events, ", ")))
	out := map[string]string{"functionName": a.init.Function, "functionVersion": a.init.Version, "handler": a.init.Handler}
	if part := strings.Split(a.init.ARN, ":"); strings.Contains(r.Header.Get("Lambda-Extension-Accept-Feature"), "accountId") && len(part) > 4 {
		out["accountId"] = part[4]
	}
	w.Header().Set("Lambda-Extension-Identifier", id)
	answer(w, http.StatusOK, out)
}

// register gives an extension its identifier. errorType is set if it may have none.
func (x *extensions) register(name string, events []string) (id, errorType, words string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.IndexFunc(x.list, func(e *extension) bool { return e.name == name })
	switch {
	case i >= 0 && x.list[i].id != "":
		return "", "Extension.InvalidExtensionState", "An extension named " + name + " has registered already."
	case i < 0 && x.closed:
		return "", "Extension.RegistrationClosed", "Extensions register during init, before the runtime calls invocation/next."
	case i < 0 && len(x.list) >= maxExtensions:
		return "", "Extension.TooManyExtensions", fmt.Sprintf("There are %d extensions already.", maxExtensions)
	case i < 0:
		x.list = append(x.list, &extension{name: name, news: make(chan []byte, pendingEvents)})
		i = len(x.list) - 1
	}
	e := x.list[i]
	e.id, e.events = hearth.NewRequestID(), events
	if e.process != nil && !slices.ContainsFunc(x.list, func(e *extension) bool { return e.id == "" }) {
		close(x.registered)
	}
	return e.id, "", ""
}

// caller is the extension that calls; if there is none, it has been told so.
func (a *adapter) caller(w http.ResponseWriter, r *http.Request) *extension {
	const header, size = "Lambda-Extension-Identifier", 36
	id := r.Header.Get(header)
	switch {
	case id == "":
		forbid(w, "Extension.MissingExtensionIdentifier", "The header %s must be given.", header)
		return nil
	case len(id) != size:
		forbid(w, "Extension.InvalidExtensionIdentifier", "The header %s must be the identifier that register has answered.", header)
		return nil
	}
	e := a.extensions.find(id)
	if e == nil {
		forbid(w, "Extension.UnknownExtensionIdentifier", "No extension has registered with this %s.", header)
	}
	return e
}

func (a *adapter) nextEvent(w http.ResponseWriter, r *http.Request) {
	e := a.caller(w, r)
	if e == nil {
		return
	}
	if a.extensions.asks(e) {
		a.tryReady()
	}
	select {
	case text := <-e.news:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Lambda-Extension-Event-Identifier", hearth.NewRequestID())
		_, _ = w.Write(text) // gone already
	case <-r.Context().Done():
	}
}

// extensionFailed takes the failure that an extension tells of: in its init, or before
// it exits.
func (a *adapter) extensionFailed(w http.ResponseWriter, r *http.Request) {
	e := a.caller(w, r)
	if e == nil {
		return
	}
	kind := r.Header.Get("Lambda-Extension-Function-Error-Type")
	if kind == "" {
		forbid(w, "Extension.MissingHeader", "The header Lambda-Extension-Function-Error-Type must be given.")
		return
	}
	var doc hearth.FailureDoc
	_ = json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDoc)).Decode(&doc) // it may have no words
	doc = hearth.FailureDoc{ErrorType: kind, ErrorMessage: fmt.Sprintf("Error: the extension %s failed: %s", e.name, doc.ErrorMessage)}
	a.extensions.mu.Lock()
	e.doc = &doc
	a.extensions.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/init/error") {
		a.failInit(encode(doc))
	}
	accepted(w)
}

// noTelemetry answers those who subscribe to telemetry or logs, which there are none of,
// as Lambda's own emulator does: an extension that can do without goes on.
func noTelemetry(api string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusAccepted, api+".NotSupported", "%s API is not supported. The function's log is in hearth logs.", api)
	}
}
