package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
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
		{"GET", function + "/versions", (*Server).versionDocs},
		{"GET", function + "/aliases", (*Server).aliasDocs},
		{"POST", function + "/aliases/{}/rollback", (*Server).rollback},
		{"GET", function + "/provisioned", (*Server).getProvisionDoc},
		{"PUT", function + "/provisioned", (*Server).putProvisionDoc},
		{"GET", "/hearth/v1/triggers", (*Server).triggers},
		{"GET", "/hearth/v1/async", (*Server).backlogs},
		{"GET", "/hearth/v1/async/events/{}", (*Server).eventStatus},
		{"GET", "/hearth/v1/dead-letters", (*Server).deadLetters},
		{"DELETE", "/hearth/v1/dead-letters", (*Server).purgeDeadLetters},
		{"GET", "/hearth/v1/dead-letters/{}", (*Server).deadLetter},
		{"DELETE", "/hearth/v1/dead-letters/{}", (*Server).deleteDeadLetter},
		{"POST", "/hearth/v1/dead-letters/{}/replay", (*Server).replay},
		{"GET", "/hearth/v1/backup", (*Server).backup},
		{"POST", restorePath, (*Server).restore},
	}
}

func (s *Server) status(r *request) error {
	status := s.deps.Platform.Status()
	backlogs, err := s.deps.Async.Backlogs(s.work)
	if err != nil && hearth.CodeOf(err) != hearth.ErrNotImplemented {
		s.log.Warn("the status lacks the backlogs", "error", err)
	}
	status.Async = backlogs
	for _, t := range s.triggersOf("") {
		if t.Kind == "nats" {
			status.Triggers = append(status.Triggers, t)
		}
	}
	s.writeLine(r.ctx, 200, status)
	return nil
}

// triggersOf is empty, not nil, where there are none.
func (s *Server) triggersOf(function string) []hearth.TriggerStatus {
	if s.deps.Triggers == nil {
		return []hearth.TriggerStatus{}
	}
	return s.deps.Triggers.Status(s.work, function)
}

func (s *Server) triggers(r *request) error {
	name := r.query.get("function")
	if name != "" {
		if _, err := s.deps.Functions.Get(name); err != nil {
			return hearth.Errorf(hearth.ErrNotFound, "There is no function %s. GET /hearth/v1/functions lists those that exist.", clip(name))
		}
	}
	s.writeLine(r.ctx, 200, map[string]any{"triggers": s.triggersOf(name)})
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
	Routes    []hearth.HTTPRoute   `json:"routes,omitempty"`
	Triggers  []hearth.Trigger     `json:"triggers,omitempty"`
	Created   time.Time            `json:"created"`
	Latest    versionDoc           `json:"latest"`
	// Published is the number of the version published last, Aliases where each leads.
	Published int            `json:"published,omitempty"`
	Aliases   []hearth.Alias `json:"aliases,omitempty"`
	Async     *asyncDoc      `json:"async,omitempty"`
	// Provisioned is what is kept ready, and how far this node is with it.
	Provisioned []hearth.ProvisionInfo `json:"provisioned,omitempty"`
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
	Dialect        *string            `json:"dialect,omitempty"`
	MemoryMB       *int               `json:"memoryMB,omitempty"`
	Timeout        *span              `json:"timeout,omitempty"`
	TmpMB          *int               `json:"tmpMB,omitempty"`
	KeepAlive      *span              `json:"keepAlive,omitempty"`
	Freeze         *bool              `json:"freeze,omitempty"`
	Model          *hearth.Model      `json:"model,omitempty"`
	MaxConcurrency *int               `json:"maxConcurrency,omitempty"`
	Env            *map[string]string `json:"env,omitempty"`
}

// configKeys names the members of configDoc, for those who misspell one.
const configKeys = "description, role, runtime, handler, dialect, memoryMB, timeout, tmpMB, keepAlive, freeze, model, maxConcurrency, env"

func configDocOf(c *hearth.Config) configDoc {
	timeout, keepAlive, dialect := span(c.Timeout), span(c.KeepAlive), c.Dialect.Name()
	doc := configDoc{
		Runtime: &c.Runtime, Handler: &c.Handler, Dialect: &dialect, MemoryMB: &c.MemoryMB, Timeout: &timeout, TmpMB: &c.TmpMB,
		KeepAlive: &keepAlive, Model: &c.Model, MaxConcurrency: &c.MaxConcurrency,
	}
	if c.Description != "" {
		doc.Description = &c.Description
	}
	if c.Role != "" {
		doc.Role = &c.Role
	}
	if c.NoFreeze {
		doc.Freeze = new(bool)
	}
	if len(c.Env) > 0 {
		doc.Env = &c.Env
	}
	return doc
}

func (c *configDoc) patch() *hearth.ConfigPatch {
	p := &hearth.ConfigPatch{
		Description: c.Description, Role: c.Role, Runtime: c.Runtime, Handler: c.Handler, Dialect: (*hearth.Dialect)(c.Dialect), MemoryMB: c.MemoryMB,
		TmpMB: c.TmpMB, Freeze: c.Freeze, Model: c.Model, MaxConcurrency: c.MaxConcurrency, Env: c.Env,
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
		Instances: alive[f.Name], Reserved: f.Reserved, Tags: f.Tags, Routes: f.Routes, Triggers: f.Triggers, Created: f.Created,
		Latest: versionDocOf(v), Published: f.Published, Aliases: f.Aliases, Async: asyncDocOf(f.Async),
		Provisioned: s.provisionInfos(f),
	}
}

func versionDocOf(v *hearth.Version) versionDoc {
	return versionDoc{
		Number: v.Number, Revision: v.Revision, Identity: v.Identity, LastModified: v.LastModified,
		Code: v.Code, Config: configDocOf(&v.Config),
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

// code sends the archive of the function, or of the version that is asked for.
func (s *Server) code(r *request) error {
	f, err := s.named(r)
	if err != nil {
		return err
	}
	number := r.query.get("version")
	v := f.Version(number)
	if v == nil {
		return hearth.Errorf(hearth.ErrNotFound, "Function %s has no version %s. GET /hearth/v1/functions/%s/versions lists those that exist.", f.Name, clip(number), f.Name)
	}
	archive, err := s.deps.Functions.OpenCode(s.work, v.Code.Digest)
	if err != nil {
		return err
	}
	h := &r.ctx.Response.Header
	r.ctx.SetContentType("application/zip")
	h.Set("Content-Disposition", `attachment; filename="`+f.Name+`.zip"`)
	h.Set("Etag", `"`+v.Code.Digest+`"`)
	r.ctx.SetBodyStream(archive, int(v.Code.Size)) // closed by fasthttp
	return nil
}
