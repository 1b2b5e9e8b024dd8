package e2e

import (
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestReservedConcurrencyThrottles(t *testing.T) {
	p := up(t)
	p.deploy(node("capped", burstSource, nil))
	status, body := p.do("PUT", "/2017-10-31/functions/capped/concurrency", []byte(`{"ReservedConcurrentExecutions":2}`), nil)
	if status != 200 {
		t.Fatalf("PutFunctionConcurrency: %d %s", status, body)
	}
	var served, throttled atomic.Int32
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			switch a := p.invoke("capped", `{"wait":3000}`); a.status {
			case 200:
				served.Add(1)
			case 429:
				throttled.Add(1)
				if a.header.Get("X-Amzn-Errortype") != "TooManyRequestsException" ||
					!strings.Contains(a.payload, "ReservedFunctionConcurrentInvocationLimitExceeded") {
					t.Errorf("429 says %v %s", a.header, a.payload)
				}
			default:
				t.Errorf("%d %s", a.status, a.payload)
			}
		})
	}
	wg.Wait()
	if served.Load() != 2 || throttled.Load() != 4 {
		t.Errorf("%d served and %d throttled, want 2 and 4", served.Load(), throttled.Load())
	}
}

// A node without room evicts idle instances of others, least recently used first;
// when all are busy it says 503 (seed 004, II.B).
func TestCapacity(t *testing.T) {
	p := up(t, "--memory", "600")
	for _, name := range []string{"a", "b", "c"} {
		p.deploy(node(name, burstSource, map[string]any{"memoryMB": 256}))
	}
	p.invoke("a", `{"wait":0}`)
	p.invoke("b", `{"wait":0}`)
	p.invoke("a", `{"wait":0}`) // b is now the least recently used
	if a := p.invoke("c", `{"wait":0}`); a.status != 200 {
		t.Fatalf("c: %d %s", a.status, a.payload)
	}
	if n := len(p.instances("b")); n != 0 {
		t.Errorf("b still has %d instances; it was the least recently used", n)
	}
	if n := len(p.instances("a")); n != 1 {
		t.Errorf("a has %d instances, want its one", n)
	}
	var wg sync.WaitGroup
	for _, name := range []string{"a", "c"} {
		wg.Go(func() { p.invoke(name, `{"wait":3000}`) })
	}
	eventually(t, patience, "a and c are busy", func() bool {
		var status struct{ InFlight int }
		p.get("/hearth/v1/status", &status)
		return status.InFlight == 2
	})
	a := p.invoke("b", `{"wait":0}`)
	if a.status != 503 || !strings.Contains(a.payload, "256 MB") {
		t.Errorf("without room: %d %s", a.status, a.payload)
	}
	wg.Wait()
	// What can never fit is told apart from what does not fit now.
	p.deploy(node("huge", burstSource, map[string]any{"memoryMB": 1024}))
	if a := p.invoke("huge", `{}`); a.status != 503 || !strings.Contains(a.payload, "--memory") {
		t.Errorf("larger than the node: %d %s", a.status, a.payload)
	}
}

// An update under load drops nothing: calls under way finish on the old code, new ones
// go to the new code.
func TestUpdateUnderLoad(t *testing.T) {
	p := up(t)
	source := func(v string) function {
		return node("live", `exports.handler = async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  return '`+v+`';
};`, map[string]any{"model": "concurrent"})
	}
	p.deploy(source("v0"))
	p.invoke("live", "{}")
	stop := make(chan struct{})
	var calls, old atomic.Int64
	var current atomic.Value
	current.Store("v0")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := current.Load().(string)
				a := p.invoke("live", "{}")
				calls.Add(1)
				if a.status != 200 || a.failed {
					t.Errorf("dropped: %d %s", a.status, a.payload)
				}
				if a.payload < `"`+before+`"` {
					old.Add(1)
				}
			}
		})
	}
	for _, v := range []string{"v1", "v2", "v3", "v4"} {
		p.deploy(source(v))
		current.Store(v)
		waitFor(t, &calls, 40)
	}
	close(stop)
	wg.Wait()
	if old.Load() > 0 {
		t.Errorf("%d of %d calls made after an update was acknowledged were served by older code", old.Load(), calls.Load())
	}
	t.Logf("%d calls, none dropped", calls.Load())
}

// waitFor waits until n more calls have been counted.
func waitFor(t *testing.T, calls *atomic.Int64, n int64) {
	t.Helper()
	want := calls.Load() + n
	eventually(t, patience, "the load goes on", func() bool { return calls.Load() >= want })
}

func TestDeleteDrains(t *testing.T) {
	p := up(t)
	p.deploy(node("doomed", burstSource, nil))
	p.invoke("doomed", `{"wait":0}`)
	var running answer
	var wg sync.WaitGroup
	wg.Go(func() { running = p.invoke("doomed", `{"wait":2000}`) })
	eventually(t, patience, "the call is running", func() bool {
		list := p.instances("doomed")
		return len(list) == 1 && list[0].InFlight == 1
	})
	if status, text := p.do("DELETE", "/2015-03-31/functions/doomed", nil, nil); status != 204 {
		t.Errorf("DeleteFunction: %d %s", status, text)
	}
	if a := p.invoke("doomed", "{}"); a.status != 404 || !strings.Contains(a.payload, "Function not found: arn:aws:lambda:") {
		t.Errorf("after the deletion: %d %s", a.status, a.payload)
	}
	wg.Wait()
	if running.status != 200 || running.failed {
		t.Errorf("the call under way: %d %s", running.status, running.payload)
	}
	eventually(t, patience, "the instance is gone", func() bool { return len(p.instances("doomed")) == 0 })
}

func TestKeepAlive(t *testing.T) {
	p := up(t)
	p.deploy(node("short", burstSource, map[string]any{"keepAlive": "2s"}))
	p.burstOf("short", 2, `{"wait":500}`)
	if n := len(p.instances("short")); n == 0 {
		t.Fatal("no instance stayed warm")
	}
	eventually(t, patience, "the idle instances are reaped", func() bool { return len(p.instances("short")) == 0 })
	_, text := p.do("GET", "/hearth/v1/events?function=short", nil, nil)
	if !strings.Contains(string(text), `"reaped"`) {
		t.Errorf("the events do not say that they were reaped:\n%s", text)
	}
}

func TestFunctionURL(t *testing.T) {
	p := up(t)
	p.deploy(node("web", `exports.handler = async (e) => {
  if (e.rawPath === '/text') return 'plain text';
  if (e.rawPath === '/boom') throw new Error('boom');
  return { statusCode: 201, headers: { 'X-Mine': 'yes' }, cookies: ['a=1', 'b=2'], body: JSON.stringify(e) };
};`, nil))
	status, header, body := p.request("POST", "/fn/web/any/path?x=1&x=2&y=", []byte("hello"), map[string]string{"Content-Type": "text/plain", "Cookie": "k=v", "X-Custom": "c"})
	var e struct {
		Version, RawPath, RawQueryString, Body string
		Cookies                                []string
		Headers, QueryStringParameters         map[string]string
		RequestContext                         struct{ HTTP struct{ Method, Path string } }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	if status != 201 || header.Get("X-Mine") != "yes" || len(header.Values("Set-Cookie")) != 2 {
		t.Errorf("status %d, headers %v", status, header)
	}
	if e.Version != "2.0" || e.RawPath != "/any/path" || e.RawQueryString != "x=1&x=2&y=" || e.Body != "hello" ||
		e.QueryStringParameters["x"] != "1,2" || e.RequestContext.HTTP.Method != "POST" || e.Headers["x-custom"] != "c" ||
		len(e.Cookies) != 1 || e.Cookies[0] != "k=v" {
		t.Errorf("the event: %s", body)
	}
	if status, body := p.do("GET", "/fn/web/text", nil, nil); status != 200 || string(body) != "plain text" {
		t.Errorf("a returned string: %d %q", status, body)
	}
	if status, _ := p.do("GET", "/fn/web/boom", nil, nil); status != 502 {
		t.Errorf("a failure is %d, want 502", status)
	}
}
