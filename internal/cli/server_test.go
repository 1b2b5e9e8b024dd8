package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// noon is when everything in the test platform happened.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// testPlatform answers over HTTP as a platform does, from a few maps. What functions
// return is settled by their names.
type testPlatform struct {
	*httptest.Server
	mu        sync.Mutex
	functions map[string]function
	puts      map[string]map[string]json.RawMessage // last body by name
	requests  []string                              // method and target
	calls     map[string]int
	versions  map[string]*publishedFunction
	letters   []deadLetter
	backup    []byte // what GET backup sends
	uploaded  []byte
}

func newTestPlatform(t *testing.T) *testPlatform {
	p := &testPlatform{functions: map[string]function{}, puts: map[string]map[string]json.RawMessage{}, calls: map[string]int{}, versions: map[string]*publishedFunction{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hearth/v1/functions", p.list)
	mux.HandleFunc("GET /hearth/v1/functions/{name}", p.get)
	mux.HandleFunc("PUT /hearth/v1/functions/{name}", p.put)
	mux.HandleFunc("DELETE /hearth/v1/functions/{name}", p.remove)
	mux.HandleFunc("GET /hearth/v1/functions/{name}/logs", p.logs)
	mux.HandleFunc("GET /hearth/v1/instances", p.instances)
	mux.HandleFunc("GET /hearth/v1/status", p.status)
	mux.HandleFunc("GET /hearth/v1/events", p.events)
	mux.HandleFunc("GET /hearth/v1/triggers", p.triggers)
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", p.invoke)
	p.handleVersions(mux)
	p.handleAsync(mux)
	p.handleBackups(mux)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.Method+" "+r.URL.RequestURI())
		p.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// add makes a function as if it had been deployed.
func (p *testPlatform) add(name string, model hearth.Model, slots int) {
	c := config{Runtime: "nodejs20.x", Handler: "index.handler", MemoryMB: 256, Timeout: span(3 * time.Second), TmpMB: 512,
		KeepAlive: span(15 * time.Minute), Model: model, MaxConcurrency: slots}
	p.functions[name] = function{Name: name, Created: noon, State: hearth.FunctionState{State: "Active"}, Latest: version{
		Number: hearth.Latest, LastModified: noon, Code: hearth.Code{Digest: "c0de", Size: 4321}, Config: c}}
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func refuse(w http.ResponseWriter, status int, code hearth.ErrorCode, message string) {
	answerJSON(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func (p *testPlatform) list(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := []function{}
	for _, f := range p.functions {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b function) int { return strings.Compare(a.Name, b.Name) })
	answerJSON(w, 200, map[string]any{"functions": list})
}

// find answers 404 itself.
func (p *testPlatform) find(w http.ResponseWriter, r *http.Request) (function, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.functions[r.PathValue("name")]
	if !ok {
		refuse(w, 404, hearth.ErrNotFound, "There is no function "+r.PathValue("name")+".")
	}
	return f, ok
}

func (p *testPlatform) get(w http.ResponseWriter, r *http.Request) {
	if f, ok := p.find(w, r); ok {
		answerJSON(w, 200, f)
	}
}

func (p *testPlatform) put(w http.ResponseWriter, r *http.Request) {
	var body map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		refuse(w, 400, hearth.ErrInvalid, err.Error())
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := r.PathValue("name")
	f, known := p.functions[name]
	if !known {
		f = function{Name: name, Created: noon, Latest: version{Config: config{MemoryMB: 128, Timeout: span(3 * time.Second),
			KeepAlive: span(15 * time.Minute), Model: hearth.Exclusive, MaxConcurrency: 10}}}
	}
	if err := json.Unmarshal(body["config"], &f.Latest.Config); err != nil {
		refuse(w, 400, hearth.ErrInvalid, err.Error())
		return
	}
	if routes := body["routes"]; routes != nil {
		f.Routes = nil
		if err := json.Unmarshal(routes, &f.Routes); err != nil {
			refuse(w, 400, hearth.ErrInvalid, err.Error())
			return
		}
	}
	p.functions[name], p.puts[name] = f, body
	status := 201
	if known {
		status = 200
	}
	answerJSON(w, status, f)
}

func (p *testPlatform) remove(w http.ResponseWriter, r *http.Request) {
	if _, ok := p.find(w, r); ok {
		p.mu.Lock()
		delete(p.functions, r.PathValue("name"))
		p.mu.Unlock()
		w.WriteHeader(204)
	}
}

func (p *testPlatform) instances(w http.ResponseWriter, r *http.Request) {
	list := []hearth.InstanceInfo{}
	if name := r.URL.Query().Get("function"); name == "" || strings.HasPrefix(name, "hello") {
		list = append(list, hearth.InstanceInfo{ID: "i000000000001", Function: "hello", State: hearth.Busy, Model: hearth.Concurrent,
			Slots: 10, InFlight: 3, Invocations: 42, MemoryMB: 256, UsedMB: 96, PeakMB: 101, Init: 110 * time.Millisecond,
			LastUsed: noon, Isolation: "runc"})
	}
	answerJSON(w, 200, map[string]any{"instances": list})
}

func (p *testPlatform) status(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, 200, hearth.Status{Version: "v1", Started: noon.Add(-time.Hour), Isolation: "runc", Runtimes: []string{"nodejs 20.20.2"},
		Functions: 1, Instances: 1, InFlight: 3, MemoryMB: 8000, ReservedMB: 256, ResidentMB: 41, Invocations: 42, ColdStarts: 1,
		Warnings: []string{"the moon is full"}, Async: p.backlogs(), Triggers: triggerStatus()[1:]})
}

func triggerStatus() []hearth.TriggerStatus {
	return []hearth.TriggerStatus{
		{Function: "hello", Trigger: "nightly", Kind: "schedule", Source: "rate(1 day)", State: hearth.TriggerActive, Next: noon.Add(time.Hour)},
		{Function: "hello", Trigger: "orders", Kind: "nats", Source: "subject orders.*", State: hearth.TriggerBackoff, Error: "Error: no\ndatabase",
			Pending: 120, Waiting: 30, InFlight: 15, Oldest: noon.Add(-time.Minute), Invocations: 9, Failures: 3, Succeeded: 60, Dead: 2},
	}
}

func (p *testPlatform) triggers(w http.ResponseWriter, r *http.Request) {
	list := triggerStatus()
	if r.URL.Query().Get("function") == "quiet" {
		list = []hearth.TriggerStatus{}
	}
	answerJSON(w, 200, map[string]any{"triggers": list})
}

func (p *testPlatform) events(w http.ResponseWriter, _ *http.Request) {
	e := json.NewEncoder(w)
	for i, kind := range []string{"function.created", "instance.starting", "instance.dead"} {
		ev := hearth.Event{Seq: uint64(i + 1), Time: noon.Add(time.Duration(i) * time.Second), Kind: kind, Function: "hello"}
		if i > 0 {
			ev.Instance = "i000000000001"
		}
		if i == 2 {
			ev.Reason = hearth.EndReaped
		}
		if e.Encode(ev) != nil {
			return
		}
	}
}

func (p *testPlatform) logs(w http.ResponseWriter, r *http.Request) {
	if _, ok := p.find(w, r); !ok {
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	e := json.NewEncoder(w)
	for i, text := range []string{"START RequestId: 11111111-2222", "one\ttwo \x1b[31mred", "went wrong"} {
		kind := []string{hearth.LogStart, hearth.LogStdout, hearth.LogStderr}[i]
		if e.Encode(hearth.LogEntry{Seq: uint64(i + 1), Time: noon.Add(time.Duration(i) * time.Millisecond), Function: "hello",
			Instance: "i000000000001", Request: "11111111-2222", Kind: kind, Text: text}) != nil {
			return
		}
	}
	if r.URL.Query().Get("follow") == "1" {
		fmt.Fprint(w, "\n") // a heartbeat
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// invoke answers by the function's name: hello… succeeds, broken fails, busy is
// refused; concurrent functions have one instance, exclusive ones one for each call.
func (p *testPlatform) invoke(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	p.mu.Lock()
	f, ok := p.functions[name]
	p.calls[name]++
	n := p.calls[name]
	p.mu.Unlock()
	h := w.Header()
	h.Set("X-Amzn-Requestid", "11111111-2222")
	if ok && r.Header.Get("X-Amz-Invocation-Type") == "Event" {
		w.WriteHeader(202)
		return
	}
	if !ok {
		h.Set("X-Amzn-Errortype", "ResourceNotFoundException")
		answerJSON(w, 404, map[string]string{"Type": "User", "Message": "Function not found: arn:aws:lambda:…:" + name})
		return
	}
	var event json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil && r.ContentLength > 0 {
		h.Set("X-Amzn-Errortype", "InvalidRequestContentException")
		answerJSON(w, 400, map[string]string{"Type": "User", "message": "Could not parse request body into json"})
		return
	}
	if name == "busy" {
		h.Set("X-Amzn-Errortype", "TooManyRequestsException")
		answerJSON(w, 429, map[string]string{"Type": "User", "message": "Rate Exceeded.", "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"})
		return
	}
	h.Set("X-Amz-Executed-Version", hearth.Latest)
	instance, number := "i000000000001", n
	if f.Latest.Config.Model == hearth.Exclusive {
		instance, number = fmt.Sprintf("i%012d", n), 1
	}
	h.Set("X-Hearth-Instance", instance)
	h.Set("X-Hearth-Invocation", fmt.Sprint(number))
	if number == 1 {
		h.Set("X-Hearth-Cold", "1")
	}
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		log := "START RequestId: 11111111-2222 Version: $LATEST\nhi \x1b[2J\x1b[31mred\r\nEND RequestId: 11111111-2222\n" +
			"REPORT RequestId: 11111111-2222\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 256 MB\tMax Memory Used: 36 MB\t\n"
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte(log)))
	}
	if name == "broken" {
		h.Set("X-Amz-Function-Error", hearth.Unhandled)
		answerJSON(w, 200, hearth.FailureDoc{ErrorType: "TypeError", ErrorMessage: "x is not a function",
			Trace: []string{"TypeError: x is not a function", "    at exports.handler (/var/task/index.js:3:5)"}})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if len(event) == 0 {
		event = json.RawMessage("null")
	}
	fmt.Fprintf(w, `{"got":%s}`, event)
}
