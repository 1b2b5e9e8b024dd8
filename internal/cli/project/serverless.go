package project

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"hearth/internal/hearth"
)

// serverless reads a serverless.yml.
type serverless struct {
	d       *decoder
	folder  fs.FS
	p       *Project
	vendor  vendor
	name    string // of the provider
	stage   string
	runtime string            // provider.runtime
	env     map[string]string // provider.environment
	tagged  map[string]string // provider.tags
	memory  *int
	timeout *Function // holds provider.timeout, read as a function's is
	payload string    // of httpApi events
	exclude []string  // package.patterns and the like
	dir     string
	host    Function // what an Azure app's host.json says about every function
	prefix  string   // of its HTTP functions' paths
	hostErr error
}

// unfit is whatever cannot be in a service's name.
var unfit = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)

// ParseServerless reads the text of a serverless.yml; name is for messages. Errors are
// *Error.
func ParseServerless(name string, src []byte, o Options) (*Project, error) {
	d := newDecoder(20_000)
	if len(src) > MaxFileBytes {
		d.fault(1, 1, fmt.Sprintf("the file has %d bytes, at most %d are read", len(src), MaxFileBytes))
		return nil, d.err(name, nil)
	}
	src = unixLines(src)
	s := &serverless{d: d, dir: filepath.Dir(name), folder: o.folder(), p: &Project{Complete: true}, payload: hearth.Payload2}
	if body := d.parseYAML(src); body != nil && len(d.problems) == 0 {
		d.vars = &variables{root: body, env: o.lookupEnv(), options: maps.Clone(o.Variables), folder: s.folder,
			loaded: map[string]ast.Node{}, done: map[ast.Node]bool{}}
		s.file(body, o)
	}
	d.problems = append(d.problems, s.p.conflicts()...)
	if err := d.err(name, src); err != nil {
		return nil, err
	}
	if s.hostErr != nil {
		return nil, s.hostErr
	}
	return s.p, nil
}

func (s *serverless) file(body ast.Node, o Options) {
	top := s.d.object(body, "")
	if top == nil {
		return
	}
	s.dotenv(top)
	s.service(top)
	if !s.provider(top) {
		return
	}
	s.exclude = s.packaging(top)
	if s.vendor.dialect == hearth.Azure && !s.azureHost(o) {
		return
	}
	s.functions(top)
	top.used["custom"], top.used["params"] = true, true // for ${self:custom.…} and ${param:…}
	s.ignore(top.skip("Hearth has no plug-ins", "plugins"))
	s.ignore(top.skip("Hearth makes functions, not other resources", "resources", "outputs", "stepFunctions"))
	s.ignore(top.rest())
}

// dotenv has ${env:…} look into the folder's .env files, too, where the file says so.
func (s *serverless) dotenv(top *object) {
	if words, e, ok := top.text("useDotenv"); ok && words == "true" {
		stage, _ := text(s.d.stage(e.value))
		values, lookUp := dotenv(s.folder, stage), s.d.vars.env
		s.d.vars.env = func(name string) (string, bool) {
			if v, ok := lookUp(name); ok {
				return v, true
			}
			v, ok := values[name]
			return v, ok
		}
	}
}

func (s *serverless) ignore(list []Ignored) { s.p.Ignored = append(s.p.Ignored, list...) }

// service is the name under /http/: service: NAME, or service: {name: NAME}.
func (s *serverless) service(top *object) {
	e, ok := top.get("service")
	if !ok {
		s.d.absent(top, "service", "there is no service: give the project a name with service: NAME")
		return
	}
	name, scalar := text(e.value)
	if !scalar {
		o := s.d.object(e.value, "service")
		if o == nil {
			return
		}
		name, e, _ = o.text("name")
		s.ignore(o.rest())
	}
	s.p.Service = strings.Trim(unfit.ReplaceAllString(name, "-"), "-")
	if len(s.p.Service) > hearth.MaxNameLen || s.p.Service == "" {
		s.d.problem(e.value, "service must be a name of 1 to %d letters, digits, '-' and '_'", hearth.MaxNameLen)
	}
}

func (s *serverless) provider(top *object) bool {
	e, ok := top.get("provider")
	if !ok {
		s.d.absent(top, "provider", "there is no provider: say which cloud the functions were written for, such as provider: {name: aws}")
		return false
	}
	name, scalar := text(e.value)
	var o *object
	if !scalar {
		if o = s.d.object(e.value, "provider"); o == nil {
			return false
		}
		var named entry
		if name, named, ok = o.text("name"); !ok {
			s.d.problem(e.keyNode, "provider has no name; there are %s", strings.Join(vendorNames(), ", "))
			return false
		}
		e = named
	}
	if s.vendor, ok = vendors()[name]; !ok || name == "binaris" {
		s.d.problem(e.value, "there is no provider %q here%s; there are %s", name, hearth.Hint(name, vendorNames()), strings.Join(vendorNames(), ", "))
		return false
	}
	s.name, s.p.Vendor = name, name
	s.stage = "dev"
	if stage, ok := text(s.d.stage(e.value)); ok {
		s.stage = stage
	}
	if o == nil {
		return true
	}
	s.providerDefaults(o)
	return true
}

// providerDefaults reads what holds for every function.
func (s *serverless) providerDefaults(o *object) {
	if text, e, ok := o.text("runtime"); ok {
		s.runtime = s.runtimeName(e, text)
	}
	var f Function
	s.sizes(o, &f)
	s.memory, s.timeout = f.Patch.MemoryMB, &f
	s.env = s.environment(o)
	if e, ok := o.get("tags"); ok {
		setTags(s.d, &f, e)
		s.tagged = f.Tags
		s.tags(e, &Function{Tags: f.Tags})
	}
	if http := o.under("httpApi"); http != nil {
		s.payload = s.payloadOf(http, s.payload)
		s.ignore(http.rest())
	}
	o.used["stage"], o.used["region"] = true, true
	s.ignore(o.skip("functions need no credentials of a cloud here", "iam", "iamRoleStatements", "role", "profile", "credentials", "project", "subscriptionId", "ow_auth"))
	s.ignore(o.rest())
}

func (s *serverless) runtimeName(e entry, name string) string {
	known, err := runtimeOf(name)
	if err != nil {
		s.d.problem(e.value, "%s", runtimeWords(name, err))
	}
	return known
}

// environment reads environment:, of the provider or of a function.
func (s *serverless) environment(o *object) map[string]string {
	e, ok := o.get("environment", "env")
	if !ok {
		return nil
	}
	members, ok := s.d.members(e.value, o.at(e.key))
	if !ok {
		return nil
	}
	env := map[string]string{}
	for _, m := range members {
		if ofCloudFormation(m.value) {
			line, _ := position(m.keyNode)
			s.ignore([]Ignored{{o.at(e.key) + "." + m.key, line, "CloudFormation is not there to make it; give the function one with --env " + m.key + "=VALUE"}})
			continue
		}
		if m.value = s.d.resolve(m.value); m.value == nil {
			continue
		}
		if _, null := m.value.(*ast.NullNode); null {
			continue
		}
		value, scalar := text(m.value)
		if !scalar {
			s.d.problem(m.value, "%s.%s must be text or a number, not %s; where a resource of the cloud was meant, write the value itself", o.at(e.key), m.key, kind(m.value))
			continue
		}
		if wrong := checkVariable(m.key, value); wrong != "" {
			s.d.problem(m.keyNode, "%s", wrong)
			continue
		}
		env[m.key] = value
	}
	return env
}

// ofCloudFormation tells values that only a deployment to AWS has: !Ref Orders,
// {Fn::GetAtt: [Orders, Arn]} and the like.
func ofCloudFormation(n ast.Node) bool {
	key := ""
	switch v := n.(type) {
	case *ast.TagNode:
		return !strings.HasPrefix(v.GetToken().Value, "!!") // those are YAML's own
	case *ast.MappingValueNode:
		key = v.Key.String()
	case *ast.MappingNode:
		if len(v.Values) == 1 {
			key = v.Values[0].Key.String()
		}
	}
	key = strings.Trim(key, `"'`)
	return key == "Ref" || strings.HasPrefix(key, "Fn::")
}

// sizes reads memory and timeout, which go by many names.
func (s *serverless) sizes(o *object, f *Function) {
	if words, e, ok := o.text("memorySize", "memory", "availableMemoryMb", "memoryMb"); ok {
		if mb, ok := ParseMB(words); ok {
			f.setMemory(mb)
		} else {
			s.d.problem(e.value, "%s must be a number of MB, such as 256, not %s", o.at(e.key), kind(e.value))
		}
	}
	if words, e, ok := o.text("timeout"); ok {
		if d, ok := ParseSpan(words); ok && d > 0 {
			f.setTimeout(d)
		} else {
			s.d.problem(e.value, "%s must be a number of seconds, not %s", o.at(e.key), kind(e.value))
		}
	}
}

func (s *serverless) payloadOf(o *object, otherwise string) string {
	words, e, ok := o.text("payload")
	switch {
	case !ok:
		return otherwise
	case words == "1.0" || words == "1":
		return hearth.Payload1
	case words == "2.0" || words == "2":
		return hearth.Payload2
	}
	s.d.problem(e.value, `%s must be "1.0" or "2.0", not %s`, o.at(e.key), kind(e.value))
	return otherwise
}

// functions reads functions:, a mapping, or a list of mappings.
func (s *serverless) functions(top *object) {
	e, ok := top.get("functions")
	if !ok {
		s.d.absent(top, "functions", "there are no functions: give at least one, such as functions: {hello: {handler: index.hello}}")
		return
	}
	sources := []ast.Node{e.value}
	if list, ok := e.value.(*ast.SequenceNode); ok {
		sources = list.Values
	}
	for _, source := range sources {
		members, ok := s.d.members(source, "functions")
		if !ok {
			continue
		}
		for _, m := range members {
			s.function(m)
		}
	}
	if len(s.p.Functions) == 0 && len(s.d.problems) == 0 {
		s.d.problem(e.keyNode, "functions: is empty; give it at least one name with its handler")
	}
}

// azureHost takes what a host.json beside the file says about concurrency and time.
func (s *serverless) azureHost(o Options) bool {
	o.Folder = s.folder
	a := &azure{dir: s.dir, o: o, p: s.p, prefix: usualPrefix}
	if err := a.readHost(); err != nil {
		s.hostErr = err
		return false
	}
	s.host, s.prefix = a.host, a.prefix
	return true
}
