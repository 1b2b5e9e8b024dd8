package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"
)

func TestPprof(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	stop, err := servePprof(ctx, "127.0.0.1:0", &out)
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://\S+`).FindString(out.String())
	get := func(host string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"goroutine?debug=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.Close = host, true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := get(""); got != http.StatusOK {
		t.Errorf("by its address: %d", got)
	}
	if got := get("attacker.example:6060"); got != http.StatusForbidden {
		t.Errorf("by another name: %d", got)
	}
	stop()
	if resp, err := http.Get(url); err == nil { //nolint:noctx // it is gone
		resp.Body.Close()
		t.Error("it still answers after stop")
	}
}

func TestPprofStaysOnLoopback(t *testing.T) {
	stop, err := servePprof(t.Context(), "0.0.0.0:0", new(bytes.Buffer))
	if err == nil {
		stop()
		t.Fatal("profiles were offered to everybody")
	}
}

func TestMetrics(t *testing.T) {
	w := httptest.NewRecorder()
	serveMetrics(w, nil)
	for _, name := range []string{"/gc/heap/allocs:objects", "/gc/heap/allocs:bytes", "/sched/latencies:seconds"} {
		if !regexp.MustCompile(`(?m)^` + name + ` [1-9]`).MatchString(w.Body.String()) {
			t.Errorf("%s is not told:\n%s", name, w.Body)
		}
	}
}
