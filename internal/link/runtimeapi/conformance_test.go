package runtimeapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
)

func TestInvocation(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	for i := range 3 {
		poll := w.poll()
		if i == 0 {
			w.ready()
		}
		id := fmt.Sprint("r", i)
		call := w.send(id, `{"n":1}`)
		got := receive(t, poll)
		for name, want := range map[string]string{
			"Lambda-Runtime-Aws-Request-Id": id, "Lambda-Runtime-Deadline-Ms": "1800000000123",
			"Lambda-Runtime-Invoked-Function-Arn": "arn:x", "Lambda-Runtime-Trace-Id": "Root=1",
			"Lambda-Runtime-Client-Context": `{"a":1}`, "Content-Type": "application/json",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
			}
		}
		if got.status != 200 || got.body != `{"n":1}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		fmt.Fprintf(w.puppet.stdout, "line of %s\nunfinished", id)
		if r := w.respond(id, `"done"`); r.status != 202 || strings.TrimSpace(r.body) != `{"status":"OK"}` {
			t.Errorf("response: %d %s", r.status, r.body)
		}
		if response, failed := w.wait(call); response != `"done"` || failed {
			t.Errorf("%s, %v", response, failed)
		}
		if want := id + " 1 line of " + id + "\n" + id + " 1 unfinished"; !strings.Contains(w.log(), want) {
			t.Errorf("log %q, want %q", w.log(), want)
		}
	}
}

// TestPayloads: large payloads in both directions, byte for byte.
func TestPayloads(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	poll := w.poll()
	w.ready()
	for _, size := range []int{0, 1, 70_000, 6 << 20} {
		payload := strings.Repeat("\x00\xffä", size/4)
		call := w.send("r1", payload)
		got := receive(t, poll)
		if got.body != payload {
			t.Errorf("%d bytes arrive as %d", len(payload), len(got.body))
		}
		w.respond("r1", payload)
		if response, _ := w.wait(call); response != payload {
			t.Errorf("%d bytes come back as %d", len(payload), len(response))
		}
		poll = w.poll()
	}
}

func TestErrors(t *testing.T) {
	for name, test := range map[string]struct{ body, kind, want string }{
		"a document":      {`{"errorType":"E","errorMessage":"m","stackTrace":["s"]}`, "Function.E", `{"errorType":"E","errorMessage":"m","stackTrace":["s"]}`},
		"no type":         {`{"errorMessage":"m"}`, "Function.Odd", `{"errorType":"Function.Odd","errorMessage":"m"}`},
		"a bad type":      {`{"errorMessage":"m"}`, "odd", `{"errorType":"Function.Unknown","errorMessage":"m"}`},
		"plain text":      {"it broke", "", `{"errorType":"Function.Unknown","errorMessage":"it broke"}`},
		"nothing":         {"", "Runtime.Empty", `{"errorType":"Runtime.Empty","errorMessage":""}`},
		"the Go client's": {`{"errorMessage":"m","errorType":"errorString"}`, "", `{"errorMessage":"m","errorType":"errorString"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, hearth.Exclusive, 1)
			poll := w.poll()
			w.ready()
			call := w.send("r1", "{}")
			receive(t, poll)
			if r := w.do("POST", base+"invocation/r1/error", test.body, "Lambda-Runtime-Function-Error-Type", test.kind); r.status != 202 {
				t.Errorf("%d %s", r.status, r.body)
			}
			if response, failed := w.wait(call); response != test.want || !failed {
				t.Errorf("%s, %v", response, failed)
			}
		})
	}
}

// refused checks an answer that is an error.
func refused(t *testing.T, r reply, status int, errorType string) {
	t.Helper()
	var doc struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || r.status != status || doc.ErrorType != errorType || doc.ErrorMessage == "" {
		t.Errorf("got %d %s, want %d %s", r.status, r.body, status, errorType)
	}
}

func TestStates(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	refused(t, w.respond("r0", "{}"), 400, "InvalidRequestID")
	poll := w.poll()
	w.ready()
	refused(t, w.next(), 403, "InvalidStateTransition") // it polls already
	call := w.send("r1", "{}")
	receive(t, poll)
	refused(t, w.next(), 403, "InvalidStateTransition") // it has one already
	eventuallyLogged(t, w, "polls although it has not answered")
	refused(t, w.respond("r2", "{}"), 400, "InvalidRequestID")
	refused(t, w.do("POST", base+"invocation/r2/error", "{}"), 400, "InvalidRequestID")
	refused(t, w.do("POST", base+"init/error", "{}"), 403, "InvalidStateTransition")
	w.respond("r1", "{}")
	refused(t, w.respond("r1", "{}"), 403, "InvalidStateTransition")
	refused(t, w.do("POST", base+"invocation/r1/error", "{}"), 403, "InvalidStateTransition")
	w.wait(call)
	if r := w.do("GET", base+"nothing", ""); r.status != 404 {
		t.Errorf("unknown path: %d", r.status)
	}
	if r := w.do("POST", base+"invocation/next", ""); r.status != 405 {
		t.Errorf("wrong method: %d", r.status)
	}
}

func TestResponseThatIsTooLarge(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	poll := w.poll()
	w.ready()
	call := w.send("r1", "{}")
	receive(t, poll)
	refused(t, w.do("POST", base+"invocation/r1/response", "1", "Lambda-Runtime-Function-Response-Mode", "trickle"), 400, "InvalidFunctionResponseMode")
	refused(t, w.respond("r1", strings.Repeat("x", hearth.MaxPayloadBytes+1)), 413, "RequestEntityTooLarge")
	if response, failed := w.wait(call); !failed || !strings.Contains(response, "Function.ResponseSizeTooLarge") {
		t.Errorf("%s, %v", response, failed)
	}
	poll = w.poll() // the runtime may go on
	call = w.send("r2", "{}")
	receive(t, poll)
	w.respond("r2", strings.Repeat("x", hearth.MaxPayloadBytes))
	if response, _ := w.wait(call); len(response) != hearth.MaxPayloadBytes {
		t.Errorf("%d bytes", len(response))
	}
}

func TestInitError(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	if r := w.do("POST", base+"init/error", `{"errorType":"Runtime.Bad","errorMessage":"no"}`); r.status != 202 {
		t.Errorf("%d %s", r.status, r.body)
	}
	var failed *link.InitError
	if err := receive(t, w.initErr); !errors.As(err, &failed) || failed.Doc.ErrorType != "Runtime.Bad" {
		t.Errorf("%v", err)
	}
	refused(t, w.next(), 403, "InvalidStateTransition")
	w.puppet.exit(1 << 8)
	if code := receive(t, w.code); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

func TestExitBeforeTheFirstPoll(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	fmt.Fprint(w.puppet.stderr, "last words")
	w.puppet.exit(3 << 8)
	var failed *link.InitError
	if err := receive(t, w.initErr); !errors.As(err, &failed) || failed.Doc.ErrorType != "Runtime.ExitError" || !strings.Contains(failed.Doc.ErrorMessage, "exit status 3") {
		t.Errorf("%v", err)
	}
	if code := receive(t, w.code); code != 3 || !strings.Contains(w.log(), "- 2 last words") {
		t.Errorf("exit code %d, log %q", code, w.log())
	}
	w = start(t, hearth.Exclusive, 1)
	w.puppet.exit(0)
	if err := receive(t, w.initErr); !errors.As(err, &failed) || !strings.Contains(failed.Doc.ErrorMessage, "invocation/next in a loop") {
		t.Errorf("%v", err)
	}
}

// TestFailureAndExit: a runtime that tells of a failure and exits is not given another
// invocation in between.
func TestFailureAndExit(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	poll := w.poll()
	w.ready()
	call := w.send("r1", "{}")
	receive(t, poll)
	w.do("POST", base+"invocation/r1/error", `{"errorType":"E","errorMessage":"m"}`)
	if len(call.Done()) > 0 {
		t.Error("the host is told before the runtime has polled or ended")
	}
	w.puppet.exit(1 << 8)
	if response, failed := w.wait(call); !failed || !strings.Contains(response, `"E"`) {
		t.Errorf("%s, %v", response, failed)
	}
	if !w.conn.Leaving() {
		t.Error("the host may send another invocation, which would be lost")
	}
	receive(t, w.conn.Done())
}

// TestChunkedResponses: as the client for Go sends them, also JSON, with trailers.
func TestChunkedResponses(t *testing.T) {
	for contentType, streamed := range map[string]bool{"application/json": false, "application/json; charset=utf-8": false, "text/plain": true} {
		for _, kind := range []string{"", "Function.Odd"} {
			w, call := streaming(t)
			req, err := http.NewRequestWithContext(t.Context(), "POST", w.url+base+"invocation/r1/response", io.NopCloser(strings.NewReader(`"x"`)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", contentType)
			req.Trailer = http.Header{"Lambda-Runtime-Function-Error-Type": {kind}}
			resp, err := w.client.Do(req)
			if err != nil || resp.StatusCode != 202 {
				t.Fatalf("%v %v", resp, err)
			}
			resp.Body.Close()
			receive(t, call.Done())
			if (call.Stream != nil) != streamed {
				t.Errorf("%s: streamed %v", contentType, call.Stream != nil)
			}
			if call.Stream != nil {
				receive(t, call.Done())
			}
			if call.Failed != (kind != "") || kind == "" && !streamed && string(call.Response) != `"x"` {
				t.Errorf("%s, %q: failed %v, %s", contentType, kind, call.Failed, call.Response)
			}
		}
	}
}

func TestExitInTheMiddle(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	poll := w.poll()
	w.ready()
	call := w.send("r1", "{}")
	receive(t, poll)
	w.puppet.exit(syscall.WaitStatus(syscall.SIGSEGV))
	receive(t, call.Done())
	if code := receive(t, w.code); code != 128+11 || !errors.Is(call.Err, link.ErrClosed) {
		t.Errorf("exit code %d, %v", code, call.Err)
	}
}

// TestConcurrency: as many as there are slots at once; more polls than that are no
// capacity, and answers come in any order.
func TestConcurrency(t *testing.T) {
	const slots = 5
	w := start(t, hearth.Concurrent, slots)
	polls := make(chan reply, 3*slots)
	for range 3 * slots {
		go func() { polls <- w.next() }()
	}
	w.ready()
	var calls [slots]*link.Call
	ids := map[string]int{}
	for i := range slots {
		id := fmt.Sprintf("8a1e6b1c-9d3f-4c11-8a55-00000000000%d", i)
		ids[id] = i
		calls[i] = w.send(id, fmt.Sprint(i))
	}
	var got []reply
	for range slots {
		got = append(got, receive(t, polls))
	}
	for i := len(got) - 1; i >= 0; i-- {
		r := got[i]
		if fmt.Sprint(ids[r.id()]) != r.body {
			t.Errorf("%s got %s", r.id(), r.body)
		}
		fmt.Fprintf(w.puppet.stdout, "{\"requestId\":%q}\nnobody's line\n", r.id())
		if a := w.respond(r.id(), r.body); a.status != 202 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if response, _ := w.wait(calls[ids[r.id()]]); response != r.body {
			t.Errorf("%s", response)
		}
		if !strings.Contains(w.log(), r.id()+" 1 {\"requestId\"") || !strings.Contains(w.log(), "- 1 nobody's line") {
			t.Errorf("log %q", w.log())
		}
	}
	refused(t, w.respond(got[0].id(), "{}"), 400, "InvalidRequestID")
}

// TestPollThatGoesAway: its invocation goes to the next one.
func TestPollThatGoesAway(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan reply, 1)
	go func() { gone <- w.request(ctx, "GET", base+"invocation/next", nil) }()
	w.ready()
	cancel()
	receive(t, gone)
	// Refused until the server has seen the first one go; then one waits, and only the
	// others are refused.
	next := w.poll()
	for refused := 0; refused < 20; {
		other := w.poll()
		select {
		case <-next:
			next, refused = other, 0
		case <-other:
			refused++
		}
	}
	call := w.send("r1", "{}")
	got := receive(t, next)
	w.respond(got.id(), `"ok"`)
	if response, _ := w.wait(call); got.id() != "r1" || response != `"ok"` {
		t.Errorf("%s %s", got.id(), response)
	}
}

// stream posts a streamed response.
func (w *world) stream(id string, body io.Reader, contentType string, trailer http.Header) reply {
	req, err := http.NewRequestWithContext(w.t.Context(), "POST", w.url+base+"invocation/"+id+"/response", body)
	if err != nil {
		w.t.Error(err)
		return reply{}
	}
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	req.Header.Set("Content-Type", contentType)
	req.ContentLength, req.Trailer = -1, trailer
	resp, err := w.client.Do(req)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text)}
}

func streaming(t *testing.T) (*world, *link.Call) {
	w := start(t, hearth.Exclusive, 1)
	poll := w.poll()
	w.ready()
	call := w.send("r1", "{}")
	receive(t, poll)
	return w, call
}

func TestStreaming(t *testing.T) {
	w, call := streaming(t)
	source := slowReader{make(chan []byte)}
	posted := make(chan reply, 1)
	go func() { posted <- w.stream("r1", source, "application/vnd.awslambda.http-integration-response", nil) }()
	source.parts <- []byte("first")
	receive(t, call.Done())
	if call.Stream == nil || call.Stream.ContentType != "application/vnd.awslambda.http-integration-response" {
		t.Fatalf("%+v", call.Stream)
	}
	if part, err := call.Stream.Next(); string(part) != "first" || err != nil {
		t.Errorf("%q, %v: the first part must not wait for the second", part, err)
	}
	source.parts <- []byte("second")
	close(source.parts)
	if got := readAll(call.Stream); got != "second" {
		t.Errorf("%q", got)
	}
	receive(t, call.Done())
	if r := receive(t, posted); r.status != 202 || call.Failed || call.Err != nil {
		t.Errorf("%d %s, %v %v", r.status, r.body, call.Failed, call.Err)
	}
}

func TestStreamingErrorsAreTrailers(t *testing.T) {
	doc := `{"errorType":"Function.Midway","errorMessage":"broke"}`
	trailer := http.Header{
		"Lambda-Runtime-Function-Error-Type": {"Function.Midway"},
		"Lambda-Runtime-Function-Error-Body": {base64.StdEncoding.EncodeToString([]byte(doc))},
	}
	for _, body := range []string{"half", ""} {
		w, call := streaming(t)
		if r := w.stream("r1", io.NopCloser(strings.NewReader(body)), "text/plain", trailer); r.status != 202 {
			t.Errorf("%d %s", r.status, r.body)
		}
		receive(t, call.Done())
		if body != "" {
			if got := readAll(call.Stream); got != body {
				t.Errorf("%q", got)
			}
			receive(t, call.Done())
		}
		if !call.Failed || string(call.Response) != doc {
			t.Errorf("after %q: %v %s", body, call.Failed, call.Response)
		}
	}
}

// TestStreamingBackPressure: a flood is held back, and a cancelled one is cut off.
func TestStreamingBackPressure(t *testing.T) {
	w, call := streaming(t)
	written := make(chan int, 1)
	posted := make(chan reply, 1)
	go func() {
		pr, pw := io.Pipe()
		go func() {
			n, part := 0, make([]byte, 64<<10)
			for {
				m, err := pw.Write(part)
				if n += m; err != nil {
					written <- n
					return
				}
			}
		}()
		posted <- w.stream("r1", pr, "", nil)
		pr.Close()
	}()
	receive(t, call.Done())
	read := 0
	for read < 4<<20 {
		part, err := call.Stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		read += len(part)
	}
	w.conn.Cancel(call)
	call.Stream.End()
	receive(t, call.Done())
	if r := receive(t, posted); r.status == 202 {
		t.Errorf("the runtime is told that all is well: %s", r.body)
	}
	if n := receive(t, written); n > read+12<<20 {
		t.Errorf("%d bytes were written while %d were read", n, read)
	}
}

func TestShutdown(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	r := w.do("POST", "/2020-01-01/extension/register", `{"events":["SHUTDOWN"]}`, "Lambda-Extension-Name", "x")
	id := r.header.Get("Lambda-Extension-Identifier")
	if r.status != 200 || id == "" || !strings.Contains(r.body, `"functionName":"f"`) {
		t.Fatalf("%d %s", r.status, r.body)
	}
	event := w.event(id)
	w.poll()
	w.ready()
	w.conn.Shutdown(2 * time.Second)
	if sig := receive(t, w.puppet.signals); sig != syscall.SIGTERM {
		t.Errorf("signal %v", sig)
	}
	if e := receive(t, event); !strings.Contains(e.body, `"eventType":"SHUTDOWN"`) {
		t.Errorf("event %s", e.body)
	}
	w.puppet.exit(0)
	if code := receive(t, w.code); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestShutdownLosesPatience(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	w.poll()
	w.ready()
	w.conn.Shutdown(100 * time.Millisecond)
	receive(t, w.puppet.signals)
	if sig := receive(t, w.puppet.signals); sig != syscall.SIGKILL {
		t.Errorf("signal %v", sig)
	}
	receive(t, w.code)
}

func TestExtensions(t *testing.T) {
	w := start(t, hearth.Exclusive, 1)
	const path = "/2020-01-01/extension/"
	refused(t, w.do("POST", path+"register", `{}`), 403, "Extension.InvalidExtensionName")
	refused(t, w.do("POST", path+"register", `{"events":["X"]}`, "Lambda-Extension-Name", "x"), 403, "Extension.InvalidEventType")
	refused(t, w.do("POST", path+"register", `{`, "Lambda-Extension-Name", "x"), 403, "InvalidRequestFormat")
	refused(t, w.do("GET", path+"event/next", ""), 403, "Extension.MissingExtensionIdentifier")
	refused(t, w.do("GET", path+"event/next", "", "Lambda-Extension-Identifier", "x"), 403, "Extension.InvalidExtensionIdentifier")
	refused(t, w.do("GET", path+"event/next", "", "Lambda-Extension-Identifier", hearth.NewRequestID()), 403, "Extension.UnknownExtensionIdentifier")
	id := w.do("POST", path+"register", `{"events":["INVOKE"]}`, "Lambda-Extension-Name", "x").header.Get("Lambda-Extension-Identifier")
	event := w.event(id)
	poll := w.poll()
	w.ready()
	call := w.send("r1", "{}")
	receive(t, poll)
	if e := receive(t, event); !strings.Contains(e.body, `"eventType":"INVOKE"`) || !strings.Contains(e.body, `"requestId":"r1"`) {
		t.Errorf("event %s", e.body)
	}
	w.respond("r1", "1")
	w.wait(call)
}

// TestNoBootstrap: every way in which there is nothing to start says what to do.
func TestNoBootstrap(t *testing.T) {
	cannot := func(string, string, []string, *os.File, *os.File) (Process, error) { return nil, syscall.ENOEXEC }
	for name, test := range map[string]struct {
		make  func(path string) error
		words string
	}{
		"missing":        {func(string) error { return nil }, "Couldn't find valid bootstrap"},
		"not executable": {func(p string) error { return os.WriteFile(p, nil, 0o644) }, "chmod +x"},
		"a directory":    {func(p string) error { return os.Mkdir(p, 0o755) }, "is no file"},
		"no program":     {func(p string) error { return os.WriteFile(p, []byte("x"), 0o755) }, "exec format error"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := test.make(filepath.Join(root, "bootstrap")); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, root, hearth.Exclusive, 1, cannot)
			var failed *link.InitError
			if err := receive(t, w.initErr); !errors.As(err, &failed) || failed.Doc.ErrorType != "Runtime.InvalidEntrypoint" || !strings.Contains(failed.Doc.ErrorMessage, test.words) {
				t.Errorf("%v", err)
			}
			if code := receive(t, w.code); code != 1 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
