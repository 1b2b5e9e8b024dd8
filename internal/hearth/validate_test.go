package hearth

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
)

func validConfig() Config {
	c := Config{Runtime: "nodejs20.x", Handler: "index.handler"}
	c.Normalize()
	return c
}

func TestNormalizedConfigIsValid(t *testing.T) {
	c := validConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	again := c
	if again.Normalize(); !again.Equal(&c) {
		t.Errorf("a second time changes %+v to %+v", c, again)
	}
	if c.MemoryMB != 128 || c.Timeout != 3*time.Second || c.TmpMB != 512 || c.KeepAlive != 15*time.Minute || c.Model != Exclusive || c.MaxConcurrency != 10 {
		t.Errorf("defaults: %+v", c)
	}
}

func TestValidateConfig(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want []string // in the message; none when valid
	}{
		{"least", func(c *Config) {
			c.MemoryMB, c.Timeout, c.TmpMB, c.KeepAlive, c.MaxConcurrency = 128, time.Second, 512, time.Second, 1
		}, nil},
		{"most", func(c *Config) {
			c.MemoryMB, c.Timeout, c.TmpMB, c.KeepAlive, c.MaxConcurrency = 10240, 900*time.Second, 10240, 24*time.Hour, 1000
		}, nil},
		{"no keep-alive", func(c *Config) { c.KeepAlive = NoKeepAlive }, nil},
		{"milliseconds", func(c *Config) { c.Timeout = 1500 * time.Millisecond }, nil},
		{"little memory", func(c *Config) { c.MemoryMB = 64 },
			[]string{"1 validation error detected: Value '64' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128", "128 to 10240 MB"}},
		{"much memory", func(c *Config) { c.MemoryMB = 10241 }, []string{"Value '10241' at 'memorySize'", "less than or equal to 10240"}},
		{"no time", func(c *Config) { c.Timeout = 0 }, []string{"Value '0' at 'timeout'", "greater than or equal to 1"}},
		{"half a second", func(c *Config) { c.Timeout = time.Second / 2 }, []string{"Value '0.5' at 'timeout'"}},
		{"much time", func(c *Config) { c.Timeout = 901 * time.Second }, []string{"Value '901' at 'timeout'", "less than or equal to 900"}},
		{"odd time", func(c *Config) { c.Timeout = time.Second + 1 }, []string{"'timeout'", "whole number of milliseconds"}},
		{"little tmp", func(c *Config) { c.TmpMB = 511 }, []string{"'ephemeralStorage.size'", "512 to 10240 MB"}},
		{"much tmp", func(c *Config) { c.TmpMB = 10241 }, []string{"'ephemeralStorage.size'"}},
		{"short keep-alive", func(c *Config) { c.KeepAlive = time.Millisecond }, []string{"Value '1ms' at 'keepAlive'", "24h"}},
		{"long keep-alive", func(c *Config) { c.KeepAlive = 25 * time.Hour }, []string{"'keepAlive'"}},
		{"negative keep-alive", func(c *Config) { c.KeepAlive = -time.Second }, []string{"'keepAlive'"}},
		{"no concurrency", func(c *Config) { c.MaxConcurrency = 0 }, []string{"'maxConcurrency'", "1 to 1000"}},
		{"much concurrency", func(c *Config) { c.MaxConcurrency = 1001 }, []string{"'maxConcurrency'"}},
		{"a model of its own", func(c *Config) { c.Model = "shared" }, []string{"Value 'shared' at 'executionModel'", "[exclusive, concurrent]"}},
		{"no handler", func(c *Config) { c.Handler = "" }, []string{"Runtime and Handler are mandatory"}},
		{"no runtime", func(c *Config) { c.Runtime = "" }, []string{"Runtime and Handler are mandatory"}},
		{"spaced handler", func(c *Config) { c.Handler = "index. handler" }, []string{"'handler'", `[^\s]+`}},
		{"handler with NUL", func(c *Config) { c.Handler = "index.\x00" }, []string{"'handler'"}},
		{"long handler", func(c *Config) { c.Handler = strings.Repeat("x", 129) }, []string{"'handler'", "less than or equal to 128"}},
		{"long description", func(c *Config) { c.Description = strings.Repeat("ä", 257) }, []string{"'description'", "256"}},
		{"full description", func(c *Config) { c.Description = strings.Repeat("ä", 256) }, nil},
		{"two things", func(c *Config) { c.MemoryMB, c.TmpMB = 1, 1 }, []string{"2 validation errors detected: ", "'memorySize'", "; Value '1' at 'ephemeralStorage.size'"}},
		{"full environment", func(c *Config) { c.Env = map[string]string{"KEY": strings.Repeat("x", 4093)} }, nil},
		{"large environment", func(c *Config) { c.Env = map[string]string{"KEY": strings.Repeat("x", 4094)} }, []string{"4KB limit", "4097 bytes", "4096 are allowed"}},
		{"reserved key", func(c *Config) { c.Env = map[string]string{"AWS_REGION": "x", "_HANDLER": "y"} }, []string{"Reserved keys used in this request: AWS_REGION, _HANDLER"}},
		{"concurrency key", func(c *Config) { c.Env = map[string]string{"AWS_LAMBDA_MAX_CONCURRENCY": "1"} }, []string{"reserved keys"}},
		{"bad key", func(c *Config) { c.Env = map[string]string{"1A": "x"} }, []string{"Value '1A' at 'environment.variables'", "[a-zA-Z]([a-zA-Z0-9_])+"}},
		{"key with =", func(c *Config) { c.Env = map[string]string{"A=B": "x"} }, []string{"'environment.variables'"}},
		{"one letter", func(c *Config) { c.Env = map[string]string{"A": "x"} }, []string{"'environment.variables'", "at least one"}},
		{"NUL in a value", func(c *Config) { c.Env = map[string]string{"KEY": "a\x00b"} }, []string{"KEY", "NUL"}},
	} {
		cfg := validConfig()
		c.edit(&cfg)
		checkError(t, c.name, cfg.Validate(), c.want)
	}
}

func checkError(t *testing.T, name string, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	if err == nil || CodeOf(err) != ErrInvalid {
		t.Errorf("%s: %v, want ErrInvalid", name, err)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q lacks %q", name, err, w)
		}
	}
}

func TestReservedEnvIsRefused(t *testing.T) {
	for _, key := range ReservedEnv() {
		c := validConfig()
		c.Env = map[string]string{key: "x"}
		checkError(t, key, c.Validate(), []string{"reserved keys", key})
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"hello": "", "a": "", "A-b_9": "", strings.Repeat("x", 64): "", "-": "",
		"":                      "regular expression",
		strings.Repeat("x", 65): "less than or equal to 64",
		"a b":                   "letters, digits, '-' and '_'",
		"a.b":                   "regular expression",
		"a\n":                   "regular expression",
		"../x":                  "regular expression",
		"ä":                     "regular expression",
		"$LATEST":               "regular expression",
	} {
		words := []string{"1 validation error detected: Value '", "'functionName'", want}
		if want == "" {
			words = nil
		}
		checkError(t, name, ValidateName(name), words)
	}
}

// FuzzValidateName: what is accepted has only the characters and the length that
// names may have, and no refusal repeats control characters.
func FuzzValidateName(f *testing.F) {
	for _, s := range []string{"hello", "", "a b", "x\x00", "ä", "\xff\xfe", strings.Repeat("x", 65)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		plain := len(name) >= 1 && len(name) <= 64 && isWord(name)
		err := ValidateName(name)
		if (err == nil) != plain {
			t.Fatalf("%q: %v", name, err)
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Fatalf("the message repeats control characters: %q", err)
		}
	})
}

func TestLanguage(t *testing.T) {
	for runtime, want := range map[string]string{
		"nodejs": LangNode, "nodejs4.3": LangNode, "nodejs8.10": LangNode, "nodejs20.x": LangNode, "nodejs24.x": LangNode,
		"nodejs8": LangNode, "nodejs20": LangNode, "node": LangNode,
		"provided": LangCustom, "provided.al2": LangCustom, "provided.al2023": LangCustom, "go1.x": LangCustom,
		"python": LangPython, "python3": LangPython, "python3.6": LangPython, "python3.14": LangPython, "python312": LangPython,
	} {
		if got, err := Language(runtime); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %s", runtime, got, err, want)
		}
	}
	for _, runtime := range Runtimes() {
		if _, err := Language(runtime); err != nil {
			t.Errorf("%s is listed: %v", runtime, err)
		}
	}
	for runtime, want := range map[string]string{
		"nodejs20":         "",
		"nodesj20.x":       "Did you mean nodejs20.x?",
		"node20.x":         "Did you mean nodejs20.x?",
		"NodeJS20.x":       "Did you mean nodejs20.x?",
		"nodejs21.x":       "Did you mean nodejs2",
		"pyton3.12":        "Did you mean python3.12?",
		"python3.15":       "Did you mean python3.1",
		"javascript":       "Did you mean nodejs?",
		"python2.7":        "Python 3 only",
		"provided.al3":     "Did you mean provided.al2?",
		"go":               "no Go of its own",
		"go1.22":           "no Go of its own",
		"java21":           "no Java of its own",
		"java8.al2":        "no Java of its own",
		"dotnet8":          "no .NET of its own",
		"ruby3.3":          "no Ruby of its own",
		"cobol":            "Value 'cobol' at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs24.x",
		"nodejs20.x\n":     "at 'runtime'",
		"":                 "at 'runtime'",
		"\x00\xff":         "at 'runtime'",
		"providedness":     "at 'runtime'",
		"nodejs20.x,ruby3": "at 'runtime'",
	} {
		if want != "" {
			_, err := Language(runtime)
			checkError(t, runtime, err, []string{want})
		}
	}
}

func FuzzLanguage(f *testing.F) {
	for _, s := range append(Runtimes(), "provided.al2", "nodejs20.X", "", "\xff", strings.Repeat("n", 1000)) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lang, err := Language(s)
		if (lang == LangNode && strings.HasPrefix(s, "node") || lang == LangPython && strings.HasPrefix(s, "python3") || s == "python" || lang == LangCustom) != (err == nil) {
			t.Fatalf("%q: %q, %v", s, lang, err)
		}
		if err != nil && (CodeOf(err) != ErrInvalid || len(err.Error()) > 1200) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

func TestCheckHandler(t *testing.T) {
	for handler, want := range map[string]string{
		"index.handler": "", "src/index.handler": "", "a.b.c": "", "pkg.mod.fn": "",
		"index": "module.function", ".handler": "module.function", "index.": "module.function", "src/.x": "module.function",
	} {
		words := []string{want, "index.handler"}
		if want == "" {
			words = nil
		}
		checkError(t, handler, CheckHandler("nodejs20.x", handler), words)
	}
	checkError(t, "custom", CheckHandler("provided.al2023", "whatever"), nil)
	checkError(t, "python", CheckHandler("python3.12", "main"), []string{"main.py"})
	checkError(t, "runtime", CheckHandler("cobol", "main.x"), []string{"'runtime'"})
}

// TestEqualSeesEveryField changes every field of a Config, now and to come.
func TestEqualSeesEveryField(t *testing.T) {
	unnoticed := map[string]bool{"Description": true, "Role": true, "CapacityProvider": true} // by instances
	for i := range reflect.TypeFor[Config]().NumField() {
		name := reflect.TypeFor[Config]().Field(i).Name
		a, b := validConfig(), validConfig()
		field := reflect.ValueOf(&b).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString(field.String() + "x")
		case reflect.Int, reflect.Int64:
			field.SetInt(field.Int() + 1)
		case reflect.Bool:
			field.SetBool(!field.Bool())
		case reflect.Map:
			field.Set(reflect.ValueOf(map[string]string{"KEY": "x"}))
		default:
			t.Fatalf("%s has a kind that this test does not know", name)
		}
		if a.Equal(&b) {
			t.Errorf("Equal does not see %s", name)
		}
		if a.SameInstances(&b) != unnoticed[name] {
			t.Errorf("SameInstances: %s", name)
		}
	}
	a, b := validConfig(), validConfig()
	b.Env = map[string]string{}
	if !a.Equal(&b) {
		t.Error("no environment and an empty one differ")
	}
}

// TestPatchHasEveryField: a patch with all fields changes all fields, one without any
// changes nothing, and a change does not share the environment with its maker.
func TestPatchHasEveryField(t *testing.T) {
	str, dialect, n, d, freeze, model, env := "x", Google, 7, time.Second, false, Concurrent, map[string]string{"KEY": "x"}
	p := ConfigPatch{&str, &str, &str, &str, &dialect, &n, &d, &n, &d, &freeze, &model, &n, &str, &env, &str, &str}
	var c Config
	p.Apply(&c)
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s cannot be patched", v.Type().Field(i).Name)
		}
	}
	before := c.Clone()
	new(ConfigPatch).Apply(&c)
	if !c.Equal(&before) {
		t.Errorf("an empty patch changes %+v to %+v", before, c)
	}
	if env["KEY"] = "y"; c.Env["KEY"] != "x" {
		t.Error("the environment is shared")
	}
	zero, none := 0, time.Duration(0)
	(&ConfigPatch{MemoryMB: &zero, KeepAlive: &none}).Apply(&c)
	if c.MemoryMB != 0 || c.KeepAlive != NoKeepAlive {
		t.Errorf("zeros: %+v", c)
	}
}

func TestApplyTags(t *testing.T) {
	for _, c := range []struct {
		name string
		tags map[string]string
		edit func(*Config) // what should happen; nil: nothing
		want []string      // in the error
	}{
		{"none", nil, nil, nil},
		{"others", map[string]string{"team": "x", "hearthx": "y"}, nil, nil},
		{"model", map[string]string{TagModel: "concurrent"}, func(c *Config) { c.Model = Concurrent }, nil},
		{"model in capitals", map[string]string{TagModel: " Concurrent "}, func(c *Config) { c.Model = Concurrent }, nil},
		{"number alone", map[string]string{TagMaxConcurrency: "25"}, func(c *Config) { c.Model, c.MaxConcurrency = Concurrent, 25 }, nil},
		{"one alone", map[string]string{TagMaxConcurrency: "1"}, func(c *Config) { c.MaxConcurrency = 1 }, nil},
		{"exclusive wins", map[string]string{TagMaxConcurrency: "25", TagModel: "exclusive"}, func(c *Config) { c.MaxConcurrency = 25 }, nil},
		{"keep-alive", map[string]string{TagKeepAlive: "2h"}, func(c *Config) { c.KeepAlive = 2 * time.Hour }, nil},
		{"keep-alive in seconds", map[string]string{TagKeepAlive: "90"}, func(c *Config) { c.KeepAlive = 90 * time.Second }, nil},
		{"no keep-alive", map[string]string{TagKeepAlive: "0"}, func(c *Config) { c.KeepAlive = NoKeepAlive }, nil},
		{"no keep-alive, as a duration", map[string]string{TagKeepAlive: "0s"}, func(c *Config) { c.KeepAlive = NoKeepAlive }, nil},
		{"bad model", map[string]string{TagModel: "concurent"}, nil, []string{TagModel, `"concurent"`, "exclusive or concurrent", "Did you mean concurrent?"}},
		{"bad number", map[string]string{TagMaxConcurrency: "many"}, nil, []string{TagMaxConcurrency, `"many"`, "1 to 1000"}},
		{"zero", map[string]string{TagMaxConcurrency: "0"}, nil, []string{"1 to 1000"}},
		{"too many", map[string]string{TagMaxConcurrency: "1001"}, nil, []string{"1 to 1000"}},
		{"no freezing", map[string]string{TagFreeze: "false"}, func(c *Config) { c.NoFreeze = true }, nil},
		{"freezing", map[string]string{TagFreeze: "True"}, func(*Config) {}, nil},
		{"bad freezing", map[string]string{TagFreeze: "flase"}, nil, []string{TagFreeze, "true or false", "Did you mean false?"}},
		{"bad keep-alive", map[string]string{TagKeepAlive: "long"}, nil, []string{TagKeepAlive, "15m"}},
		{"negative keep-alive", map[string]string{TagKeepAlive: "-1ns"}, nil, []string{TagKeepAlive}},
		{"long keep-alive", map[string]string{TagKeepAlive: "25h"}, nil, []string{"24h"}},
		{"unknown", map[string]string{"hearth:execution-modle": "x"}, nil, []string{"hearth:execution-modle", "Did you mean " + TagModel}},
		{"one good, one bad", map[string]string{TagKeepAlive: "1h", TagModel: "x"}, nil, []string{TagModel}},
	} {
		f := &Function{Name: "f", Tags: c.tags}
		f.Latest.Config = validConfig()
		want := validConfig()
		if c.edit != nil {
			c.edit(&want)
		}
		checkError(t, c.name, ApplyTags(f), c.want)
		if !f.Latest.Config.Equal(&want) {
			t.Errorf("%s: %+v, want %+v", c.name, f.Latest.Config, want)
		}
	}
}

func FuzzApplyTags(f *testing.F) {
	f.Add(TagModel, "concurrent")
	f.Add(TagMaxConcurrency, "10")
	f.Add(TagKeepAlive, "1h1m")
	f.Add(TagKeepAlive, "-9223372036854775808ns")
	f.Add("hearth:", "")
	f.Fuzz(func(t *testing.T, key, value string) {
		fn := &Function{Name: "f", Tags: map[string]string{key: value}}
		fn.Latest.Config = validConfig()
		before := fn.Latest.Config.Clone()
		if err := ApplyTags(fn); err != nil {
			if !fn.Latest.Config.Equal(&before) {
				t.Fatalf("changed in spite of %v", err)
			}
		} else if err := fn.Latest.Config.Validate(); err != nil {
			t.Fatalf("%q=%q makes an invalid config: %v", key, value, err)
		}
	})
}

func TestValidateTags(t *testing.T) {
	many := map[string]string{}
	for i := range 51 {
		many[strings.Repeat("k", i+1)] = "v"
	}
	fifty := maps.Clone(many)
	delete(fifty, "k")
	for _, c := range []struct {
		name string
		tags map[string]string
		want []string
	}{
		{"none", nil, nil},
		{"fifty", fifty, nil},
		{"fifty-one", many, []string{"51 tags", "50"}},
		{"longest", map[string]string{strings.Repeat("ä", 128): strings.Repeat("ö", 256)}, nil},
		{"all characters", map[string]string{"a_b.c:d/e=f+g-h@i j": "_.:/=+-@ "}, nil},
		{"long key", map[string]string{strings.Repeat("k", 129): ""}, []string{"between 1 and 128"}},
		{"empty key", map[string]string{"": ""}, []string{"between 1 and 128"}},
		{"long value", map[string]string{"k": strings.Repeat("v", 257)}, []string{"256", "tag k"}},
		{"their prefix", map[string]string{"AWS:x": ""}, []string{`"aws:"`, "AWS:x"}},
		{"bad key", map[string]string{"a*b": ""}, []string{"a*b"}},
		{"bad value", map[string]string{"k": "\x00"}, []string{"tag k"}},
	} {
		checkError(t, c.name, ValidateTags(c.tags), c.want)
	}
}

func TestValidateFunction(t *testing.T) {
	f := &Function{Name: "f"}
	f.Latest.Config = validConfig()
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	minus, zero := -1, 0
	if f.Reserved = &zero; f.Validate() != nil {
		t.Error("reserved concurrency 0 is refused")
	}
	f.Reserved = &minus
	checkError(t, "reserved", f.Validate(), []string{"'reservedConcurrentExecutions'", "-1"})
	f.Reserved, f.Tags = nil, map[string]string{"": ""}
	checkError(t, "tags", f.Validate(), []string{"tags"})
	f.Tags, f.Latest.Config.MemoryMB = nil, 1
	checkError(t, "config", f.Validate(), []string{"memorySize"})
	f.Name = ""
	checkError(t, "name", f.Validate(), []string{"functionName"})
}

func TestVersionID(t *testing.T) {
	v := Version{Function: "f", Revision: "r"}
	if v.ID() != "f@r" {
		t.Errorf("without identity: %s", v.ID())
	}
	v.Identity = "f@q"
	if v.ID() != "f@q" {
		t.Errorf("with one: %s", v.ID())
	}
	if n := testing.AllocsPerRun(100, func() { _ = v.ID() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
