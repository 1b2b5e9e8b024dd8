package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/cli/screen"
)

// talk is what a command that goes on has printed so far.
type talk struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (k *talk) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.text.Write(p)
	select {
	case k.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

// await waits until what was printed matches, and returns the match.
func (k *talk) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(time.Minute)
	for {
		k.mu.Lock()
		text := k.text.String()
		k.mu.Unlock()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		select {
		case <-k.more:
		case <-deadline:
			t.Fatalf("never said %s, but\n%s", pattern, text)
		}
	}
}

// hearth run passes requests on, declared paths first, deploys changes anew, survives a
// folder that is wrong for a while, and leaves nothing behind.
func TestRun(t *testing.T) {
	p := newTestPlatform(t)
	p.Config.Handler = withRunPaths(p.Config.Handler)
	dir := write(t, map[string]string{
		"serverless.yml": "service: shop\nprovider: {name: aws, runtime: nodejs}\nfunctions:\n  order:\n    handler: index.handler\n    events: [{http: GET orders}]\n",
		"index.js":       "exports.handler = 1",
	})
	var data string
	up := func(ctx context.Context, c UpConfig, out io.Writer) error {
		data = c.DataDir
		fmt.Fprintf(out, "Hearth listens on %s\n", p.URL)
		fmt.Fprintln(out, "ready")
		<-ctx.Done()
		return nil
	}
	said := &talk{more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	exit := make(chan int, 1)
	go func() {
		exit <- Main(ctx, []string{"run", dir, "--port", "0"}, Options{Up: up, Stdout: said, Stderr: said, Stdin: strings.NewReader(""), Getenv: func(string) string { return "" }})
	}()
	url := said.await(t, `answers at (http://127\.0\.0\.1:[0-9]+/)`)[1]
	for path, want := range map[string]string{"orders": "declared /http/shop/orders", "other/x?a=b": "own /fn/order/other/x?a=b", "a%2Fb": "own /fn/order/a%2Fb"} {
		resp, err := http.Post(url+path, "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != want+" body" {
			t.Errorf("%s: %q, %v; want %q", path, body, err, want)
		}
		if own := resp.Header.Get("X-Own") == "yes"; own != strings.HasPrefix(want, "own") {
			t.Errorf("%s: the headers are %v", path, resp.Header)
		}
	}
	said.await(t, `POST /other/x 200 OK`)
	change(t, filepath.Join(dir, "serverless.yml"), "service: shop\nprovider: {name: awz}\n")
	said.await(t, `changed: serverless.yml\n(?s:.*)did you mean "aws"`)
	change(t, filepath.Join(dir, "serverless.yml"), "service: shop\nprovider: {name: aws, runtime: nodejs}\nfunctions:\n  order: {handler: index.other}\n")
	said.await(t, `order deployed  nodejs · index.other`)
	cancel()
	select {
	case code := <-exit:
		if code != ExitInterrupted {
			t.Errorf("exit %d", code)
		}
	case <-time.After(time.Minute):
		t.Fatal("does not end")
	}
	if _, err := os.Stat(data); data == "" || !os.IsNotExist(err) {
		t.Errorf("left %s behind: %v", data, err)
	}
}

// withRunPaths answers for functions as a platform does, with what it was asked for.
func withRunPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch uri := r.RequestURI; {
		case uri == "/http/shop/orders":
			fmt.Fprintf(w, "declared %s %s", uri, body)
		case strings.HasPrefix(uri, "/http/"):
			w.Header().Set("X-Hearth-Error", "No function answers "+uri)
			w.WriteHeader(http.StatusNotFound)
			_ = http.NewResponseController(w).Flush() // before its end is known
		case strings.HasPrefix(uri, "/fn/"):
			w.Header().Set("X-Own", "yes")
			fmt.Fprintf(w, "own %s %s", uri, body)
		default:
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			next.ServeHTTP(w, r)
		}
	})
}

func change(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What the platform says of a path that is not declared names the paths that the developer
// sees, and the function sees the name it was called by.
func TestRunAsDeclared(t *testing.T) {
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/http/shop/host" {
			fmt.Fprintf(w, "called by %s, see /http/shop/x", r.Host)
			return
		}
		w.Header().Set("X-Hearth-Error", "No function answers GET "+r.URL.Path+".")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "No function answers GET %s. One that exists: GET /http/shop/orders.", r.URL.Path)
	}))
	defer p.Close()
	out := &talk{more: make(chan struct{}, 1)}
	r := &runner{app: &app{http: p.Client(), out: screen.New(out, func(string) string { return "" }), now: time.Now, zone: time.UTC},
		client: &client{base: p.URL, http: p.Client()}, target: &runTarget{service: "shop"}}
	for path, want := range map[string]string{
		"/nope": "No function answers GET /nope. One that exists: GET /orders.",
		"/host": "called by localhost:8080, see /http/shop/x",
	} {
		req := httptest.NewRequest(http.MethodGet, "http://localhost:8080"+path, nil)
		w := httptest.NewRecorder()
		r.handler().ServeHTTP(w, req)
		if got := w.Body.String(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if strings.Contains(w.Header().Get("X-Hearth-Error"), "/http/") {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
	out.await(t, `GET /nope 404 Not Found`)
}

func TestRunRefusals(t *testing.T) {
	several := write(t, map[string]string{"hearth.yml": "functions:\n  a: {handler: index.a}\n  b: {handler: index.b}\n", "index.js": ""})
	never := func(context.Context, UpConfig, io.Writer) error { return fmt.Errorf("no room") }
	for want, args := range map[string][]string{
		"choose one with --function: a, b":    {several},
		`there is no function "c"`:            {several, "--function", "c"},
		"--isolation":                         {several, "--isolation", "vm"},
		"the platform did not start: no room": {several, "--function", "a", "--port", "0"},
	} {
		_, stderr, exit := run{up: never}.do(t, append([]string{"run"}, args...)...)
		if exit == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit %d, %s; want %q", args, exit, stderr, want)
		}
	}
}

func TestPlainWords(t *testing.T) {
	const id = "1d0d2b6f"
	for text, want := range map[string]string{
		"hello": "hello",
		"2026-01-31T12:00:00.000Z\t" + id + "\tINFO\thi": "INFO hi",
		"2026-01-31T12:00:00.000Z\t" + id + "\tERROR\tInvoke Error \t{\"errorType\":\"Error\",\"errorMessage\":\"boom\",\"stack\":[\"Error: boom\",\"    at f (src/order.js:1:75)\",\"    at x (node:internal/y:1:1)\",\"    at call (/tmp/z/runtime/node/invocation.js:1:1)\"]}": "Error: boom\n    at f (src/order.js:1:75)",
	} {
		if got := plainWords(text, id); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
