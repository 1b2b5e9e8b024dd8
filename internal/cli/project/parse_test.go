package project

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"hearth/internal/hearth"
)

func ptr[T any](v T) *T { return &v }

const everything = `
functions:
  hello:
    runtime: nodejs20.x
    handler: index.handler
    memory: 256MB
    timeout: 1.5
    tmp: 1GB
    executionModel: concurrent
    maxConcurrency: 20
    keepAlive: 90s
    freeze: false
    provisionedConcurrency: 3
    env:
      TEXT: "two words"
      NUMBER: 007
      TRUTH: true
      EMPTY: ""
      BLOCK: |
        one
        two
    exclude: ["*.md", test/]
    code: dist
    description: says hello
    reserved: 5
    tags: {team: core, cost: 12}
  other:
`

func TestParseEverything(t *testing.T) {
	got, err := Parse("hearth.yml", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	want := []Function{{
		Name: "hello", line: 3, col: 3,
		Patch: hearth.ConfigPatch{
			Runtime: ptr("nodejs20.x"), Handler: ptr("index.handler"), MemoryMB: ptr(256),
			Timeout: ptr(1500 * time.Millisecond), TmpMB: ptr(1024), Model: ptr(hearth.Concurrent),
			MaxConcurrency: ptr(20), KeepAlive: ptr(90 * time.Second), Freeze: ptr(false), Description: ptr("says hello"),
			Env: ptr(map[string]string{"TEXT": "two words", "NUMBER": "007", "TRUTH": "true", "EMPTY": "", "BLOCK": "one\ntwo\n"}),
		},
		Code: "dist", Exclude: []string{"*.md", "test/"}, Reserved: ptr(5), Provisioned: ptr(3),
		Tags: map[string]string{"team": "core", "cost": "12"},
	}, {Name: "other", line: 27, col: 3}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestOneFunctionAtTheTop(t *testing.T) {
	got, err := Parse("hearth.yml", []byte("name: hello\nhandler: index.handler\nkeepAlive: 0\nmaxConcurrency: 4\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := got[0].Config()
	if len(got) != 1 || got[0].Name != "hello" || c.Handler != "index.handler" {
		t.Errorf("got %+v", got)
	}
	if c.KeepAlive != hearth.NoKeepAlive {
		t.Errorf("keepAlive: 0 is %v, want none at all", c.KeepAlive)
	}
	if c.Model != hearth.Concurrent || c.Slots() != 4 {
		t.Errorf("maxConcurrency: 4 alone gives %s with %d slots, want concurrent with 4", c.Model, c.Slots())
	}
	if c.MemoryMB != hearth.DefaultMemoryMB || c.Timeout != hearth.DefaultTimeout {
		t.Errorf("defaults are missing: %+v", c)
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	src := `
x-base: &base
  runtime: nodejs
  memory: 256
  env: &env {AB: "1"}
functions:
  a:
    <<: *base
    memory: 512
  b:
    <<: [*base]
    env: *env
`
	got, err := Parse("hearth.yml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if a := got[0].Patch; *a.MemoryMB != 512 || *a.Runtime != "nodejs" || (*a.Env)["AB"] != "1" {
		t.Errorf("a: %+v", got[0])
	}
	if b := got[1].Patch; *b.MemoryMB != 256 || (*b.Env)["AB"] != "1" {
		t.Errorf("b: %+v", got[1])
	}
}

// What people are told, drawn as they see it.
func TestProblems(t *testing.T) {
	datadriven.RunTest(t, "testdata/problems", func(t *testing.T, d *datadriven.TestData) string {
		functions, err := Parse("hearth.yml", []byte(d.Input))
		if err == nil {
			t.Fatalf("%s: nothing is wrong: %+v", d.Pos, functions)
		}
		var e *Error
		if !errors.As(err, &e) || len(e.Problems) == 0 {
			t.Fatalf("%s: not an *Error with problems: %v", d.Pos, err)
		}
		return err.Error() + "\n"
	})
}

// Whatever stands in a file: no panic, every problem is somewhere in it, and what is
// accepted can be deployed once runtime and handler are known.
func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	for _, s := range []string{"", "a", "name: x", "functions: {a: {memory: 1}}", "a: &a {<<: *a}", "a: &x *x", "? [a]\n: b", "<<: [*a]", "- a\n- b", "a: !!int 3", "env: {A: |\n x}", "\t", "a: [", "%YAML 1.2\n---\n", "functions: &f\n  a:\n    env: *f\n", "é: ü"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		functions, err := Parse("hearth.yml", src)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) {
				t.Fatalf("not an *Error: %v", err)
			}
			lines := strings.Count(string(src), "\n") + strings.Count(string(src), "\r") + 1
			for _, p := range e.Problems {
				if p.Line < 1 || p.Line > lines+1 || p.Col < 1 || p.Message == "" {
					t.Fatalf("problem %+v is nowhere in a file of %d lines", p, lines)
				}
			}
			_ = e.Error()
			return
		}
		for i := range functions {
			c := functions[i].Config()
			if c.Runtime == "" {
				c.Runtime = "nodejs"
			}
			if c.Handler == "" {
				c.Handler = "index.handler"
			}
			if err := c.Validate(); err != nil {
				t.Fatalf("accepted, but %v", err)
			}
		}
	})
}
