package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// goBootstrap builds the Go function of testdata/custom-go, a module of its own.
var goBootstrap = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hearth-custom-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	build.Dir = "testdata/custom-go"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the Go function: %w\n%s", err, out)
	}
	return os.ReadFile(bin)
})

// shellBootstrap is a runtime of a few lines, in sh with curl.
const shellBootstrap = `#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
head=$(mktemp)
while true; do
  event=$(curl -sS -LD "$head" "$api/next")
  id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$head" | tr -d '[:space:]' | cut -d: -f2)
  echo "serving $id"
  case "$event" in
  *error*) curl -sS "$api/$id/error" -d '{"errorType":"Shell.Bad","errorMessage":"out of range"}' >/dev/null ;;
  *exit*) exit 7 ;;
  *wait*) sleep 20 ;;
  *) curl -sS "$api/$id/response" -d "{\"event\":$event,\"handler\":\"$_HANDLER\",\"max\":\"$AWS_LAMBDA_MAX_CONCURRENCY\"}" >/dev/null ;;
  esac
done
`

// custom is a function with a bootstrap.
func custom(name string, bootstrap []byte, config map[string]any) function {
	return function{name, map[string]string{"bootstrap": string(bootstrap)}, merge(map[string]any{
		"runtime": "provided.al2023", "handler": "bootstrap", "memoryMB": 256, "timeout": "10s"}, config)}
}

func goFunction(t *testing.T, name string, config map[string]any) function {
	t.Helper()
	bin, err := goBootstrap()
	if err != nil {
		t.Fatal(err)
	}
	return custom(name, bin, config)
}

type goServed struct {
	Instance, Request, Max string
	Most, Left             int
}

func (p *platform) callGo(name, payload string) (s goServed) {
	p.t.Helper()
	a := p.invoke(name, payload)
	if a.status != 200 || a.failed {
		p.t.Errorf("%s: %d %s", name, a.status, a.payload)
		return s
	}
	if err := json.Unmarshal([]byte(a.payload), &s); err != nil {
		p.t.Errorf("%s: %v: %s", name, err, a.payload)
	}
	if id := a.header.Get("X-Amzn-Requestid"); s.Request != id {
		p.t.Errorf("the function was told request id %s, the caller %s", s.Request, id)
	}
	return s
}

// A Go function as written for Lambda runs unmodified: alone in its instance, and with
// others, of which it learns by AWS_LAMBDA_MAX_CONCURRENCY.
func TestGoFunction(t *testing.T) {
	for _, isolation := range []string{"auto", "process"} {
		t.Run(isolation, func(t *testing.T) {
			p := up(t, "--isolation", isolation)
			p.deploy(goFunction(t, "alone", nil))
			p.deploy(goFunction(t, "shared", map[string]any{"model": "concurrent", "maxConcurrency": 5}))
			p.deploy(function{"go1x", map[string]string{"bin/main": goFunction(t, "x", nil).files["bootstrap"]},
				map[string]any{"runtime": "go1.x", "handler": "bin/main", "memoryMB": 256}})
			for _, name := range []string{"alone", "go1x"} {
				if s := p.callGo(name, "{}"); s.Max != "" || s.Most != 1 || s.Instance == "" || s.Left < 1000 {
					t.Errorf("%s: %+v", name, s)
				}
			}
			var wg sync.WaitGroup
			var all [5]goServed
			for i := range all {
				wg.Go(func() { all[i] = p.callGo("shared", `{"wait":1500}`) })
			}
			wg.Wait()
			most := 0
			for _, s := range all {
				most = max(most, s.Most)
				if s.Instance != all[0].Instance || s.Max != "5" {
					t.Errorf("%+v, %+v", s, all[0])
				}
			}
			if most != 5 {
				t.Errorf("%d invocations at once, want 5", most)
			}
			a := p.invoke("shared", "{}")
			id := a.header.Get("X-Amzn-Requestid")
			if out, _, _ := p.hearth("logs", "shared", "--request", id); !strings.Contains(out, "serving "+id) {
				t.Errorf("the log line of a shared instance does not have its request: %s", out)
			}
		})
	}
}

// The ways of failing, in both models, by the Go client and by hand.
func TestCustomRuntimeFailures(t *testing.T) {
	p := up(t)
	for _, model := range []string{"exclusive", "concurrent"} {
		name := "go-" + model
		p.deploy(goFunction(t, name, map[string]any{"model": model, "timeout": "1s"}))
		for _, c := range []struct{ payload, kind, words string }{
			{`{"do":"error"}`, "errorString", "out of range"},
			{`{"do":"panic"}`, "string", "a bug"},
			{`{"wait":20000}`, "Sandbox.Timedout", "Task timed out after 1.00 seconds"},
			{`{"do":"exit"}`, "Runtime.ExitError", "exit status 7"},
		} {
			a := p.invoke(name, c.payload)
			if !a.failed || a.doc.ErrorType != c.kind || !strings.Contains(a.doc.ErrorMessage, c.words) {
				t.Errorf("%s %s: %s", name, c.payload, a.payload)
			}
			p.callGo(name, "{}") // each time an instance is there
		}
	}
	p.deploy(custom("shell", []byte(shellBootstrap), map[string]any{"timeout": "2s", "handler": "any.thing"}))
	for _, c := range []struct{ payload, want string }{
		{`{"a":1}`, `{"event":{"a":1},"handler":"any.thing","max":""}`},
		{`{"do":"error"}`, "Shell.Bad"},
		{`{"do":"wait"}`, "Task timed out after 2.00 seconds"},
		{`{"do":"exit"}`, "exit status 7"},
		{`{"b":2}`, `{"event":{"b":2},"handler":"any.thing","max":""}`},
	} {
		if a := p.invoke("shell", c.payload); !strings.Contains(a.payload, c.want) {
			t.Errorf("shell %s: %s", c.payload, a.payload)
		}
	}
}

// What cannot be started says what to do.
func TestCustomRuntimesThatDoNotStart(t *testing.T) {
	p := up(t)
	for name, c := range map[string]struct {
		files map[string]string
		kind  string
		words string
	}{
		"missing":   {map[string]string{"readme": "x"}, "Runtime.InvalidEntrypoint", "bootstrap"},
		"no-format": {map[string]string{"bootstrap": "not a program"}, "Runtime.InvalidEntrypoint", "exec format error"},
		"no-loader": {map[string]string{"bootstrap": "#!/no/such/interpreter\n"}, "Runtime.InvalidEntrypoint", "interpreter"},
		"exits":     {map[string]string{"bootstrap": "#!/bin/sh\necho starting >&2\nexit 3\n"}, "Runtime.ExitError", "exit status 3"},
		"init-error": {map[string]string{"bootstrap": "#!/bin/sh\ncurl -sS http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/init/error " +
			`-H 'Lambda-Runtime-Function-Error-Type: Runtime.NoConfig' -d '{"errorMessage":"no configuration"}'` + "\nexit 1\n"}, "Runtime.NoConfig", "no configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			f := custom(name, nil, nil)
			f.files = c.files
			p.deploy(f)
			if a := p.invoke(name, "{}"); !a.failed || a.doc.ErrorType != c.kind || !strings.Contains(a.doc.ErrorMessage, c.words) {
				t.Errorf("%s", a.payload)
			}
		})
	}
}

// get opens a function URL and returns when the head of the answer is there.
func (p *platform) open(path, body string) *http.Response {
	p.t.Helper()
	resp, err := http.Post(p.url+path, "text/plain", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// secondAt is when a slow stream says that it has written its second part.
func secondAt(t *testing.T, rest []byte) time.Time {
	t.Helper()
	ms, ok := strings.CutPrefix(string(rest), "second ")
	n, err := strconv.ParseInt(ms, 10, 64)
	if !ok || err != nil {
		t.Fatalf("the second part is %q", rest)
	}
	return time.UnixMilli(n)
}

// A Go function streams as it does on Lambda: the first part is here long before the
// last, and what fails midway is cut off.
func TestGoStreams(t *testing.T) {
	p := up(t)
	for _, model := range []string{"exclusive", "concurrent"} {
		name := "stream-" + model
		p.deploy(goFunction(t, name, map[string]any{"model": model}))
		begin := time.Now()
		resp := p.open("/fn/"+name+"/", "slow stream")
		first := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
			t.Fatalf("%q, %v", first, err)
		}
		early := time.Now()
		rest, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 201 || resp.Header.Get("X-From") != "go" || resp.Cookies()[0].Value != "b" || err != nil {
			t.Errorf("%s %v %q %v", resp.Status, resp.Header, rest, err)
		}
		if second := secondAt(t, rest); !second.After(early) {
			t.Errorf("the first part came %v after the call, the second was written %v after it", early.Sub(begin), second.Sub(begin))
		}
		resp = p.open("/fn/"+name+"/", "broken stream")
		if text, err := io.ReadAll(resp.Body); err == nil || !bytes.HasPrefix(text, []byte("half")) {
			t.Errorf("a stream that broke: %q, %v", text, err)
		}
		if a := p.invoke(name, `{"do":"broken stream"}`); !a.failed || a.doc.ErrorMessage != "broke midway" {
			t.Errorf("collected: %s", a.payload)
		}
		if a := p.invoke(name, `{"do":"stream"}`); a.failed || !strings.HasSuffix(a.payload, "\x00one two three") {
			t.Errorf("collected: %q", a.payload)
		}
	}
}

const nodeStream = `
const pause = (ms) => new Promise((ok) => setTimeout(ok, ms));
exports.handler = awslambda.streamifyResponse(async (event, out) => {
  const order = event.do ? event : JSON.parse(event.body);
  switch (order.do) {
  case 'slow':
    out = awslambda.HttpResponseStream.from(out, { statusCode: 202, headers: { 'x-from': 'node', 'content-type': 'text/plain' }, cookies: ['a=b'] });
    out.write('first');
    await pause(1500);
    out.end('second ' + Date.now());
    return;
  case 'large': {
    const part = Buffer.alloc(65536, 'x');
    for (let left = order.size; left > 0; left -= part.length) {
      if (!out.write(part.subarray(0, Math.min(left, part.length)))) await new Promise((ok) => out.once('drain', ok));
    }
    out.end();
    return;
  }
  case 'throw': throw new RangeError('early');
  case 'midway': out.write('half'); await pause(10); throw new RangeError('midway');
  case 'exit': out.write('half'); await pause(10); process.exit(7);
  case 'timeout': out.write('half'); await pause(20000);
  }
});`

func TestNodeStreams(t *testing.T) {
	for _, isolation := range []string{"auto", "process"} {
		p := up(t, "--isolation", isolation)
		for _, model := range []string{"exclusive", "concurrent"} {
			t.Run(isolation+"/"+model, func(t *testing.T) {
				name := "stream-" + model
				p.deploy(node(name, nodeStream, map[string]any{"model": model, "timeout": "3s"}))
				resp := p.open("/fn/"+name+"/", `{"do":"slow"}`)
				first := make([]byte, 5)
				if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
					t.Fatalf("%q, %v", first, err)
				}
				early := time.Now()
				rest, err := io.ReadAll(resp.Body)
				if resp.StatusCode != 202 || resp.Header.Get("X-From") != "node" || err != nil {
					t.Errorf("%s %v %q %v", resp.Status, resp.Header, rest, err)
				}
				if second := secondAt(t, rest); !second.After(early) {
					t.Errorf("the first part came %v after the second was written", early.Sub(second))
				}
				if resp := p.open("/fn/"+name+"/", `{"do":"throw"}`); resp.StatusCode != 502 {
					t.Errorf("a failure before the first byte: %s", resp.Status)
				}
				for _, way := range []string{"midway", "exit", "timeout"} {
					resp := p.open("/fn/"+name+"/", `{"do":"`+way+`"}`)
					if text, err := io.ReadAll(resp.Body); err == nil || string(text) != "half" {
						t.Errorf("%s: %q, %v; want it cut off", way, text, err)
					}
				}
				if a := p.invoke(name, `{"do":"timeout"}`); a.doc.ErrorType != "Sandbox.Timedout" {
					t.Errorf("collected: %s", a.payload)
				}
				if a := p.invoke(name, `{"do":"large","size":7000000}`); a.doc.ErrorType != "Function.ResponseSizeTooLarge" {
					t.Errorf("collected, too large: %.200s", a.payload)
				}
				if a := p.invoke(name, `{"do":"large","size":6000000}`); a.failed || len(a.payload) != 6_000_000 {
					t.Errorf("collected: %d bytes %.200s", len(a.payload), a.doc.ErrorMessage)
				}
			})
		}
	}
}

// 200 MB for a reader that pauses: the function waits, and neither it nor the platform
// grows.
func TestLargeStream(t *testing.T) {
	p := up(t)
	p.deploy(node("large", nodeStream, map[string]any{"memoryMB": 128, "timeout": "120s"}))
	const size = 209_715_200
	resp := p.open("/fn/large/", fmt.Sprintf(`{"do":"large","size":%d}`, size))
	before := p.residentMB()
	body := bufio.NewReader(resp.Body)
	head := make([]byte, 1<<20)
	if _, err := io.ReadFull(body, head); err != nil {
		t.Fatal(err)
	}
	// It must come to a rest, with its instance alive, although nobody reads.
	cpu := p.instances("large")[0].CPU
	eventually(t, patience, "the function waits for its reader", func() bool {
		last := cpu
		cpu = p.instances("large")[0].CPU
		return cpu == last
	})
	n, err := io.Copy(io.Discard, body)
	if n+int64(len(head)) != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if after := p.residentMB(); after > before+60 {
		t.Errorf("the platform grew from %d to %d MB", before, after)
	}
	if peak := p.instances("large")[0].PeakMB; peak > 120 {
		t.Errorf("the instance's peak is %d MB", peak)
	}
	resp = p.open("/fn/large/", fmt.Sprintf(`{"do":"large","size":%d}`, size+1))
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("one byte too many came whole")
	}
}

func (p *platform) residentMB() int {
	var s struct{ ResidentMB int }
	p.get("/hearth/v1/status", &s)
	return s.ResidentMB
}

// A caller who goes does not stop the function, as on Lambda.
func TestCallerLeavesStream(t *testing.T) {
	p := up(t)
	p.deploy(node("goes-on", `
exports.handler = awslambda.streamifyResponse(async (event, out) => {
  for (let i = 0; i < 200; i++) {
    if (!out.write(Buffer.alloc(65536))) await new Promise((ok) => out.once('drain', ok));
    if (i === 0) await new Promise((ok) => setTimeout(ok, 500));
  }
  out.end();
  console.log('written to its end');
});`, nil))
	resp := p.open("/fn/goes-on/", "")
	id := resp.Header.Get("X-Amzn-Requestid")
	resp.Body.Close()
	eventually(t, patience, "the function has written everything", func() bool {
		out, _, _ := p.hearth("logs", "goes-on", "--request", id)
		return strings.Contains(out, "written to its end") && strings.Contains(out, "REPORT")
	})
}
