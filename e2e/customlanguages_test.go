package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// compiled is the bootstrap that a compiler makes of testdata/custom-c or custom-rust.
func compiled(t *testing.T, compiler string, args ...string) []byte {
	t.Helper()
	if exec.Command(compiler, "--version").Run() != nil {
		t.Skipf("%s is not installed", compiler)
	}
	bin := filepath.Join(t.TempDir(), "bootstrap")
	if out, err := exec.Command(compiler, append(args, "-o", bin)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, out)
	}
	text, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Functions in C and Rust that use nothing but the Runtime API: alone in their instance,
// and as many at once as they are told.
func TestCompiledBootstraps(t *testing.T) {
	for language, build := range map[string]func(*testing.T) []byte{
		"C": func(t *testing.T) []byte {
			return compiled(t, "gcc", "-O2", "-Wall", "-Werror", "-static", "-pthread", "testdata/custom-c/bootstrap.c")
		},
		"Rust": func(t *testing.T) []byte {
			return compiled(t, "rustc", "-O", "--edition", "2021", "testdata/custom-rust/bootstrap.rs")
		},
	} {
		t.Run(language, func(t *testing.T) {
			bootstrap := build(t)
			p := up(t)
			p.deploy(custom("alone", bootstrap, nil))
			p.deploy(custom("shared", bootstrap, map[string]any{"model": "concurrent", "maxConcurrency": 5}))
			if a := p.invoke("alone", `{"a":1}`); a.payload != `{"event":{"a":1},"max":"","most":1}` {
				t.Errorf("%s", a.payload)
			}
			if a := p.invoke("alone", `{"do":"error"}`); !a.failed || a.doc.ErrorType != language+".Bad" {
				t.Errorf("%s", a.payload)
			}
			if a := p.invoke("alone", `{"do":"abort"}`); a.doc.ErrorType != "Runtime.ExitError" || !strings.Contains(a.doc.ErrorMessage, "aborted") {
				t.Errorf("%s", a.payload)
			}
			var most [5]int
			var wg sync.WaitGroup
			for i := range most {
				wg.Go(func() {
					var s struct {
						Max  string
						Most int
					}
					a := p.invoke("shared", `{"wait":700}`)
					if err := json.Unmarshal([]byte(a.payload), &s); err != nil || s.Max != "5" {
						t.Errorf("%v: %s", err, a.payload)
					}
					most[i] = s.Most
				})
			}
			wg.Wait()
			if at := max(most[0], most[1], most[2], most[3], most[4]); at != 5 || len(p.instances("shared")) != 1 {
				t.Errorf("%d at once in %d instances, want 5 in one", at, len(p.instances("shared")))
			}
		})
	}
}

// watcher is an extension of a few lines.
const watcher = `#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
head=$(mktemp)
curl -sS -o /dev/null -D "$head" "$api/register" -H "Lambda-Extension-Name: ${0##*/}" -d '{"events":["INVOKE","SHUTDOWN"]}'
id=$(grep -i Lambda-Extension-Identifier "$head" | cut -d: -f2 | tr -d ' \r')
curl -sS -X PUT "http://$AWS_LAMBDA_RUNTIME_API/2022-07-01/telemetry" -H "Lambda-Extension-Identifier: $id" -d '{}'
while event=$(curl -sSf "$api/event/next" -H "Lambda-Extension-Identifier: $id"); do
  echo "$0 with [$_HANDLER] saw $event"
  case $event in
  *SHUTDOWN*) exit 0 ;;
  esac
done
`

// An extension from a layer's folder hears of invocations and of the end, in a sandbox at
// its place of Lambda; one that ends fails the invocation by Lambda's name.
func TestExtensions(t *testing.T) {
	for isolation, place := range map[string]string{"auto": "/opt/extensions/watcher", "process": "/opt/extensions/watcher with"} {
		t.Run(isolation, func(t *testing.T) {
			p := up(t, "--isolation", isolation)
			f := custom("watched", []byte(shellBootstrap), nil)
			f.files["opt/extensions/watcher"] = watcher
			p.deploy(f)
			for i := range 2 {
				event := fmt.Sprintf(`{"i":%d}`, i)
				if a := p.invoke("watched", event); !strings.Contains(a.payload, event) {
					t.Fatalf("%s", a.payload)
				}
			}
			logged := func(words ...string) {
				t.Helper()
				var out string
				defer func() {
					if t.Failed() {
						t.Logf("log:\n%s", out)
					}
				}()
				eventually(t, patience, strings.Join(words, " "), func() bool {
					out, _, _ = p.hearth("logs", "watched")
					for _, w := range words {
						if !strings.Contains(out, w) {
							return false
						}
					}
					return true
				})
			}
			logged("EXTENSION Name: watcher", place, "with [] saw", `"eventType":"INVOKE"`, "Telemetry.NotSupported")
			f.config["memoryMB"] = 300 // another version: the instance is drained
			p.deploy(f)
			logged(`"eventType":"SHUTDOWN","shutdownReason":"spindown"`)
		})
	}
	p := up(t)
	for name, c := range map[string]struct{ extension, kind, words string }{
		"leaves":  {"#!/bin/sh\nexit 3\n", "Extension.Crash", "the extension bad exited with error: exit status 3"},
		"garbage": {"not a program", "Extension.LaunchError", "exec format error"},
		"refuses": {strings.Replace(watcher, "while", `curl -sS "$api/init/error" -d '{"errorMessage":"no key"}' -H "Lambda-Extension-Identifier: $id" -H "Lambda-Extension-Function-Error-Type: Extension.NoKey"; exit 1; while`, 1),
			"Extension.NoKey", "no key"},
		"crashes": {strings.Replace(watcher, `echo "$0`, `exit 4; echo "$0`, 1), "Extension.Crash", "exit status 4"},
	} {
		f := custom(name, []byte(strings.ReplaceAll(shellBootstrap, "curl -sS \"$api/$id/response\"", "sleep 1; curl -sS \"$api/$id/response\"")), nil)
		f.files["opt/extensions/bad"] = c.extension
		p.deploy(f)
		if a := p.invoke(name, "{}"); !a.failed || a.doc.ErrorType != c.kind || !strings.Contains(a.doc.ErrorMessage, c.words) {
			t.Errorf("%s: %s", name, a.payload)
		}
	}
}
