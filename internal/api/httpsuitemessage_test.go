package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
)

// messageCases are about requests and answers, whatever carries them.
func messageCases() []httpCase {
	return []httpCase{
		{name: "answers", under: onAny, run: answers},
		{name: "keep-alive", under: onAny, run: keepsAlive},
		{name: "HEAD", under: onAny, run: headHasNoBody},
		{name: "no content", under: onAny, run: noContent},
		{name: "no content, with a body", under: onH1, run: noContentFromURL},
		{name: "many at once", under: onAny, run: manyAtOnce},
		{name: "the event", under: onAny, run: theEvent},
		{name: "header line breaks stay out", under: onAny, run: oddTargets},
		{name: "too many headers", under: onAny, run: headersTooLarge},
		{name: "a panic costs one request", under: onAny, run: panicCostsOne},
		{name: "foreign host", under: onAny, cfg: Config{CheckHost: true}, run: foreignHost},
	}
}

func answers(t *testing.T, d *door) {
	c := d.client(t)
	resp, body := do(t, c, d.request(t, "GET", "/healthz", nil))
	if resp.StatusCode != 200 || body != "ok\n" || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || resp.ContentLength != 3 {
		t.Errorf("healthz: %s %q %v", resp.Status, body, resp.Header)
	}
	resp, body = do(t, c, d.request(t, "GET", "/fn/say/", nil))
	if resp.StatusCode != 200 || body != "hello" || resp.Header.Get("X-Said") != "yes" || len(resp.Cookies()) != 2 || resp.Header.Get("Date") == "" {
		t.Errorf("a function URL: %s %q %v", resp.Status, body, resp.Header)
	}
	resp, body = do(t, c, d.request(t, "POST", echoPath, strings.NewReader(`{"a":1}`)))
	if resp.StatusCode != 200 || body != `{"a":1}` || resp.Header.Get("X-Amz-Executed-Version") != "$LATEST" {
		t.Errorf("an invocation: %s %q %v", resp.Status, body, resp.Header)
	}
	resp, body = do(t, c, d.request(t, "GET", "/nowhere", nil))
	if resp.StatusCode != 404 || !strings.Contains(body, "There is nothing at /nowhere") {
		t.Errorf("nowhere: %s %q", resp.Status, body)
	}
	resp, body = do(t, c, d.request(t, "DELETE", "/hearth/v1/status", nil))
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET" {
		t.Errorf("a method that is not: %s %q %v", resp.Status, body, resp.Header)
	}
}

func keepsAlive(t *testing.T, d *door) {
	c := d.client(t)
	dials := 0
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			dials++
		}
	}}
	for i := range 100 {
		req := d.request(t, "POST", echoPath, strings.NewReader(fmt.Sprint(i)))
		resp, body := do(t, c, req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		if resp.StatusCode != 200 || body != fmt.Sprint(i) {
			t.Fatalf("request %d: %s %q", i, resp.Status, body)
		}
	}
	if dials != 1 {
		t.Errorf("100 requests took %d connections", dials)
	}
}

func headHasNoBody(t *testing.T, d *door) {
	c := d.client(t)
	for _, path := range []string{"/fn/say/", "/healthz", "/hearth/v1/functions/echo/code"} {
		want, body := do(t, c, d.request(t, "GET", path, nil))
		got, none := do(t, c, d.request(t, "HEAD", path, nil))
		if got.StatusCode != 200 || none != "" || got.ContentLength != int64(len(body)) || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %s, length %d, %q, %v; GET has %d bytes", path, got.Status, got.ContentLength, none, got.Header, len(body))
		}
	}
}

func noContent(t *testing.T, d *door) {
	c := d.client(t)
	for range 2 {
		req := d.request(t, "POST", echoPath, strings.NewReader("{}"))
		req.Header.Set("X-Amz-Invocation-Type", "DryRun")
		if resp, body := do(t, c, req); resp.StatusCode != 204 || body != "" {
			t.Fatalf("%s %q", resp.Status, body)
		}
	}
}

// noContentFromURL: what a function says beyond such a status is never sent, as a client
// would take it for the next answer.
func noContentFromURL(t *testing.T, d *door) {
	for _, status := range []int{204, 304} {
		for _, size := range []int{10, joinBytes + 1, largeBytes + 1} {
			name := fmt.Sprintf("none-%d-%d", status, size)
			d.deploy(t, name, "say", fmt.Sprintf(`{"statusCode":%d,"body":%q}`, status, strings.Repeat("x", size)))
			c, r := d.knock(t)
			send(t, c, post("/fn/"+name+"/", "1")+post(echoPath, "2"))
			wants(t, r, "POST", status, "")
			wants(t, r, "POST", 200, "2")
		}
	}
}

func manyAtOnce(t *testing.T, d *door) {
	c := d.client(t)
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			text := fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat("x", i*317))
			req, err := http.NewRequestWithContext(t.Context(), "POST", d.url(echoPath), strings.NewReader(text))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			var got, want map[string]interface{}
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
				t.Error(err)
				return
			}
			if err := json.Unmarshal([]byte(text), &want); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("caller %d got somebody else's answer: %.100v", i, got)
			}
		})
	}
	callers.Wait()
}

// theEvent is what a function sees of a request: the same by every way, but for the
// protocol and what it follows from.
func theEvent(t *testing.T, d *door) {
	req := d.request(t, "PUT", "/fn/echo/a//b%2Fc?d=e&d=f&g=%20", strings.NewReader("text"))
	req.Host = "hearth.test:1234"
	req.Header = http.Header{"X-Twice": {"one", "two"}, "Cookie": {"a=b; c=d"}, "Content-Type": {"text/plain"}, "User-Agent": {"suite"},
		"X-Latin": {"caf\xe9"}, "X-Empty": {""}, "X-Amz-Something": {" trimmed "}}
	_, body := do(t, d.client(t), req)
	protocol, scheme := "HTTP/1.1", "http"
	if d.way.speaks == onH2 {
		protocol = "HTTP/2.0"
	}
	if d.way.tls {
		scheme = "https"
	}
	var event struct {
		RawPath, RawQueryString, Body string
		Cookies                       []string
		Headers                       map[string]string
		QueryStringParameters         map[string]string
		RequestContext                struct {
			DomainName string
			HTTP       struct{ Method, Path, Protocol, SourceIP, UserAgent string }
		}
	}
	if err := json.Unmarshal([]byte(body), &event); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, c := range []struct{ what, got, want string }{
		{"path", event.RawPath, "/a//b%2Fc"},
		{"query", event.RawQueryString, "d=e&d=f&g=%20"},
		{"parameters", fmt.Sprint(event.QueryStringParameters), "map[d:e,f g: ]"},
		{"body", event.Body, "text"},
		{"cookies", fmt.Sprint(event.Cookies), "[a=b c=d]"},
		{"domain", event.RequestContext.DomainName, "hearth.test"},
		{"method", event.RequestContext.HTTP.Method, "PUT"},
		{"protocol", event.RequestContext.HTTP.Protocol, protocol},
		{"source", event.RequestContext.HTTP.SourceIP, "127.0.0.1"},
		{"agent", event.RequestContext.HTTP.UserAgent, "suite"},
		{"twice", event.Headers["x-twice"], "one,two"},
		{"latin", event.Headers["x-latin"], "café"},
		{"trimmed", event.Headers["x-amz-something"], "trimmed"},
		{"host", event.Headers["host"], "hearth.test:1234"},
		{"length", event.Headers["content-length"], "4"},
		{"proto", event.Headers["x-forwarded-proto"], scheme},
		{"port", event.Headers["x-forwarded-port"], "1234"},
		{"for", event.Headers["x-forwarded-for"], "127.0.0.1"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %q, want %q", c.what, c.got, c.want)
		}
	}
	if _, ok := event.Headers["x-empty"]; !ok {
		t.Error("an empty header was lost")
	}
	if _, ok := event.Headers["cookie"]; ok {
		t.Error("cookies are among the headers")
	}
	for name := range event.Headers {
		if strings.HasPrefix(name, ":") || name == "connection" || name == "transfer-encoding" {
			t.Errorf("%s is not for functions", name)
		}
	}
}

// oddTargets come through as they were sent.
func oddTargets(t *testing.T, d *door) {
	c := d.client(t)
	for _, path := range []string{"/fn/echo/%0d%0aX-Evil:%20yes", "/fn/echo/%00", "/fn/echo/..//.%2e/", "/fn/echo?", "/fn/echo/a?b?c=/d//e"} {
		resp, body := do(t, c, d.request(t, "GET", path, nil))
		want, _, _ := strings.Cut(strings.TrimPrefix(path, "/fn/echo"), "?")
		if want == "" {
			want = "/"
		}
		quoted, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || !strings.Contains(body, `"rawPath":`+string(quoted)) || strings.Contains(body, "x-evil") || resp.Header.Get("X-Evil") != "" {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
}

func headersTooLarge(t *testing.T, d *door) {
	c := d.client(t)
	big := d.request(t, "GET", "/healthz", nil)
	big.Header.Set("X-Big", strings.Repeat("a", 20<<10))
	many := d.request(t, "GET", "/healthz", nil)
	for i := range 1000 {
		many.Header.Set(fmt.Sprintf("X-Header-%d", i), "some value")
	}
	long := d.request(t, "GET", "/healthz?"+strings.Repeat("a", 20<<10), nil)
	for name, req := range map[string]*http.Request{"one header": big, "many headers": many, "the target": long} {
		if resp, body := do(t, c, req); resp.StatusCode != 431 {
			t.Errorf("%s: %s %.200q", name, resp.Status, body)
		}
	}
	fits := d.request(t, "GET", "/healthz", nil)
	fits.Header.Set("X-Big", strings.Repeat("a", 15<<10))
	if resp, body := do(t, c, fits); resp.StatusCode != 200 {
		t.Errorf("15 KiB: %s %q", resp.Status, body)
	}
}

func panicCostsOne(t *testing.T, d *door) {
	c := d.client(t)
	for range 2 {
		for _, path := range []string{"/fn/panic/", "/fn/no-such-luck/"} {
			if resp, body := do(t, c, d.request(t, "GET", path, nil)); resp.StatusCode != 500 {
				t.Fatalf("%s: %s %s", path, resp.Status, body)
			}
		}
		if resp, body := do(t, c, d.request(t, "POST", echoPath, strings.NewReader("[]"))); resp.StatusCode != 200 || body != "[]" {
			t.Fatalf("%s %q", resp.Status, body)
		}
	}
}

func foreignHost(t *testing.T, d *door) {
	req := d.request(t, "GET", "/healthz", nil)
	req.Host = "evil.example"
	if resp, body := do(t, d.client(t), req); resp.StatusCode != 403 || !strings.Contains(body, "evil.example") {
		t.Errorf("%s %q", resp.Status, body)
	}
	req = d.request(t, "GET", "/", nil)
	req.Host = "say.localhost:9000"
	if resp, body := do(t, d.client(t), req); resp.StatusCode != 200 || body != "hello" {
		t.Errorf("%s %q", resp.Status, body)
	}
}
