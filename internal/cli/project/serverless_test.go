package project

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cockroachdb/datadriven"
)

// testOptions are a folder with two files to include, and one variable.
func testOptions() Options {
	return Options{
		LookupEnv: func(name string) (string, bool) { return "from-env", name == "SET" },
		Folder: fstest.MapFS{
			"values.yml":  {Data: []byte("dev:\n  size: 256\n  name: ${self:service}-dev\nbad: {a: [}\n")},
			"good.yml":    {Data: []byte("dev:\n  size: 256\n  name: ${self:service}-dev\n  loop: ${file(good.yml):dev.loop}\n")},
			"values.json": {Data: []byte(`{"timeout": 7}`)},
			"index.js":    {Data: []byte("exports.x = 1")},
			".env":        {Data: []byte("# of all stages\nSET=never\nDOT=all\nexport QUOTED=\"two words\" # said\nEMPTY=\nBARE = plain # comment\n")},
			".env.test":   {Data: []byte("DOT='of test'\n")},
		},
		Variables: map[string]string{"stage": "test"},
	}
}

// What people are told about a serverless.yml or binaris.yml that is wrong.
func TestProblemsOfOthers(t *testing.T) {
	datadriven.RunTest(t, "testdata/others", func(t *testing.T, d *datadriven.TestData) string {
		read := ParseServerless
		name := "serverless.yml"
		if d.Cmd == "binaris" {
			read, name = ParseBinaris, BinarisFile
		}
		p, err := read(name, []byte(d.Input), testOptions())
		if err == nil {
			t.Fatalf("%s: nothing is wrong: %+v", d.Pos, p)
		}
		var e *Error
		if !errors.As(err, &e) || len(e.Problems) == 0 {
			t.Fatalf("%s: not an *Error with problems: %v", d.Pos, err)
		}
		return err.Error() + "\n"
	})
}

func TestVariables(t *testing.T) {
	const head = "service: s\ncustom: {sizes: {small: 256}, stage: dev, list: [a, b], of: self}\nprovider: {name: aws, runtime: nodejs, memorySize: 128}\n" +
		"useDotenv: true\nparams: {default: {size: small, host: 'h-${sls:stage}'}, test: {size: large}}\n"
	for expression, want := range map[string]string{
		"${env:SET}":                                 "from-env",
		"${env:UNSET, 'x'}":                          "x",
		"${env:UNSET, ''}":                           "",
		`${env:UNSET, "a, b"}`:                       "a, b",
		"${env:UNSET, env:SET}":                      "from-env",
		"${env:UNSET, ${env:ALSO, 'deep'}}":          "deep",
		"${opt:stage}":                               "test",
		"${opt:region, self:provider.region}":        "us-east-1",
		"${sls:stage}-${self:service}":               "test-s",
		"${self:custom.list.1}":                      "b",
		"${self:custom.sizes.${env:UNSET, 'small'}}": "256",
		"${${self:custom.of}:service}":               "s",
		"${file(values.json):timeout}":               "7",
		"${file(./good.yml):dev.name}":               "s-dev",
		"${file(index.js)}":                          "!program",
		"${file(none.yml):x, 'fallback'}":            "fallback",
		"${self:provider.stage}":                     "dev",
		"${param:size}-${param:host}":                "large-h-test",
		"${param:none, 'x'}":                         "x",
		"${param:none}":                              "!no parameter none under params.test or params.default",
		"${env:DOT}|${env:QUOTED}|${env:BARE}":       "of test|two words|plain",
		"${env:EMPTY}":                               "",
		"a$b {c}":                                    "a$b {c}",
		"${ssm:/a/b, 3}":                             "3",
	} {
		src := head + "functions:\n  f:\n    handler: index.f\n    environment:\n      VALUE: \"" + strings.ReplaceAll(expression, `"`, `\"`) + "\"\n"
		p, err := ParseServerless("serverless.yml", []byte(src), testOptions())
		if strings.HasPrefix(want, "!") {
			if err == nil || !strings.Contains(err.Error(), want[1:]) {
				t.Errorf("%s: %v, want an error with %q", expression, err, want[1:])
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", expression, err)
		} else if got := (*p.Functions[0].Patch.Env)["VALUE"]; got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
}

func TestPackPatterns(t *testing.T) {
	for _, c := range []struct{ key, pattern, want string }{
		{"exclude", "node_modules/**", "/node_modules/**"},
		{"exclude", "**/*.md", "**/*.md"},
		{"include", "src/lib/x.js", "!/src/ !/src/lib/ !/src/lib/x.js"},
		{"patterns", "!./tests/**", "/tests/**"},
		{"patterns", "src/**/*.js", "!/src/ !/src/**/ !/src/**/*.js"},
		{"patterns", "!{a,b}.txt", "/a.txt /b.txt"},
		{"exclude", "!keep.txt", "!/keep.txt"},
	} {
		if got := strings.Join(packPatterns(c.key, c.pattern), " "); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.key, c.pattern, got, c.want)
		}
	}
}

// fuzzed reads src and checks what holds for every file: no panic, every problem is
// somewhere, and what is accepted can be deployed.
func fuzzed(t *testing.T, p *Project, err error) {
	var e *Error
	if err != nil {
		if !errors.As(err, &e) {
			t.Fatalf("not an *Error: %v", err)
		}
		for _, one := range e.Problems {
			if one.Line < 1 || one.Col < 1 || one.Message == "" {
				t.Fatalf("problem %+v is nowhere", one)
			}
		}
		if e.Error() == "" {
			t.Fatal("an error without words")
		}
		return
	}
	for i := range p.Functions {
		f := &p.Functions[i]
		c := f.Config()
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		for _, r := range f.Routes {
			if err := r.Validate(); err != nil {
				t.Fatalf("accepted, but %v", err)
			}
		}
	}
	for _, i := range p.Ignored {
		if i.Key == "" || i.Line < 1 {
			t.Fatalf("%+v is ignored nowhere", i)
		}
	}
}

func FuzzParseServerless(f *testing.F) {
	const head = "service: s\nprovider: {name: aws, runtime: nodejs}\n"
	for _, s := range []string{"", "service: s\nprovider: aws\nfunctions: {f: {handler: index.f, events: [http, {httpApi: 'GET /a/{b}'}]}}",
		head + "functions: {f: {handler: '${self:functions.f.handler}'}}", head + "functions: [{f: {handler: x}}, '${file(good.yml)}']",
		head + "functions: {f: {handler: i.f, environment: {AA: '${file(values.yml):bad}'}, memory: 1Gi, timeout: 90s}}",
		head + "package: {patterns: ['!{a,b}/**', c]}\nfunctions: &f {f: {handler: i.f, tags: {'hearth:max-concurrency': '2'}}}",
		"${a}", "service: ${self:}\nprovider: ${self:service}\n", "provider: {name: azure}\nservice: x\nfunctions: {f: {handler: ${, a}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := ParseServerless("serverless.yml", src, testOptions())
		fuzzed(t, p, err)
	})
}

func FuzzParseBinaris(f *testing.F) {
	for _, s := range []string{"", "functions: {f: {file: a.js, entrypoint: h, executionModel: concurrent, env: {AB: 1}}}", "functions: {f: }", "functions: {f: {file: ../x}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := ParseBinaris(BinarisFile, src, testOptions())
		fuzzed(t, p, err)
	})
}

func FuzzReadAzure(f *testing.F) {
	f.Add([]byte(`{"version":"2.0","extensions":{"http":{"maxConcurrentRequests":5}}}`), []byte(`{"bindings":[{"type":"httpTrigger"}],"scriptFile":"index.js"}`))
	f.Add([]byte(`{"http":{"maxConcurrentRequests":-1},"functionTimeout":"-1"}`), []byte(`{"entryPoint":"x y"}`))
	f.Add([]byte("{\n\t\"functionTimeout\": \"00:99:00\"}"), []byte(`[]`))
	f.Fuzz(func(t *testing.T, host, function []byte) {
		o := Options{Folder: fstest.MapFS{"host.json": {Data: host}, "F/function.json": {Data: function}, "F/index.js": {}}}
		p, err := readAzure(".", o)
		fuzzed(t, p, err)
	})
}

// What keeps instances ready, or from being frozen.
func TestReadiness(t *testing.T) {
	p, err := ParseServerless("serverless.yml", []byte(`service: s
provider: {name: aws, runtime: nodejs}
functions:
  f: {handler: index.x, provisionedConcurrency: 3, tags: {"hearth:freeze": "false"}}
`), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	f := p.Functions[0]
	if f.Provisioned == nil || *f.Provisioned != 3 || f.Patch.Freeze == nil || *f.Patch.Freeze {
		t.Errorf("%+v", f)
	}
	if len(p.Ignored) > 0 {
		t.Errorf("ignored: %+v", p.Ignored)
	}
}
