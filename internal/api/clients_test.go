package api

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBoto3 lets AWS's SDK for Python, if it is installed, use the server unchanged.
func TestBoto3(t *testing.T) {
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import boto3").Run() != nil {
		t.Skip("python3-boto3 is not installed")
	}
	w := start(t, Config{AccountLimit: 1000})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "testdata/clients.py", "http://"+w.addr).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "content" {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestAWSCLI lets the aws command, if it is installed, create, call and delete.
func TestAWSCLI(t *testing.T) {
	const aws = "/usr/bin/aws"
	if _, err := os.Stat(aws); err != nil {
		t.Skip("awscli is not installed")
	}
	w := start(t, Config{})
	dir := t.TempDir()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.Create("index.js"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f.zip"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, aws, append([]string{"lambda", "--endpoint-url", "http://" + w.addr, "--region", "us-east-1", "--output", "text"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=thing", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Fatalf("aws lambda %s: %v\n%s\nwant %q in it", strings.Join(args, " "), err, out, want)
		}
	}
	run("Pending", "create-function", "--function-name", "hello", "--runtime", "nodejs20.x", "--handler", "echo",
		"--role", "arn:aws:iam::000000000000:role/any", "--zip-file", "fileb://f.zip", "--tags", "hearth:execution-model=concurrent")
	run("", "wait", "function-active-v2", "--function-name", "hello")
	run("$LATEST", "invoke", "--function-name", "hello", "--cli-binary-format", "raw-in-base64-out", "--payload", `{"who":"me"}`, "out.json")
	if out, err := os.ReadFile(filepath.Join(dir, "out.json")); err != nil || string(out) != `{"who":"me"}` {
		t.Fatalf("the answer is %q, %v", out, err)
	}
	run("512", "update-function-configuration", "--function-name", "hello", "--memory-size", "512")
	run("Function not found: arn:aws:lambda:us-east-1:000000000000:function:nosuch", "get-function", "--function-name", "nosuch")
	run("1", "publish-version", "--function-name", "hello", "--description", "first")
	run("function:hello:prod", "create-alias", "--function-name", "hello", "--name", "prod", "--function-version", "1")
	run("1", "invoke", "--function-name", "hello:prod", "out.json")
	run("Function not found: arn:aws:lambda:us-east-1:000000000000:function:hello:2", "update-alias", "--function-name", "hello", "--name", "prod", "--routing-config", "AdditionalVersionWeights={2=0.1}",
		"--function-version", "1")
	run("202", "invoke", "--function-name", "hello", "--invocation-type", "Event", "out.json")
	run("", "delete-function", "--function-name", "hello")
	run("", "list-functions")
}
