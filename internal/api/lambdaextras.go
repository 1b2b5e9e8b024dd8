package api

import (
	"cmp"
	"maps"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/registry"
)

type concurrencyOutput struct {
	Reserved *int `json:"ReservedConcurrentExecutions,omitempty"`
}

func (s *Server) putConcurrency(r *request) error {
	var in concurrencyOutput
	if err := r.decode(&in); err != nil {
		return err
	}
	if in.Reserved == nil || *in.Reserved < 0 {
		return hearth.Errorf(hearth.ErrInvalid, "ReservedConcurrentExecutions must be given as a number from 0 up; 0 refuses every invocation.")
	}
	if err := s.edit(r, func(f *hearth.Function) error { f.Reserved = in.Reserved; return nil }); err != nil {
		return err
	}
	return s.reply(r, 200, in)
}

func (s *Server) deleteConcurrency(r *request) error {
	if err := s.edit(r, func(f *hearth.Function) error { f.Reserved = nil; return nil }); err != nil {
		return err
	}
	return s.reply(r, 204, nil)
}

func (s *Server) getConcurrency(r *request) error {
	_, f, err := s.head(r, "Reserved concurrency")
	if err != nil {
		return err
	}
	return s.reply(r, 200, concurrencyOutput{f.Reserved})
}

// edit changes the function that the path names.
func (s *Server) edit(r *request, change func(*hearth.Function) error) error {
	ref, _, err := s.head(r, "This")
	if err != nil {
		return err
	}
	var refused error
	_, err = s.deps.Functions.Update(s.work, ref.Name, registry.Update{Edit: func(f *hearth.Function) error {
		refused = change(f)
		return refused
	}})
	if refused != nil {
		return refused
	}
	return s.notFound(err, ref)
}

func (s *Server) tagResource(r *request) error {
	var in struct{ Tags map[string]string }
	if err := r.decode(&in); err != nil {
		return err
	}
	if len(in.Tags) == 0 {
		return hearth.Errorf(hearth.ErrInvalid, "Tags must be given: an object of names and values.")
	}
	if err := s.editTags(r, func(f *hearth.Function) error {
		tags := maps.Clone(f.Tags)
		if tags == nil {
			tags = make(map[string]string, len(in.Tags))
		}
		maps.Copy(tags, in.Tags)
		return setTags(f, tags, in.Tags)
	}); err != nil {
		return err
	}
	return s.reply(r, 204, nil)
}

// setTags gives f all the tags, and the configuration that the changed ones ask for.
// The others have had their say before; but a number of invocations means nothing for
// the model where another tag names it.
func setTags(f *hearth.Function, all, changed map[string]string) error {
	f.Tags = changed
	if model, told := all[hearth.TagModel]; told && changed[hearth.TagMaxConcurrency] != "" {
		f.Tags = maps.Clone(changed)
		f.Tags[hearth.TagModel] = model
	}
	err := hearth.ApplyTags(f)
	f.Tags = maps.Clone(all)
	if err != nil {
		return err
	}
	return hearth.ValidateTags(all)
}

func (s *Server) untagResource(r *request) error {
	keys := r.query.all("tagKeys")
	if len(keys) == 0 {
		return hearth.Errorf(hearth.ErrInvalid, "tagKeys must be given: the names of the tags to remove.")
	}
	if err := s.editTags(r, func(f *hearth.Function) error {
		for _, key := range keys {
			delete(f.Tags, key)
		}
		return nil
	}); err != nil {
		return err
	}
	return s.reply(r, 204, nil)
}

func (s *Server) editTags(r *request, change func(*hearth.Function) error) error {
	if err := wholeFunction(r); err != nil {
		return err
	}
	return s.edit(r, change)
}

func (s *Server) listTags(r *request) error {
	if err := wholeFunction(r); err != nil {
		return err
	}
	_, f, err := s.get(r)
	if err != nil {
		return err
	}
	tags := f.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return s.reply(r, 200, map[string]any{"Tags": tags})
}

func wholeFunction(r *request) error {
	ref, err := r.ref()
	if err == nil && ref.Qualifier != "" {
		return hearth.Errorf(hearth.ErrInvalid, "Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return err
}

// urlInput is what FunctionUrlConfig operations take. What would not be enforced is
// refused: an owner might rely on it.
type urlInput struct {
	AuthType   string
	InvokeMode string
	Cors       map[string]any
}

// The modes of a function URL. A function that streams streams in both here: the mode
// is kept for those who ask for it.
const (
	invokeBuffered = "BUFFERED"
	invokeStream   = "RESPONSE_STREAM"
)

// check wants keys to know whether there are any.
func (in *urlInput) check(keys bool) error {
	switch {
	case in.AuthType == authIAM && !keys:
		return hearth.Errorf(hearth.ErrInvalid, "AuthType AWS_IAM needs access keys to check signatures with, and this platform has none: start it with hearth up --access-keys-file FILE, or use NONE and keep strangers from this address.")
	case in.AuthType != authNone && in.AuthType != authIAM && in.AuthType != "":
		return hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value '%s' at 'authType' failed to satisfy constraint: Member must satisfy enum value set: [NONE, AWS_IAM]", clip(in.AuthType))
	case in.InvokeMode != "" && in.InvokeMode != invokeBuffered && in.InvokeMode != invokeStream:
		return hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value '%s' at 'invokeMode' failed to satisfy constraint: Member must satisfy enum value set: [BUFFERED, RESPONSE_STREAM]", clip(in.InvokeMode))
	case len(in.Cors) > 0:
		return hearth.Errorf(hearth.ErrNotImplemented, "Cors is not there yet in this version of Hearth: let the function answer OPTIONS and set the Access-Control headers itself.")
	}
	return nil
}

type urlOutput struct {
	FunctionURL  string `json:"FunctionUrl"`
	FunctionArn  string
	AuthType     string
	InvokeMode   string
	CreationTime string
	LastModified string `json:"LastModifiedTime,omitempty"`
}

func (s *Server) urlOf(r *request, f *hearth.Function) urlOutput {
	return urlOutput{
		FunctionURL: r.base() + urlPrefix + f.Name + "/", FunctionArn: s.arn(f.Name, ""),
		AuthType: f.URL.AuthType, InvokeMode: cmp.Or(f.URL.InvokeMode, invokeBuffered),
		CreationTime: isoTime(f.URL.Created), LastModified: isoTime(f.URL.LastModified),
	}
}

func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *Server) createURLConfig(r *request) error {
	return s.writeURLConfig(r, 201, func(f *hearth.Function, in *urlInput, now time.Time) error {
		if f.URL != nil {
			return hearth.Errorf(hearth.ErrConflict, "Failed to create function url config for [functionArn = %s]. Error message:  FunctionUrlConfig exists for this Lambda function", s.arn(f.Name, ""))
		}
		f.URL = &hearth.URLConfig{AuthType: cmp.Or(in.AuthType, authNone), InvokeMode: in.InvokeMode, Created: now, LastModified: now}
		return nil
	})
}

func (s *Server) updateURLConfig(r *request) error {
	return s.writeURLConfig(r, 200, func(f *hearth.Function, in *urlInput, now time.Time) error {
		if f.URL == nil {
			return errNoResource()
		}
		// Functions of this revision may be in use: they are not changed.
		url := *f.URL
		f.URL = &url
		f.URL.LastModified = now
		f.URL.AuthType = cmp.Or(in.AuthType, f.URL.AuthType)
		f.URL.InvokeMode = cmp.Or(in.InvokeMode, f.URL.InvokeMode)
		return nil
	})
}

func (s *Server) writeURLConfig(r *request, status int, change func(*hearth.Function, *urlInput, time.Time) error) error {
	var in urlInput
	if err := r.decode(&in); err != nil {
		return err
	}
	if err := in.check(s.auth != nil); err != nil {
		return err
	}
	ref, _, err := s.head(r, "A function URL")
	if err != nil {
		return err
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	f, err := s.deps.Functions.Update(s.work, ref.Name, registry.Update{
		Edit: func(f *hearth.Function) error { return change(f, &in, now) },
	})
	if err != nil {
		return err
	}
	return s.reply(r, status, s.urlOf(r, f))
}

func (s *Server) getURLConfig(r *request) error {
	_, f, err := s.head(r, "A function URL")
	if err != nil {
		return err
	}
	if f.URL == nil {
		return errNoResource()
	}
	return s.reply(r, 200, s.urlOf(r, f))
}

func (s *Server) deleteURLConfig(r *request) error {
	if err := s.edit(r, func(f *hearth.Function) error {
		if f.URL == nil {
			return errNoResource()
		}
		f.URL = nil
		return nil
	}); err != nil {
		return err
	}
	return s.reply(r, 204, nil)
}

func (s *Server) listURLConfigs(r *request) error {
	_, f, err := s.head(r, "A function URL")
	if err != nil {
		return err
	}
	list := []urlOutput{}
	if f.URL != nil {
		list = append(list, s.urlOf(r, f))
	}
	return s.reply(r, 200, map[string]any{"FunctionUrlConfigs": list})
}

func errNoResource() error {
	return hearth.Errorf(hearth.ErrNotFound, "The resource you requested does not exist.")
}

func (s *Server) getPolicy(r *request) error {
	if _, _, err := s.get(r); err != nil {
		return err
	}
	return errNoResource()
}

func (s *Server) getCodeSigning(r *request) error {
	_, f, err := s.head(r, "Code signing")
	if err != nil {
		return err
	}
	return s.reply(r, 200, map[string]string{"CodeSigningConfigArn": "", "FunctionName": f.Name})
}

type accountOutput struct {
	AccountLimit struct {
		CodeSizeUnzipped     int64
		CodeSizeZipped       int64
		ConcurrentExecutions int `json:",omitempty"`
		Unreserved           int `json:"UnreservedConcurrentExecutions,omitempty"`
	}
	AccountUsage struct {
		TotalCodeSize int64
		FunctionCount int
	}
}

func (s *Server) accountSettings(r *request) error {
	var out accountOutput
	out.AccountLimit.CodeSizeUnzipped = hearth.MaxUnzippedBytes
	out.AccountLimit.CodeSizeZipped = hearth.MaxZipBytes
	out.AccountLimit.ConcurrentExecutions = s.cfg.AccountLimit
	free := s.cfg.AccountLimit
	for _, f := range s.deps.Functions.List() {
		out.AccountUsage.FunctionCount++
		out.AccountUsage.TotalCodeSize += f.Latest.Code.Size
		if f.Reserved != nil {
			free -= *f.Reserved
		}
	}
	out.AccountLimit.Unreserved = max(free, 0)
	return s.reply(r, 200, out)
}
