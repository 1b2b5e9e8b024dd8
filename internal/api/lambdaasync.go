package api

import (
	"time"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
	"hearth/internal/registry"
)

const eventInvokePath = "/2019-09-25/functions/{}/event-invoke-config"

// invokeAsync is the old way to invoke asynchronously (Lambda API, InvokeAsync).
func (s *Server) invokeAsync(r *request) error {
	t, err := s.target([]byte(r.args[0]), nil)
	if err != nil {
		return err
	}
	body, err := payload(r.ctx.Request.Body())
	if err != nil {
		return err
	}
	event := invoke.Request{ID: r.id, Function: t.name, Qualifier: t.qualifier, InvokedARN: t.arn, Payload: body}
	if err := s.submit(&event, t); err != nil {
		return err
	}
	return s.reply(r, 202, map[string]int{"Status": 202})
}

// eventInvoke is Lambda's FunctionEventInvokeConfig as it is sent. Nil means left out.
type eventInvoke struct {
	MaximumRetryAttempts     *int               `json:"MaximumRetryAttempts,omitempty"`
	MaximumEventAgeInSeconds *int               `json:"MaximumEventAgeInSeconds,omitempty"`
	DestinationConfig        *destinationConfig `json:"DestinationConfig,omitempty"`
}

type destinationConfig struct {
	OnSuccess *destination `json:"OnSuccess,omitempty"`
	OnFailure *destination `json:"OnFailure,omitempty"`
}

type destination struct {
	Destination string `json:"Destination,omitempty"`
}

// eventInvokeOutput is the same as it is answered.
type eventInvokeOutput struct {
	LastModified float64 // seconds since 1970
	FunctionArn  string
	eventInvoke
}

// apply changes a and refuses what cannot be meant.
func (in *eventInvoke) apply(function string, a *hearth.AsyncConfig) error {
	if in.MaximumRetryAttempts != nil {
		n := *in.MaximumRetryAttempts
		a.Retries = &n
	}
	if n := in.MaximumEventAgeInSeconds; n != nil {
		if *n <= 0 { // zero would be the default
			return hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value '%d' at 'maximumEventAgeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to %d",
				*n, int(hearth.MinEventAge.Seconds()))
		}
		a.MaxAge = time.Duration(min(*n, 1<<20)) * time.Second
	}
	if c := in.DestinationConfig; c != nil {
		set := func(field *string, d *destination) {
			if d != nil {
				*field = d.Destination
			}
		}
		set(&a.OnSuccess, c.OnSuccess)
		set(&a.OnFailure, c.OnFailure)
	}
	return checkAsync(function, a)
}

// checkAsync refuses what cannot be meant.
func checkAsync(function string, a *hearth.AsyncConfig) error {
	for _, text := range []string{a.OnSuccess, a.OnFailure} {
		if d, err := hearth.ParseDestination(text); err == nil && d.Kind == hearth.ToFunction && d.Function.Name == function {
			return hearth.Errorf(hearth.ErrInvalid, "You can't specify the function as a destination for itself.")
		}
	}
	return a.Validate()
}

func (s *Server) putEventInvokeConfig(r *request) error {
	return s.writeEventInvokeConfig(r, func(f *hearth.Function) (*hearth.AsyncConfig, error) {
		return &hearth.AsyncConfig{DeadLetter: deadLetterOf(f)}, nil // all else is replaced
	})
}

func (s *Server) updateEventInvokeConfig(r *request) error {
	return s.writeEventInvokeConfig(r, func(f *hearth.Function) (*hearth.AsyncConfig, error) {
		if !hasEventInvoke(f) {
			return nil, s.noEventInvoke(f.Name)
		}
		return f.Async, nil
	})
}

func deadLetterOf(f *hearth.Function) string {
	if f.Async == nil {
		return ""
	}
	return f.Async.DeadLetter
}

// writeEventInvokeConfig changes what begin returns, and stores it.
func (s *Server) writeEventInvokeConfig(r *request, begin func(*hearth.Function) (*hearth.AsyncConfig, error)) error {
	var in eventInvoke
	if err := r.decode(&in); err != nil {
		return err
	}
	if in == (eventInvoke{}) {
		return hearth.Errorf(hearth.ErrInvalid, "You must specify at least one of error handling or destination setting.")
	}
	ref, _, err := s.head(r, "EventInvokeConfig")
	if err != nil {
		return err
	}
	now := s.now().UTC().Truncate(time.Second)
	var refused error
	f, err := s.deps.Functions.Update(s.work, ref.Name, registry.Update{Edit: func(f *hearth.Function) error {
		a, err := begin(f)
		if err == nil {
			a.LastModified = now
			f.Async = a
			err = in.apply(f.Name, a)
		}
		refused = err
		return err
	}})
	if refused != nil {
		return refused
	}
	if err != nil {
		return s.notFound(err, ref)
	}
	return s.reply(r, 200, s.eventInvokeOf(f))
}

// hasEventInvoke tells whether the configuration was made by this API: one that only
// names a dead-letter target was not.
func hasEventInvoke(f *hearth.Function) bool { return f.Async != nil && !f.Async.LastModified.IsZero() }

func (s *Server) eventInvokeOf(f *hearth.Function) eventInvokeOutput {
	a := f.Async
	out := eventInvokeOutput{
		LastModified: float64(a.LastModified.UnixMilli()) / 1000, FunctionArn: s.arn(f.Name, hearth.Latest),
		eventInvoke: eventInvoke{
			MaximumRetryAttempts: a.Retries,
			DestinationConfig:    &destinationConfig{OnSuccess: &destination{a.OnSuccess}, OnFailure: &destination{a.OnFailure}},
		},
	}
	if a.MaxAge > 0 {
		seconds := int(a.MaxAge / time.Second)
		out.MaximumEventAgeInSeconds = &seconds
	}
	return out
}

func (s *Server) getEventInvokeConfig(r *request) error {
	_, f, err := s.head(r, "EventInvokeConfig")
	if err != nil {
		return err
	}
	if !hasEventInvoke(f) {
		return s.noEventInvoke(f.Name)
	}
	return s.reply(r, 200, s.eventInvokeOf(f))
}

func (s *Server) noEventInvoke(name string) error {
	return hearth.Errorf(hearth.ErrNotFound, "The function %s doesn't have an EventInvokeConfig", s.arn(name, hearth.Latest))
}

func (s *Server) listEventInvokeConfigs(r *request) error {
	_, f, err := s.head(r, "EventInvokeConfig")
	if err != nil {
		return err
	}
	list := []eventInvokeOutput{}
	if hasEventInvoke(f) {
		list = append(list, s.eventInvokeOf(f))
	}
	return s.reply(r, 200, map[string]any{"FunctionEventInvokeConfigs": list})
}

func (s *Server) deleteEventInvokeConfig(r *request) error {
	if err := s.edit(r, func(f *hearth.Function) error {
		if !hasEventInvoke(f) {
			return s.noEventInvoke(f.Name)
		}
		f.Async = orNothing(&hearth.AsyncConfig{DeadLetter: f.Async.DeadLetter})
		return nil
	}); err != nil {
		return err
	}
	return s.reply(r, 204, nil)
}
