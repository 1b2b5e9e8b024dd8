package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/link/shim/shimtest"
)

// vendorFolders are folders as their owners have them for other platforms.
const vendorFolders = "../internal/cli/project/testdata"

// TestProjects deploys each folder with nothing but hearth deploy FOLDER, and calls its
// functions as the vendor's callers would.
func TestProjects(t *testing.T) {
	p := up(t, "--isolation", "process")
	deployed := map[string]bool{}
	for _, c := range []struct {
		folder, method, path, body string
		status                     int
		want                       string
	}{
		{"aws", "GET", "/http/shop/orders/77", "", 200, `{"id":"77"}`},
		{"aws", "GET", "/http/shop/else", "", 200, `["dev-shop-orders-x","10"]`},
		{"aws", "GET", "/fn/catalogue/", "", 200, `["dev-shop-orders-x","10"]`},
		{"google", "GET", "/fn/first/", "", 200, "Hello World!"},
		{"google-framework", "GET", "/fn/google-framework/", "", 200, "hi"},
		{"azure", "GET", "/fn/HttpTrigger/", "", 200, "Hi"},
		{"azure", "GET", "/http/azure/api/HttpTrigger", "", 200, "Hi"},
		{"azure-python", "POST", "/http/azure-python/v1/greet/Ann", "", 200, "Hello, Ann"},
		{"azure-python", "GET", "/fn/Greet/", "", 200, "Hello, nobody"},
		{"azure-python2", "GET", "/http/azure-python2/api/hello/Ann", "", 200, `{"hello": "Ann"}`},
		{"azure-python2", "GET", "/http/azure-python2/api/orders", "", 200, "no orders"},
		{"azure-serverless", "GET", "/http/greeter/api/hello", "", 200, "hi"},
		{"openwhisk", "POST", "/fn/hello/", `{"name":"Ann"}`, 200, `{"hello":"Ann"}`},
		{"openwhisk", "POST", "/fn/old/", `{"name":"Ann"}`, 200, `{"hello":"Ann"}`},
		{"openwhisk", "POST", "/fn/raw/?name=Ann", `{"name":"Bob"}`, 200, `undefined {"name":"Bob"}`},
		{"prototype", "POST", "/fn/fib/", `{"n":7}`, 200, "7"},
		{"kubeless", "POST", "/fn/hello/", `{"a":1}`, 200, `{"a":1}`},
		{"binaris", "POST", "/fn/hello/", `{"a":1}`, 200, `{"a":1}`},
		{"binaris", "POST", "/fn/alone/", `{"a":1}`, 200, `{"a":1}`},
		{"bare-python", "POST", "/fn/bare-python/x?a=b", "", 200, `"rawPath": "/x"`},
	} {
		t.Run(c.folder+" "+c.path, func(t *testing.T) {
			if !deployed[c.folder] {
				if stdout, stderr, code := p.hearth("deploy", filepath.Join(vendorFolders, c.folder)); code != 0 {
					t.Fatalf("exit %d: %s%s", code, stdout, stderr)
				}
				deployed[c.folder] = true
			}
			status, text := p.do(c.method, c.path, []byte(c.body), map[string]string{"Content-Type": "application/json"})
			if got := strings.TrimSpace(string(text)); status != c.status || squeezed(got) != squeezed(c.want) && !strings.Contains(got, c.want) {
				t.Errorf("%d %s, want %d %s", status, got, c.status, c.want)
			}
		})
	}
}

// An app of Azure's v4 model brings the vendor's library, which is installed for it.
func TestAzureV4Project(t *testing.T) {
	if _, err := shimtest.NodeModules(); err != nil {
		t.Skipf("NOT TESTED: npm could not install the vendor's library: %v", err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // not the user's own
	p := up(t, "--isolation", "process")
	dir := filepath.Join(t.TempDir(), "azure4")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(vendorFolders, "azure4"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "node_modules")); err != nil { // a fixture's, with nothing in it
		t.Fatal(err)
	}
	if stdout, stderr, code := p.hearth("deploy", dir); code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	for path, want := range map[string]string{"/http/azure4/api/hello/Ann": "hi Ann", "/http/azure4/api/hello": "hi undefined", "/fn/hello/hello/Bob": "hi Bob"} {
		if status, text := p.do("GET", path, nil, nil); status != 200 || string(text) != want {
			t.Errorf("%s: %d %s, want %s", path, status, text, want)
		}
	}
}

// A path that another function answers is refused before anything is deployed, and
// --service gives the whole project other paths.
func TestDeclaredPathsAreNotShared(t *testing.T) {
	p := up(t, "--isolation", "process")
	dir := filepath.Join(vendorFolders, "aws")
	if stdout, stderr, code := p.hearth("deploy", dir); code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	_, stderr, code := p.hearth("deploy", dir, "--prefix", "second-")
	if code != 2 || !strings.Contains(stderr, "second-catalogue is to answer ANY /http/shop/…, but function catalogue does so already") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if status, _ := p.do("GET", "/fn/second-order/", nil, nil); status != 404 {
		t.Errorf("it was deployed all the same: %d", status)
	}
	if stdout, stderr, code := p.hearth("deploy", dir, "--prefix", "second-", "--service", "shop2"); code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	if status, text := p.do("GET", "/http/shop2/orders/5", nil, nil); status != 200 || !strings.Contains(string(text), `{"id":"5"}`) {
		t.Errorf("%d %s", status, text)
	}
}

func squeezed(s string) string { return strings.Join(strings.Fields(s), "") }

// Payload format 1.0 as a function sees it, and answers with it.
func TestDeclaredPaths(t *testing.T) {
	p := up(t, "--isolation", "process")
	dir := folder(t, map[string]string{
		"serverless.yml": "service: api\nprovider: {name: aws, runtime: nodejs20.x}\nfunctions:\n  one:\n    handler: index.one\n    events:\n      - http: ANY one/{id}\n      - httpApi: PUT /two/{proxy+}\n",
		"index.js": `exports.one = async (e) => e.version === '1.0'
  ? { statusCode: 201, multiValueHeaders: { 'set-cookie': ['a=1', 'b=2'] }, isBase64Encoded: true,
      body: Buffer.from([e.httpMethod, e.resource, e.pathParameters.id, e.multiValueQueryStringParameters.q, e.body].join('|')).toString('base64') }
  : { via: e.routeKey, rest: e.pathParameters.proxy };`,
	})
	if stdout, stderr, code := p.hearth("deploy", dir, "--prefix", "x-"); code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	status, header, text := p.request("POST", "/http/api/one/a%20b?q=1&q=2", []byte("in"), nil)
	if status != 201 || string(text) != "POST|/one/{id}|a b|1,2|in" || !slices.Equal(header["Set-Cookie"], []string{"a=1", "b=2"}) {
		t.Errorf("1.0: %d %v %s", status, header, text)
	}
	if status, text := p.do("PUT", "/http/api/two/a/b", nil, nil); status != 200 || string(text) != `{"via":"PUT /two/{proxy+}","rest":"a/b"}` {
		t.Errorf("2.0: %d %s", status, text)
	}
	if status, _ := p.do("GET", "/http/api/two/a", nil, nil); status != 405 {
		t.Errorf("another method: %d", status)
	}
	if stdout, _, code := p.hearth("delete", "x-one"); code != 0 {
		t.Fatalf("delete: %s", stdout)
	}
	if status, _ := p.do("PUT", "/http/api/two/a", nil, nil); status != 404 {
		t.Errorf("after its function was deleted: %d", status)
	}
}

// What event prints can be given to invoke as it is.
func TestEventIntoInvoke(t *testing.T) {
	p := up(t, "--isolation", "process")
	p.deploy(node("thumbnail", `exports.handler = async (e) => e.Records[0].s3.object.key`, nil))
	payload, stderr, code := p.hearth("event", "s3", "--set", "key=beach.jpg")
	if code != 0 {
		t.Fatal(stderr)
	}
	stdout, stderr, code := p.hearthIn(payload, "invoke", "thumbnail")
	if code != 0 || !strings.Contains(stdout, `"beach.jpg"`) {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRunCommand develops a function: run, change, fail, and Ctrl-C.
func TestRunCommand(t *testing.T) {
	dir, temp := folder(t, map[string]string{"index.js": "exports.handler = async () => 'one'\n"}), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "run", dir, "--port", "0")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var said []string
	await := func(pattern string) []string {
		t.Helper()
		for lines.Scan() {
			said = append(said, lines.Text())
			if m := regexp.MustCompile(pattern).FindStringSubmatch(lines.Text()); m != nil {
				return m
			}
		}
		t.Fatalf("never said %s, but\n%s", pattern, strings.Join(said, "\n"))
		return nil
	}
	url := await(`answers at (\S+)`)[1]
	if status, text := fetch(t, url+"a/b"); status != 200 || text != "one" {
		t.Errorf("%d %s", status, text)
	}
	source := "\nexports.handler = async () => { throw new RangeError('boom') }\n"
	if err := os.WriteFile(filepath.Join(dir, "index.js"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	await(`changed: index\.js`)
	await(`deployed`)
	if status, text := fetch(t, url); status != 502 {
		t.Errorf("%d %s", status, text)
	}
	await(`RangeError: boom`)
	await(regexp.QuoteMeta(filepath.Join(dir, "index.js:2:39")))
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("%v\n%s", err, strings.Join(said, "\n"))
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Deployments tell programs what was understood.
func TestDeployJSON(t *testing.T) {
	p := up(t, "--isolation", "process")
	stdout, stderr, code := p.hearth("deploy", filepath.Join(vendorFolders, "aws"), "-o", "json")
	if code != 0 {
		t.Fatal(stderr)
	}
	var said struct {
		Project   struct{ File, Vendor, Service string }
		Functions []struct {
			Name, Dialect string
			Routes        []struct{ Method, URL, Payload string }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &said); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(said.Project, len(said.Functions), said.Functions[0].Routes[0].URL == p.url+"/http/shop/orders/{id}"); got != "{serverless.yml aws shop} 2 true" {
		t.Errorf("%s: %s", got, stdout)
	}
}
