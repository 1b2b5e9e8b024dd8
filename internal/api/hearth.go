package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
	"hearth/internal/registry"
)

// hearthRoutes are the resources that Lambda has no word for.
func (s *Server) hearthRoutes() []route {
	const function = "/hearth/v1/functions/{}"
	return []route{
		{"GET", "/hearth/v1/status", (*Server).status},
		{"GET", "/hearth/v1/instances", (*Server).instances},
		{"GET", "/hearth/v1/events", (*Server).events},
		{"GET", "/hearth/v1/functions", (*Server).listDocs},
		{"GET", function, (*Server).getDoc},
		{"PUT", function, (*Server).putFunction},
		{"DELETE", function, (*Server).removeFunction},
		{"GET", function + "/code", (*Server).code},
		{"GET", function + "/logs", (*Server).logs},
	}
}

func (s *Server) status(r *request) error {
	s.writeLine(r.ctx, 200, s.deps.Platform.Status())
	return nil
}

func (s *Server) instances(r *request) error {
	list := s.deps.Platform.Instances(r.query.get("function"))
	if list == nil {
		list = []hearth.InstanceInfo{}
	}
	s.writeLine(r.ctx, 200, map[string]any{"instances": list})
	return nil
}

// functionDoc is a function under /hearth/v1.
type functionDoc struct {
	Name      string               `json:"name"`
	ARN       string               `json:"arn"`
	URL       string               `json:"url"`
	State     hearth.FunctionState `json:"state"`
	Model     hearth.Model         `json:"model"`
	Slots     int                  `json:"slots"` // of one instance
	MemoryMB  int                  `json:"memoryMB"`
	KeepAlive span                 `json:"keepAlive"`
	Instances int                  `json:"instances"` // alive now
	Reserved  *int                 `json:"reserved,omitempty"`
	Tags      map[string]string    `json:"tags,omitempty"`
	Created   time.Time            `json:"created"`
	Latest    versionDoc           `json:"latest"`
}

type versionDoc struct {
	Number       string      `json:"number"`
	Revision     string      `json:"revision"`
	Identity     string      `json:"identity,omitempty"`
	LastModified time.Time   `json:"lastModified"`
	Code         hearth.Code `json:"code"`
	Config       configDoc   `json:"config"`
}

// configDoc is a configuration as people write it. Nil members are left as they are
// when it is sent to the platform, and do not occur when it comes from there.
type configDoc struct {
	Description    *string            `json:"description,omitempty"`
	Role           *string            `json:"role,omitempty"`
	Runtime        *string            `json:"runtime,omitempty"`
	Handler        *string            `json:"handler,omitempty"`
	MemoryMB       *int               `json:"memoryMB,omitempty"`
	Timeout        *span              `json:"timeout,omitempty"`
	TmpMB          *int               `json:"tmpMB,omitempty"`
	KeepAlive      *span              `json:"keepAlive,omitempty"`
	Model          *hearth.Model      `json:"model,omitempty"`
	MaxConcurrency *int               `json:"maxConcurrency,omitempty"`
	Env            *map[string]string `json:"env,omitempty"`
}

// configKeys names the members of configDoc, for those who misspell one.
const configKeys = "description, role, runtime, handler, memoryMB, timeout, tmpMB, keepAlive, model, maxConcurrency, env"

func configDocOf(c *hearth.Config) configDoc {
	timeout, keepAlive := span(c.Timeout), span(c.KeepAlive)
	doc := configDoc{
		Runtime: &c.Runtime, Handler: &c.Handler, MemoryMB: &c.MemoryMB, Timeout: &timeout, TmpMB: &c.TmpMB,
		KeepAlive: &keepAlive, Model: &c.Model, MaxConcurrency: &c.MaxConcurrency,
	}
	if c.Description != "" {
		doc.Description = &c.Description
	}
	if c.Role != "" {
		doc.Role = &c.Role
	}
	if len(c.Env) > 0 {
		doc.Env = &c.Env
	}
	return doc
}

func (c *configDoc) patch() *hearth.ConfigPatch {
	p := &hearth.ConfigPatch{
		Description: c.Description, Role: c.Role, Runtime: c.Runtime, Handler: c.Handler, MemoryMB: c.MemoryMB,
		TmpMB: c.TmpMB, Model: c.Model, MaxConcurrency: c.MaxConcurrency, Env: c.Env,
		Timeout: (*time.Duration)(c.Timeout),
	}
	if c.KeepAlive != nil {
		d := time.Duration(*c.KeepAlive)
		if d == 0 {
			d = hearth.NoKeepAlive
		}
		p.KeepAlive = &d
	}
	return p
}

// span is a length of time: "15m" or a number of seconds.
type span time.Duration

// MarshalJSON writes it in words. Less than nothing (hearth.NoKeepAlive) is "0s".
func (d span) MarshalJSON() ([]byte, error) {
	return json.Marshal(max(time.Duration(d), 0).String())
}

// UnmarshalJSON reads either form.
func (d *span) UnmarshalJSON(text []byte) error {
	var seconds float64
	if json.Unmarshal(text, &seconds) == nil {
		if seconds < -1e6 || seconds > 1e9 {
			return fmt.Errorf("%s is no length of time in seconds", text)
		}
		*d = span(seconds * float64(time.Second))
		return nil
	}
	var words string
	if err := json.Unmarshal(text, &words); err != nil {
		return fmt.Errorf("%s is no length of time: write \"15m\", \"90s\", or a number of seconds", text)
	}
	parsed, err := time.ParseDuration(words)
	if err != nil {
		return fmt.Errorf("%s is no length of time: write \"15m\", \"90s\", or a number of seconds", text)
	}
	*d = span(parsed)
	return nil
}

// docOf describes f; alive counts the instances of each function.
func (s *Server) docOf(r *request, f *hearth.Function, alive map[string]int) functionDoc {
	v := &f.Latest
	return functionDoc{
		Name: f.Name, ARN: s.arn(f.Name, ""), URL: r.base() + urlPrefix + f.Name + "/",
		State: s.deps.Functions.State(f.Name),
		Model: v.Config.Model, Slots: v.Config.Slots(), MemoryMB: v.Config.MemoryMB, KeepAlive: span(v.Config.KeepAlive),
		Instances: alive[f.Name], Reserved: f.Reserved, Tags: f.Tags, Created: f.Created,
		Latest: versionDoc{
			Number: v.Number, Revision: v.Revision, Identity: v.Identity, LastModified: v.LastModified,
			Code: v.Code, Config: configDocOf(&v.Config),
		},
	}
}

func (s *Server) alive(function string) map[string]int {
	count := make(map[string]int)
	for _, i := range s.deps.Platform.Instances(function) {
		if i.State != hearth.Dead {
			count[i.Function]++
		}
	}
	return count
}

func (s *Server) listDocs(r *request) error {
	alive := s.alive("")
	list := []functionDoc{}
	for _, f := range s.deps.Functions.List() {
		list = append(list, s.docOf(r, f, alive))
	}
	s.writeLine(r.ctx, 200, map[string]any{"functions": list})
	return nil
}

func (s *Server) getDoc(r *request) error {
	f, err := s.named(r)
	if err != nil {
		return err
	}
	s.writeLine(r.ctx, 200, s.docOf(r, f, s.alive(f.Name)))
	return nil
}

// named finds the function that the path names.
func (s *Server) named(r *request) (*hearth.Function, error) {
	f, err := s.deps.Functions.Get(r.args[0])
	if err != nil && hearth.CodeOf(err) == hearth.ErrNotFound {
		return nil, hearth.Errorf(hearth.ErrNotFound, "There is no function %s. GET /hearth/v1/functions lists those that exist.", clip(r.args[0]))
	}
	return f, err
}

// putInput is what PUT /hearth/v1/functions/NAME takes. What is left out stays as it
// is, or is the default if the function is new.
type putInput struct {
	Config   configDoc         `json:"config"`
	Tags     map[string]string `json:"tags"`     // all of them, when given
	Reserved json.RawMessage   `json:"reserved"` // a number; null removes it
	Code     []byte            `json:"code"`     // the archive
}

// putFunction creates a function or changes it, code and configuration in one step.
func (s *Server) putFunction(r *request) error {
	name := r.args[0]
	if err := hearth.ValidateName(name); err != nil {
		return err
	}
	var in putInput
	if err := decodeStrictly(r.ctx.Request.Body(), &in); err != nil {
		return err
	}
	if len(in.Code) > hearth.MaxZipBytes {
		return hearth.Errorf(hearth.ErrTooLarge, "The archive has %d bytes, at most %d are allowed.", len(in.Code), hearth.MaxZipBytes)
	}
	// Somebody else may create or delete it between the look and the act.
	for range 8 {
		status, f, err := s.putOnce(name, &in)
		code := hearth.CodeOf(err)
		if err != nil && (status == 201 && code == hearth.ErrConflict || status == 200 && code == hearth.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		s.writeLine(r.ctx, status, s.docOf(r, f, s.alive(name)))
		return nil
	}
	return hearth.Errorf(hearth.ErrConflict, "Function %s is being created and deleted by others at the same time; try again.", name)
}

// putOnce also returns the status that success has: 201 when it meant to create.
func (s *Server) putOnce(name string, in *putInput) (int, *hearth.Function, error) {
	_, err := s.deps.Functions.Get(name)
	if err == nil {
		u := registry.Update{Edit: in.apply}
		if len(in.Code) > 0 {
			u.Zip = in.Code
		}
		f, err := s.deps.Functions.Update(s.work, name, u)
		return 200, f, err
	}
	if hearth.CodeOf(err) != hearth.ErrNotFound {
		return 0, nil, err
	}
	if len(in.Code) == 0 {
		return 0, nil, hearth.Errorf(hearth.ErrInvalid, "There is no function %s yet, so its code is needed to create it: send an archive as \"code\", in base64.", name)
	}
	f := &hearth.Function{Name: name}
	f.Latest.Config.Normalize()
	if err := in.apply(f); err != nil {
		return 0, nil, err
	}
	if err := f.Validate(); err != nil {
		return 0, nil, err
	}
	created, err := s.deps.Functions.Create(s.work, f, in.Code)
	return 201, created, err
}

// apply makes the change in f. The configuration has the last word, after tags.
func (in *putInput) apply(f *hearth.Function) error {
	if in.Tags != nil {
		changed := maps.Clone(in.Tags)
		maps.DeleteFunc(changed, func(key, value string) bool { return f.Tags[key] == value })
		if err := setTags(f, in.Tags, changed); err != nil {
			return err
		}
	}
	switch text := string(in.Reserved); text {
	case "":
	case "null":
		f.Reserved = nil
	default:
		var n int
		if json.Unmarshal(in.Reserved, &n) != nil || n < 0 {
			return hearth.Errorf(hearth.ErrInvalid, "reserved is %s; it must be a number from 0 up, or null.", clip(text))
		}
		f.Reserved = &n
	}
	in.Config.patch().Apply(&f.Latest.Config)
	return f.Latest.Config.Validate()
}

// decodeStrictly reads a JSON object and refuses members that v does not have.
func decodeStrictly(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return hearth.Errorf(hearth.ErrInvalid, "The body goes on after its JSON object.")
		}
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return notJSON(body)
	}
	message := strings.TrimPrefix(err.Error(), "json: ")
	if strings.HasPrefix(message, "unknown field") {
		message += "; the body has config, tags, reserved and code, and config has " + configKeys
	}
	return hearth.Errorf(hearth.ErrInvalid, "The body is not as it should be: %s.", message)
}

func (s *Server) removeFunction(r *request) error {
	f, err := s.named(r)
	if err != nil {
		return err
	}
	if err := s.deps.Functions.Delete(s.work, f.Name); err != nil {
		return err
	}
	r.ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// code sends the function's archive.
func (s *Server) code(r *request) error {
	f, err := s.named(r)
	if err != nil {
		return err
	}
	archive, err := s.deps.Functions.OpenCode(s.work, f.Latest.Code.Digest)
	if err != nil {
		return err
	}
	h := &r.ctx.Response.Header
	r.ctx.SetContentType("application/zip")
	h.Set("Content-Disposition", `attachment; filename="`+f.Name+`.zip"`)
	h.Set("Etag", `"`+f.Latest.Code.Digest+`"`)
	r.ctx.SetBodyStream(archive, int(f.Latest.Code.Size)) // closed by fasthttp
	return nil
}
