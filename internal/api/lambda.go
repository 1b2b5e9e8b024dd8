package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"hearth/internal/hearth"
)

// lambdaRoutes are Lambda's operations. Most calls of Invoke go another, shorter way
// (see route). Those that read what cannot exist yet tell the truth: there is none.
func (s *Server) lambdaRoutes() []route {
	const function = functionsPath + "/{}"
	routes := []route{
		{"POST", functionsPath + "/{}/invocations", (*Server).invokeByTable},
		{"POST", streamingPath + "{}/response-streaming-invocations", (*Server).invokeStreaming},
		{"POST", functionsPath, (*Server).createFunction},
		{"GET", functionsPath, (*Server).listFunctions},
		{"GET", function, (*Server).getFunction},
		{"DELETE", function, (*Server).deleteFunction},
		{"GET", function + "/configuration", (*Server).getConfiguration},
		{"PUT", function + "/configuration", (*Server).updateConfiguration},
		{"PUT", function + "/code", (*Server).updateCode},
		{"POST", function + "/versions", (*Server).publishVersion},
		{"GET", function + "/versions", (*Server).listVersions},
		{"POST", function + "/aliases", (*Server).createAlias},
		{"GET", function + "/aliases", (*Server).listAliases},
		{"GET", function + "/aliases/{}", (*Server).getAlias},
		{"PUT", function + "/aliases/{}", (*Server).updateAlias},
		{"DELETE", function + "/aliases/{}", (*Server).deleteAlias},
		{"GET", function + "/policy", (*Server).getPolicy},

		{"PUT", "/2017-10-31/functions/{}/concurrency", (*Server).putConcurrency},
		{"DELETE", "/2017-10-31/functions/{}/concurrency", (*Server).deleteConcurrency},
		{"GET", "/2019-09-30/functions/{}/concurrency", (*Server).getConcurrency},
		{"PUT", "/2019-09-30/functions/{}/provisioned-concurrency", (*Server).putProvisioned},
		{"GET", "/2019-09-30/functions/{}/provisioned-concurrency", (*Server).getProvisioned},
		{"DELETE", "/2019-09-30/functions/{}/provisioned-concurrency", (*Server).deleteProvisioned},
		{"POST", "/2014-11-13/functions/{}/invoke-async", (*Server).invokeAsync},
		{"PUT", eventInvokePath, (*Server).putEventInvokeConfig},
		{"POST", eventInvokePath, (*Server).updateEventInvokeConfig},
		{"GET", eventInvokePath, (*Server).getEventInvokeConfig},
		{"DELETE", eventInvokePath, (*Server).deleteEventInvokeConfig},
		{"GET", eventInvokePath + "/list", (*Server).listEventInvokeConfigs},
		{"GET", "/2020-06-30/functions/{}/code-signing-config", (*Server).getCodeSigning},

		{"POST", "/2017-03-31/tags/{...}", (*Server).tagResource},
		{"GET", "/2017-03-31/tags/{...}", (*Server).listTags},
		{"DELETE", "/2017-03-31/tags/{...}", (*Server).untagResource},

		{"POST", "/2021-10-31/functions/{}/url", (*Server).createURLConfig},
		{"GET", "/2021-10-31/functions/{}/url", (*Server).getURLConfig},
		{"PUT", "/2021-10-31/functions/{}/url", (*Server).updateURLConfig},
		{"DELETE", "/2021-10-31/functions/{}/url", (*Server).deleteURLConfig},
		{"GET", "/2021-10-31/functions/{}/urls", (*Server).listURLConfigs},

		{"GET", "/2016-08-19/account-settings", (*Server).accountSettings},
	}
	for _, later := range laterOperations {
		routes = append(routes, route{later.method, later.pattern, notYet(later.what)})
	}
	return routes
}

// laterOperations are known and answered with 501, in words.
var laterOperations = [...]struct{ method, pattern, what string }{
	{"POST", functionsPath + "/{}/policy", "Permissions (Hearth checks none: everyone who can reach this address may invoke)"},
	{"DELETE", functionsPath + "/{}/policy/{}", "Permissions (Hearth checks none: everyone who can reach this address may invoke)"},
	{"GET", "/2015-03-31/event-source-mappings", "Event source mappings"},
	{"POST", "/2015-03-31/event-source-mappings", "Event source mappings"},
	{"GET", "/2018-10-31/layers", "Layers"},
	{"POST", "/2018-10-31/layers/{}/versions", "Layers"},
	{"PUT", "/2020-06-30/functions/{}/code-signing-config", "Code signing"},
}

func notYet(what string) func(*Server, *request) error {
	return func(*Server, *request) error {
		return hearth.Errorf(hearth.ErrNotImplemented, "%s is not there yet in this version of Hearth.", what)
	}
}

// decode reads the body, a JSON object, into v. Unknown members are ignored, as
// Lambda does.
func (r *request) decode(v any) error {
	body := r.ctx.Request.Body()
	if len(body) == 0 {
		body = []byte("{}")
	}
	err := json.Unmarshal(body, v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return hearth.Errorf(hearth.ErrInvalidRequest, "Could not parse request body into json: %s", wrongType(wrong))
	case strings.Contains(err.Error(), "base64"):
		return hearth.Errorf(hearth.ErrInvalidRequest, "Could not parse request body into json: the archive is not base64.")
	}
	return notJSON(body)
}

// wrongType says what a member should be, without the words of a Go programmer.
func wrongType(e *json.UnmarshalTypeError) string {
	field := strings.TrimPrefix(e.Field, "settings.")
	want := map[reflect.Kind]string{
		reflect.Int: "a number", reflect.String: "a string", reflect.Bool: "true or false",
		reflect.Map: "an object", reflect.Struct: "an object", reflect.Slice: "an array",
	}[e.Type.Kind()]
	if field == "" {
		field = "the whole"
	}
	return fmt.Sprintf("%s must be %s, not %s", field, want, e.Value)
}

// reply answers with v.
func (s *Server) reply(r *request, status int, v any) error {
	if v == nil {
		r.ctx.SetStatusCode(status)
		return nil
	}
	s.writeJSON(r.ctx, status, v)
	return nil
}

// ref is the function that the path names, with the Qualifier parameter.
func (r *request) ref() (hearth.FunctionRef, error) {
	return parseRef(r.args[0], r.query.get("Qualifier"))
}

// get finds the function that the path names, whatever the qualifier.
func (s *Server) get(r *request) (hearth.FunctionRef, *hearth.Function, error) {
	ref, err := r.ref()
	if err != nil {
		return ref, nil, err
	}
	f, err := s.deps.Functions.Get(ref.Name)
	if err != nil {
		return ref, nil, s.notFound(err, ref)
	}
	return ref, f, nil
}

// getVersion finds the function and the version that the path names: of an alias with
// two versions the one that is its own.
func (s *Server) getVersion(r *request) (hearth.FunctionRef, *hearth.Function, *hearth.Version, error) {
	ref, f, err := s.get(r)
	if err != nil {
		return ref, nil, nil, err
	}
	number := ref.Qualifier
	if a := f.Alias(number); a != nil {
		number = a.Version
	}
	v := f.Version(number)
	if v == nil {
		return ref, nil, nil, hearth.Errorf(hearth.ErrNotFound, "Function not found: %s", s.arn(ref.Name, ref.Qualifier))
	}
	return ref, f, v, nil
}

// head finds the function itself, for operations that versions do not have.
func (s *Server) head(r *request, operation string) (hearth.FunctionRef, *hearth.Function, error) {
	ref, f, err := s.get(r)
	if err == nil && ref.Qualifier != "" && ref.Qualifier != hearth.Latest {
		err = hearth.Errorf(hearth.ErrInvalid, "%s is about the function as a whole: leave the qualifier %q out.", operation, ref.Qualifier)
	}
	return ref, f, err
}

// notFound words err, if that is what it says, as Lambda does.
func (s *Server) notFound(err error, ref hearth.FunctionRef) error {
	if err == nil || hearth.CodeOf(err) != hearth.ErrNotFound {
		return err
	}
	return hearth.Errorf(hearth.ErrNotFound, "Function not found: %s", s.arn(ref.Name, ref.Qualifier))
}
