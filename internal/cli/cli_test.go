package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"hearth/internal/code"
	"hearth/internal/hearth"
)

// run is one command against an endpoint.
type run struct {
	endpoint string
	stdin    io.Reader
	tty      bool // both outputs are terminals
	up       func(context.Context, UpConfig, io.Writer) error
	ctx      context.Context
}

// do returns what the command printed and its exit code.
func (r run) do(t *testing.T, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{EnvEndpoint: r.endpoint, "HOME": "/home/somebody"}
	if r.stdin == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		r.stdin = null
	}
	if r.ctx == nil {
		r.ctx = t.Context()
	}
	a := newApp(Options{Up: r.up, Version: "v1.2.3", Stdin: r.stdin, Stdout: &out, Stderr: &errs,
		Getenv: func(k string) string { return env[k] }})
	a.out.TTY, a.err.TTY, a.stdinTTY = r.tty, r.tty, r.tty
	a.now = func() time.Time { return noon.Add(90 * time.Second) }
	a.zone = time.UTC
	exit = a.main(r.ctx, args)
	return out.String(), errs.String(), exit
}

// What a person sees, for every command that only looks: testdata/commands. Those about
// versions, aliases and asynchronous invocations also change things: testdata/versions
// and testdata/async.
func TestCommands(t *testing.T) {
	for _, file := range []string{"commands", "versions", "async", "provision", "triggers"} {
		t.Run(file, func(t *testing.T) { testCommands(t, "testdata/"+file) })
	}
}

func testCommands(t *testing.T, file string) {
	p := newTestPlatform(t)
	p.add("hello", hearth.Concurrent, 10)
	p.add("broken", hearth.Exclusive, 10)
	p.add("busy", hearth.Exclusive, 10)
	datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
		r := run{endpoint: p.URL, tty: d.HasArg("tty")}
		if d.HasArg("stdin") {
			r.stdin = strings.NewReader("{\"from\":\"stdin\"}")
		}
		var b strings.Builder
		for line := range strings.Lines(d.Input) {
			if line == "changed hello\n" || line == "changed hello" {
				p.versions["hello"].changed = true
				continue
			}
			stdout, stderr, exit := r.do(t, strings.Fields(line)...)
			b.WriteString(prefixed("", stdout) + prefixed("2> ", stderr))
			if exit != 0 {
				b.WriteString("exit " + string(rune('0'+exit)) + "\n")
			}
		}
		text := strings.ReplaceAll(b.String(), p.URL, "http://127.0.0.1:9000")
		return latencies.ReplaceAllString(text, "${1}0.5")
	})
}

// latencies differ from run to run.
var latencies = regexp.MustCompile(`("latencyMs":)[0-9.]+`)

func prefixed(prefix, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(prefix + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}

// TestHTTPS: the right host with the wrong scheme, and nobody at all.
func TestHTTPS(t *testing.T) {
	p := httptest.NewServer(http.NotFoundHandler())
	addr := strings.TrimPrefix(p.URL, "http://")
	_, stderr, exit := run{endpoint: "https://" + addr}.do(t, "list")
	want := "hearth: what answers at https://" + addr + " does not speak https. Hearth does only with --tls-cert and --tls-key: write http://" + addr + "\n"
	if stderr != want || exit != ExitPlatform {
		t.Errorf("exit %d, %q; want %q", exit, stderr, want)
	}
	p.Close()
	_, stderr, exit = run{endpoint: "https://" + addr}.do(t, "list")
	want = "hearth: no Hearth at https://" + addr + " (connection refused). Start it with: hearth up --listen " + addr + " --tls-cert FILE --tls-key FILE, or write http://" + addr + "\n"
	if stderr != want || exit != ExitPlatform {
		t.Errorf("exit %d, %q; want %q", exit, stderr, want)
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, stderr, exit := run{endpoint: addr}.do(t, "list")
	want := "hearth: no Hearth at http://" + addr + " (connection refused). Start it with: hearth up --listen " + addr + "\n"
	if exit != ExitPlatform || stderr != want {
		t.Errorf("exit %d, %q; want 3, %q", exit, stderr, want)
	}
}

func TestEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:9000":         "http://127.0.0.1:9000",
		":9100":                  "http://127.0.0.1:9100",
		"http://host:1/":         "http://host:1",
		"https://host/behind/":   "https://host/behind",
		"box":                    "http://box",
		"[::1]:9000":             "http://[::1]:9000",
		"ftp://host":             "",
		"http://":                "",
		"http://host/?query=yes": "",
	} {
		got, err := parseEndpoint(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
}

// countdown calls then once so many lines have been written to it.
type countdown struct {
	bytes.Buffer
	lines int
	then  func()
}

func (c *countdown) Write(p []byte) (int, error) {
	if c.lines -= bytes.Count(p, []byte("\n")); c.lines == 0 {
		c.then()
	}
	return c.Buffer.Write(p)
}

func TestLogsFollowUntilInterrupted(t *testing.T) {
	p := newTestPlatform(t)
	p.add("hello", hearth.Exclusive, 1)
	ctx, interrupt := context.WithCancel(t.Context())
	out := &countdown{lines: 3, then: interrupt}
	var errs bytes.Buffer
	exit := Main(ctx, []string{"logs", "hello", "-f", "--endpoint", p.URL}, Options{Stdout: out, Stderr: &errs})
	if exit != ExitInterrupted || errs.Len() != 0 || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, &out.Buffer, &errs)
	}
}

func TestVersion(t *testing.T) {
	stdout, _, exit := run{}.do(t, "version", "-o", "json")
	var v struct{ Version, Go, Platform string }
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || exit != 0 || v.Version != "v1.2.3" || v.Go == "" || v.Platform == "" {
		t.Errorf("exit %d, %v: %s", exit, err, stdout)
	}
}

func TestDeleteAsksOnATerminal(t *testing.T) {
	p := newTestPlatform(t)
	p.add("hello", hearth.Exclusive, 1)
	r := run{endpoint: p.URL, tty: true, stdin: strings.NewReader("\n")}
	if _, stderr, exit := r.do(t, "delete", "hello"); exit != ExitUsage || !strings.Contains(stderr, "nothing was deleted") {
		t.Errorf("an empty answer: exit %d, %q", exit, stderr)
	}
	if _, _, exit := r.do(t, "delete", "hello", "helo"); exit != ExitNotFound || len(p.functions) != 1 {
		t.Errorf("one of two names is wrong: exit %d, %d functions left", exit, len(p.functions))
	}
	r.stdin = strings.NewReader("yes\n")
	if stdout, _, exit := r.do(t, "delete", "hello"); exit != 0 || stdout != "hello deleted\n" || len(p.functions) != 0 {
		t.Errorf("yes: exit %d, %q, %d functions left", exit, stdout, len(p.functions))
	}
	p.add("hello", hearth.Exclusive, 1)
	if _, _, exit := (run{endpoint: p.URL}).do(t, "delete", "hello"); exit != 0 || len(p.functions) != 0 {
		t.Errorf("not on a terminal: exit %d, %d functions left", exit, len(p.functions))
	}
}

// write makes a folder of files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my function")
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDeployGuesses(t *testing.T) {
	p := newTestPlatform(t)
	dir := write(t, map[string]string{"index.js": "exports.handler = async () => 1\n"})
	stdout, stderr, exit := run{endpoint: p.URL, tty: true}.do(t, "deploy", dir, "--memory", "1GB", "--env", "AB=c=d")
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, stderr)
	}
	for _, want := range []string{"my-function created", "guessed from index.js", "exclusive: every invocation", "answers at " + p.URL + "/fn/my-function/"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q does not say %q", stdout, want)
		}
	}
	want := `{"env":{"AB":"c=d"},"handler":"index.handler","memoryMB":1024,"runtime":"nodejs"}`
	if got := string(p.puts["my-function"]["config"]); got != want {
		t.Errorf("sent %s, want only what was said: %s", got, want)
	}
	if stdout, _, _ = (run{endpoint: p.URL}).do(t, "deploy", dir); stdout != "my-function\tupdated\t"+p.URL+"/fn/my-function/\n" {
		t.Errorf("again: %q", stdout)
	}
}

const twoFunctions = `functions:
  a:
    runtime: nodejs
    handler: index.handler
    keepAlive: 0
    code: src
    exclude: ["*.md"]
  b:
    executionModel: concurrent
    code: src
    exclude: ["*.md"]
    reserved: 3
`

func TestDeployFromFile(t *testing.T) {
	p := newTestPlatform(t)
	dir := write(t, map[string]string{"hearth.yml": twoFunctions, "src/index.js": "", "src/notes.md": ""})
	stdout, stderr, exit := run{endpoint: p.URL}.do(t, "deploy", dir, "--timeout", "1m", "-o", "json")
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, stderr)
	}
	var out struct{ Functions []deployed }
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || len(out.Functions) != 2 {
		t.Fatalf("%v: %s", err, stdout)
	}
	if b := out.Functions[1]; b.Action != "created" || b.MaxConcurrency != 10 || b.Files != 1 || b.Guessed == "" {
		t.Errorf("b: %+v", b)
	}
	var sent map[string]any
	if err := json.Unmarshal(p.puts["a"]["config"], &sent); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"description": "", "runtime": "nodejs", "handler": "index.handler", "dialect": "aws", "memoryMB": 128.0, "tmpMB": 512.0,
		"model": "exclusive", "maxConcurrency": 10.0, "env": map[string]any{}, "timeout": "1m0s", "keepAlive": "0s", "freeze": true}
	if !reflect.DeepEqual(sent, want) {
		t.Errorf("a file describes a function completely:\ngot  %v\nwant %v", sent, want)
	}
	if r := string(p.puts["a"]["reserved"]) + string(p.puts["b"]["reserved"]); r != "null3" {
		t.Errorf("reserved of a and b: %s", r)
	}
	var archive []byte
	if err := json.Unmarshal(p.puts["b"]["code"], &archive); err != nil {
		t.Fatal(err)
	}
	if info, err := code.Inspect(archive); err != nil || info.Files != 1 {
		t.Errorf("the archive holds %+v, %v; want index.js alone", info, err)
	}
}

func TestDeployRefusals(t *testing.T) {
	p := newTestPlatform(t)
	dir := write(t, map[string]string{"hearth.yml": twoFunctions, "src/index.js": ""})
	plain := write(t, map[string]string{"README.md": "nothing"})
	broken := write(t, map[string]string{"hearth.yml": "name: x\nmemorysize: 1\n", "index.js": ""})
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no folder":       {[]string{"/no/such"}, "there is no folder or archive /no/such"},
		"not a zip":       {[]string{filepath.Join(plain, "README.md")}, "neither a folder nor a zip archive"},
		"nothing to run":  {[]string{plain}, "--runtime and --handler"},
		"wrong file":      {[]string{broken}, `hearth.yml:2:1: unknown key "memorysize" (did you mean "memory"?)`},
		"picks no one":    {[]string{dir, "--name", "c"}, `there is no function "c" in`},
		"bad env":         {[]string{dir, "--env", "AB"}, "KEY=VALUE"},
		"bad memory":      {[]string{dir, "--memory", "lots"}, "number of MB"},
		"little memory":   {[]string{dir, "--memory", "64"}, "128"},
		"bad timeout":     {[]string{dir, "--timeout", "-1"}, "number of seconds"},
		"bad model":       {[]string{dir, "--execution-model", "shared"}, "neither exclusive nor concurrent"},
		"bad handler":     {[]string{dir, "--handler", "handler"}, "module.function"},
		"unknown runtime": {[]string{dir, "--runtime", "nodjs"}, "Did you mean nodejs"},
		"bad name":        {[]string{plain, "--name", "a b", "--runtime", "nodejs", "--handler", "a.b"}, "--name"},
		"unknown flag":    {[]string{dir, "--memmory", "1"}, "hearth deploy --help"},
	} {
		_, stderr, exit := run{endpoint: p.URL}.do(t, append([]string{"deploy"}, c.args...)...)
		if exit != ExitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", name, exit, stderr, c.want)
		}
	}
	if len(p.puts) != 0 {
		t.Errorf("something was deployed: %v", p.puts)
	}
}

func TestDeployArchive(t *testing.T) {
	p := newTestPlatform(t)
	dir := write(t, map[string]string{"main.py": "def handler(e, c): pass\n"})
	archive, _, err := code.Pack(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app v2.zip")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, exit := (run{endpoint: p.URL}).do(t, "deploy", file, "--max-concurrency", "4"); exit != 0 {
		t.Fatalf("exit %d: %s", exit, stderr)
	}
	want := `{"handler":"main.handler","maxConcurrency":4,"model":"concurrent","runtime":"python3"}`
	if got := string(p.puts["app-v2"]["config"]); got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

func TestBurst(t *testing.T) {
	p := newTestPlatform(t)
	p.add("hello-concurrent", hearth.Concurrent, 10)
	p.add("hello-exclusive", hearth.Exclusive, 10)
	r := run{endpoint: p.URL}
	stdout, stderr, exit := r.do(t, "burst", "hello-concurrent", "hello-exclusive", "-n", "7", "-o", "json")
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, stderr)
	}
	var out struct{ Functions []burstJSON }
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		t.Fatal(err)
	}
	shared, own := out.Functions[0], out.Functions[1]
	if s := shared.Summary; s.Calls != 7 || s.Instances != 1 || s.ReservedMB != 256 || s.ColdCalls != 1 || s.UsedMB != 96 {
		t.Errorf("concurrent: %+v", s)
	}
	if s := own.Summary; s.Calls != 7 || s.Instances != 7 || s.ReservedMB != 7*256 || s.ColdCalls != 7 || s.BilledMS != 28 {
		t.Errorf("exclusive: %+v", s)
	}
	seen := map[int]bool{}
	for _, c := range shared.Calls {
		seen[c.Number] = true
	}
	if len(seen) != 7 || !seen[1] || !seen[7] {
		t.Errorf("the numbers in one instance are %v, want 1 to 7", seen)
	}
	if b := own.Summary.Bills["lambda"]; b.Requests != 7 || b.GBSeconds <= 0 {
		t.Errorf("bill: %+v", b)
	}
	stdout, _, _ = r.do(t, "burst", "hello-concurrent", "hello-exclusive", "-n", "3", "-o", "table")
	if !strings.Contains(stdout, "hello-concurrent: 3 calls at once") || !strings.Contains(stdout, " │ hello-exclusive: 3 calls at once") {
		t.Errorf("not side by side:\n%s", stdout)
	}
}

func TestBurstFails(t *testing.T) {
	p := newTestPlatform(t)
	p.add("broken", hearth.Exclusive, 1)
	p.add("busy", hearth.Exclusive, 1)
	if stdout, stderr, exit := (run{endpoint: p.URL}).do(t, "burst", "broken", "-n", "2"); exit != ExitFunction ||
		!strings.Contains(stdout, "TypeError") || !strings.Contains(stderr, "x is not a function") {
		t.Errorf("exit %d, %q, %q", exit, stdout, stderr)
	}
	if stdout, stderr, exit := (run{endpoint: p.URL}).do(t, "burst", "busy", "-n", "2"); exit != ExitRefused ||
		!strings.Contains(stdout, "throttled") || !strings.Contains(stderr, "Rate Exceeded") {
		t.Errorf("exit %d, %q, %q", exit, stdout, stderr)
	}
}

func TestUp(t *testing.T) {
	var got UpConfig
	r := run{up: func(_ context.Context, c UpConfig, out io.Writer) error {
		got = c
		_, err := io.WriteString(out, "ready\n")
		return err
	}}
	stdout, stderr, exit := r.do(t, "up", "--listen", "127.0.0.1:0", "--data", "/tmp/x", "--memory", "512", "--cpu-quota",
		"--tls-cert", "cert.pem", "--tls-key", "key.pem", "--allowed-host", "hearth.example.org", "--allowed-host", "[2001:db8::1]", "--pprof", "127.0.0.1:0")
	if exit != 0 || stdout != "ready\n" {
		t.Fatalf("exit %d, %q, %q", exit, stdout, stderr)
	}
	want := DefaultUpConfig(os.Getenv, 0)
	want.Listen, want.DataDir, want.MemoryMB, want.CPUQuota = "127.0.0.1:0", "/tmp/x", 512, true
	want.AllowedHosts, want.Pprof = []string{"hearth.example.org", "[2001:db8::1]"}, "127.0.0.1:0"
	want.TLSCert, want.TLSKey = "cert.pem", "key.pem"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, args := range [][]string{
		{"--listen", "nonsense"}, {"--isolation", "vm"}, {"--isolation", "process", "--listen", "0.0.0.0:9000"},
		{"--memory", "5"}, {"--account", "12"}, {"--region", ""}, {"--sandbox-cidr", "10.0.0.0"}, {"--log-level", "loud"},
		{"--queue-length", "0"}, {"--queue-timeout", "0s"}, {"--data", ""}, {"extra"},
		{"--allowed-host", "https://hearth.example.org"}, {"--allowed-host", "hearth.example.org:443"}, {"--allowed-host", ""},
		{"--tls-cert", "cert.pem"}, {"--tls-key", "key.pem"}, {"--pprof", "0.0.0.0:6060"}, {"--pprof", "6060"},
	} {
		if _, stderr, exit := r.do(t, append([]string{"up"}, args...)...); exit != ExitUsage || !strings.Contains(stderr, strings.TrimLeft(args[0], "-")) {
			t.Errorf("%v: exit %d, %q", args, exit, stderr)
		}
	}
}

func TestDefaultDataDir(t *testing.T) {
	env := map[string]string{"HOME": "/home/me"}
	get := func(k string) string { return env[k] }
	if d := defaultDataDir(get, 0); d != "/var/lib/hearth" {
		t.Errorf("root: %s", d)
	}
	if d := defaultDataDir(get, 1000); d != "/home/me/.local/share/hearth" {
		t.Errorf("somebody: %s", d)
	}
	env["XDG_DATA_HOME"] = "/data"
	if d := defaultDataDir(get, 1000); d != "/data/hearth" {
		t.Errorf("with XDG_DATA_HOME: %s", d)
	}
}

func TestMan(t *testing.T) {
	dir := t.TempDir()
	if _, stderr, exit := (run{}).do(t, "man", dir); exit != 0 {
		t.Fatalf("exit %d: %s", exit, stderr)
	}
	text, err := os.ReadFile(filepath.Join(dir, "hearth-deploy.1"))
	if err != nil || !strings.Contains(string(text), "execution\\-model") && !strings.Contains(string(text), "execution-model") {
		t.Errorf("%v: %.200s", err, text)
	}
}
