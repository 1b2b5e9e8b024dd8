package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/registry"
	"hearth/internal/trigger"
)

// putInput is what PUT /hearth/v1/functions/NAME takes. What is left out stays as it
// is, or is the default if the function is new.
type putInput struct {
	Config   configDoc         `json:"config"`
	Tags     map[string]string `json:"tags"`     // all of them, when given
	Reserved json.RawMessage   `json:"reserved"` // a number; null removes it
	// Provisioned is the provisioned concurrency of $LATEST: a number; null removes it.
	Provisioned json.RawMessage `json:"provisioned"`
	// Routes are paths below /http/; all of them, when given.
	Routes []hearth.HTTPRoute `json:"routes"`
	// Triggers are schedules and subjects; all of them, when given.
	Triggers []hearth.Trigger `json:"triggers"`
	// Async is what becomes of asynchronous invocations, all of it; null means the defaults.
	Async json.RawMessage `json:"async"`
	Code  []byte          `json:"code"` // the archive

	now time.Time
}

// putFunction creates a function or changes it, code and configuration in one step.
func (s *Server) putFunction(r *request) error {
	name := r.args[0]
	if err := hearth.ValidateName(name); err != nil {
		return err
	}
	in := putInput{now: s.now().UTC().Truncate(time.Second)}
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
	if err := applyProvisioned(f, in.Provisioned); err != nil {
		return err
	}
	if in.Routes != nil {
		f.Routes = slices.Clone(in.Routes)
	}
	if in.Triggers != nil {
		f.Triggers = slices.Clone(in.Triggers)
		for i := range f.Triggers {
			if err := trigger.Check(&f.Triggers[i]); err != nil {
				return err
			}
		}
	}
	if in.Async != nil {
		if err := setAsync(f, in.Async, in.now); err != nil {
			return err
		}
	}
	in.Config.patch().Apply(&f.Latest.Config)
	hearth.RetellTags(f)
	return f.Validate()
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
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		message = wrongType(wrong)
	}
	if strings.HasPrefix(message, "unknown field") {
		message += "; the body has config, tags, reserved, provisioned, routes, triggers, async and code, and config has " + configKeys
	}
	return hearth.Errorf(hearth.ErrInvalid, "The body is not as it should be: %s.", message)
}
