package e2e

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// binary is the hearth under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hearth-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "hearth")
	args := []string{"build", "-buildvcs=false", "-o", binary} // the tree may belong to somebody else
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "hearth/cmd/hearth")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// patience is how long to wait for what must come, also on a slow and busy machine.
const patience = time.Minute

// platform is a running hearth.
type platform struct {
	t    testing.TB
	url  string
	dir  string
	cmd  *exec.Cmd
	out  *bytes.Buffer
	done chan struct{}
}

// up starts a platform on a free port with a fresh data directory.
func up(t testing.TB, args ...string) *platform {
	t.Helper()
	return upIn(t, t.TempDir(), args...)
}

// upIn starts a platform with a given data directory. The test's end stops it.
func upIn(t testing.TB, dir string, args ...string) *platform {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p := &platform{t: t, url: "http://" + addr, dir: dir, out: &bytes.Buffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"up", "--listen", addr, "--data", dir}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("hearth said:\n%s", p.out)
		}
	})
	p.waitHealthy()
	return p
}

func (p *platform) waitHealthy() {
	p.t.Helper()
	eventually(p.t, patience, "the platform is ready", func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("hearth ended before it was ready:\n%s", p.out)
		default:
		}
		resp, err := http.Get(p.url + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// stop ends the platform as Ctrl-C does and waits. Stopping again is harmless.
func (p *platform) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.done
		p.t.Errorf("hearth did not stop within 60 s:\n%s", p.out)
	}
}

// kill ends the platform with SIGKILL and waits.
func (p *platform) kill() {
	p.t.Helper()
	_ = p.cmd.Process.Kill()
	<-p.done
}

// eventually polls until ok, for things that have no event to wait for.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", limit, what)
}

// function is what deploy needs to know.
type function struct {
	name   string
	files  map[string]string
	config map[string]any
}

// node is a Node function with one file.
func node(name, source string, config map[string]any) function {
	return function{name, map[string]string{"index.js": source}, merge(map[string]any{
		"runtime": "nodejs", "handler": "index.handler", "memoryMB": 256, "timeout": "10s"}, config)}
}

// python is a Python function with one file.
func python(name, source string, config map[string]any) function {
	return function{name, map[string]string{"main.py": source}, merge(map[string]any{
		"runtime": "python", "handler": "main.handler", "memoryMB": 256, "timeout": "10s"}, config)}
}

func merge(base, more map[string]any) map[string]any {
	for k, v := range more {
		base[k] = v
	}
	return base
}

func zipOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o755) // some are programs
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// deploy creates or updates a function.
func (p *platform) deploy(f function) {
	p.t.Helper()
	status, body := p.put("/hearth/v1/functions/"+f.name, map[string]any{"config": f.config, "code": zipOf(p.t, f.files)})
	if status != 200 && status != 201 {
		p.t.Fatalf("deploy %s: %d %s", f.name, status, body)
	}
}

func (p *platform) put(path string, body any) (int, []byte) {
	p.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do("PUT", path, text, nil)
}

// do makes one request; it fails the test only when there is no answer.
func (p *platform) do(method, path string, body []byte, headers map[string]string) (int, []byte) {
	p.t.Helper()
	status, _, text := p.request(method, path, body, headers)
	return status, text
}

func (p *platform) request(method, path string, body []byte, headers map[string]string) (int, http.Header, []byte) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Errorf("%s %s: %v", method, path, err)
		return 0, http.Header{}, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Errorf("%s %s: read the answer: %v", method, path, err)
	}
	return resp.StatusCode, resp.Header, text
}

// answer is what Invoke gave.
type answer struct {
	status   int
	failed   bool // X-Amz-Function-Error
	payload  string
	doc      hearth.FailureDoc
	header   http.Header
	duration time.Duration
}

// invoke calls a function by Lambda's API.
func (p *platform) invoke(name, payload string) answer {
	p.t.Helper()
	begin := time.Now()
	status, header, body := p.request("POST", "/2015-03-31/functions/"+name+"/invocations", []byte(payload),
		map[string]string{"X-Amz-Log-Type": "Tail"})
	a := answer{status: status, failed: header.Get("X-Amz-Function-Error") != "", payload: string(body), header: header, duration: time.Since(begin)}
	if a.failed {
		if err := json.Unmarshal(body, &a.doc); err != nil {
			p.t.Errorf("%s: the failure document is no JSON: %q", name, body)
		}
	}
	return a
}

func (p *platform) instances(name string) []hearth.InstanceInfo {
	p.t.Helper()
	var list struct{ Instances []hearth.InstanceInfo }
	p.get("/hearth/v1/instances?function="+name, &list)
	return list.Instances
}

func (p *platform) get(path string, into any) {
	p.t.Helper()
	status, text := p.do("GET", path, nil, nil)
	if status != 200 {
		p.t.Fatalf("GET %s: %d %s", path, status, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		p.t.Fatalf("GET %s: %v: %s", path, err, text)
	}
}

// hearth runs the command line against the platform.
func (p *platform) hearth(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	return p.hearthIn("", args...)
}

func (p *platform) hearthIn(stdin string, args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "HEARTH_ENDPOINT="+p.url)
	cmd.Stdin = strings.NewReader(stdin)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}
