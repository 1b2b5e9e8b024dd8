package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Clients of Lambda's API, unchanged but for their endpoint, use a platform that checks
// their signatures. What they do is in testdata/clients and testdata/client-go.

const clientKey, clientSecret = "HEARTHE2E", "0123456789abcdef+/secret"

// clientsPlatform is a platform with access keys, and an archive to deploy.
type clientsPlatform struct {
	*platform
	zip  string
	home string
}

func upForClients(t *testing.T) *clientsPlatform {
	t.Helper()
	dir := t.TempDir()
	source, err := os.ReadFile("testdata/clients/function.js")
	if err != nil {
		t.Fatal(err)
	}
	keys, zip := filepath.Join(dir, "keys"), filepath.Join(dir, "f.zip")
	for name, text := range map[string]string{keys: clientKey + ":" + clientSecret + "\n", zip: string(zipOf(t, map[string]string{"index.js": string(source)}))} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &clientsPlatform{platform: up(t, "--access-keys-file", keys), zip: zip, home: dir}
}

// run runs a client in an empty home with the key; want is in what it says.
func (p *clientsPlatform) run(want string, program string, args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = p.home
	cmd.Env = append(os.Environ(), "HOME="+p.home, "AWS_ACCESS_KEY_ID="+clientKey, "AWS_SECRET_ACCESS_KEY="+clientSecret, "AWS_SESSION_TOKEN=",
		"AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "HEARTH_ENDPOINT="+p.url)
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), want) || want == "content" && err != nil {
		p.t.Fatalf("%s %s: %v\n%s\nwant %q in it", program, strings.Join(args, " "), err, out, want)
	}
	return string(out)
}

func TestClientBoto3(t *testing.T) {
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import boto3").Run() != nil {
		t.Skip("python3-boto3 is not installed: apt-get install python3-boto3")
	}
	script, err := filepath.Abs("testdata/clients/client.py")
	if err != nil {
		t.Fatal(err)
	}
	p := upForClients(t)
	p.run("content", python, script, p.url, p.zip)
}

func TestClientAWSCLI(t *testing.T) {
	const aws = "/usr/bin/aws"
	if _, err := os.Stat(aws); err != nil {
		t.Skip("awscli is not installed: apt-get install awscli")
	}
	p := upForClients(t)
	lambda := func(want string, args ...string) {
		t.Helper()
		p.run(want, aws, append([]string{"lambda", "--endpoint-url", p.url, "--output", "json"}, args...)...)
	}
	invoke := func(want string, answer string, args ...string) {
		t.Helper()
		// Version 1 of the command takes payloads as they are, version 2 wants to be told.
		p.run(want, aws, append([]string{"lambda", "--endpoint-url", p.url, "invoke", "--function-name", "cli"}, append(args, "out")...)...)
		if text, err := os.ReadFile(filepath.Join(p.home, "out")); err != nil || !strings.Contains(string(text), answer) {
			t.Fatalf("invoke %q: %v, %s, want %q in it", args, err, text, answer)
		}
	}
	create := func(want, name string) {
		t.Helper()
		lambda(want, "create-function", "--function-name", name, "--runtime", "nodejs20.x", "--handler", "index.handler", "--memory-size", "256",
			"--timeout", "10", "--role", "arn:aws:iam::000000000000:role/any", "--zip-file", "fileb://f.zip")
	}
	file := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(p.home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "fileb://" + name
	}
	create(`"State": "Pending"`, "cli")
	lambda("", "wait", "function-active-v2", "--function-name", "cli")
	lambda(`"STEP": "2"`, "update-function-configuration", "--function-name", "cli", "--environment", "Variables={STEP=2}")
	lambda("", "wait", "function-updated-v2", "--function-name", "cli")
	lambda(`"CodeSha256"`, "update-function-code", "--function-name", "cli", "--zip-file", "fileb://f.zip")
	lambda("", "wait", "function-updated-v2", "--function-name", "cli")
	invoke(`"StatusCode": 200`, `{"event":{"a":1},"custom":{"k":"v"},"step":"2"}`, "--payload", file("a", `{"a":1}`),
		"--log-type", "Tail", "--client-context", "eyJjdXN0b20iOnsiayI6InYifX0=")
	invoke(`"LogResult"`, "event", "--log-type", "Tail", "--payload", file("a", `{"a":1}`))
	invoke(`"FunctionError": "Unhandled"`, `"errorType":"RangeError"`, "--payload", file("b", `{"fail":true}`))
	invoke(`"StatusCode": 204`, "", "--invocation-type", "DryRun")
	// The command knows its calls from the same descriptions as boto3, and starts slowly:
	// one of a kind is enough.
	lambda(`"MaximumRetryAttempts": 1`, "put-function-event-invoke-config", "--function-name", "cli", "--maximum-retry-attempts", "1")
	lambda(`"Version": "1"`, "publish-version", "--function-name", "cli")
	lambda(`"IN_PROGRESS"`, "put-provisioned-concurrency-config", "--function-name", "cli", "--qualifier", "1", "--provisioned-concurrent-executions", "1")
	create(`"FunctionName": "cli2"`, "cli2")
	create("ResourceConflictException", "cli2")
	lambda("cli2", "list-functions", "--page-size", "1", "--query", "Functions[].FunctionName")
	lambda("NextToken", "list-functions", "--max-items", "1")
	lambda("", "delete-function", "--function-name", "cli2")
	lambda("", "delete-function", "--function-name", "cli")
	lambda("ResourceNotFoundException", "get-function", "--function-name", "cli")
	p.run("MissingAuthenticationTokenException", aws, "lambda", "--endpoint-url", p.url, "list-functions", "--no-sign-request")
}

func TestClientJavaScript(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed: apt-get install npm")
	}
	p := upForClients(t)
	script, err := os.ReadFile("testdata/clients/client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	// Next to the packages, where node looks for them.
	for name, text := range map[string][]byte{"package.json": []byte(`{"private":true}`), "client.mjs": script} {
		if err := os.WriteFile(filepath.Join(p.home, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--omit=dev", "--ignore-scripts", "@aws-sdk/client-lambda@3")
	install.Dir = p.home
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm could not install @aws-sdk/client-lambda, is there a network? %v\n%s", err, out)
	}
	p.run("content", "node", "client.mjs", p.url, p.zip)
}

func TestClientGo(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "client-go")
	download := exec.Command("go", "mod", "download")
	download.Dir = "testdata/client-go"
	download.Env = append(os.Environ(), "GOWORK=off")
	if out, err := download.CombinedOutput(); err != nil {
		t.Skipf("the modules of aws-sdk-go-v2 are not to be had, is there a network? %v\n%s", err, out)
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin, ".")
	build.Dir, build.Env = download.Dir, append(download.Env, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the client: %v\n%s", err, out)
	}
	p := upForClients(t)
	p.run("content", bin, p.url, p.zip)
}

// TestClientHearth is the command line itself, with and without a key.
func TestClientHearth(t *testing.T) {
	t.Setenv("HEARTH_ACCESS_KEY_ID", "")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	p := upForClients(t)
	if err := os.WriteFile(filepath.Join(p.home, "index.js"), []byte("exports.handler = async (e) => ({ hello: e.name });"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run("signed", binary, "deploy", p.home, "--name", "signed")
	p.run(`{"hello":"you"}`, binary, "invoke", "signed", "-d", `{"name":"you"}`)
	p.run("signed", binary, "list")
	if _, stderr, code := p.hearth("list"); code == 0 || !strings.Contains(stderr, "set $HEARTH_ACCESS_KEY_ID") {
		t.Errorf("without a key: %d %s", code, stderr)
	}
	t.Setenv("HEARTH_ACCESS_KEY_ID", clientKey)
	t.Setenv("HEARTH_SECRET_ACCESS_KEY", "wrong")
	if _, stderr, code := p.hearth("list"); code == 0 || !strings.Contains(stderr, "does not match the signature") {
		t.Errorf("with a wrong secret: %d %s", code, stderr)
	}
}
