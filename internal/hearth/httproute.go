package hearth

import (
	"regexp"
	"slices"
	"strings"
)

// Payload formats of Lambda's HTTP events, as API Gateway numbers them.
const (
	Payload1 = "1.0" // REST APIs: the http event of a serverless.yml
	Payload2 = "2.0" // HTTP APIs (httpApi) and function URLs
)

// AnyMethod as an HTTPRoute's method stands for every method.
const AnyMethod = "ANY"

// DefaultPath as an HTTPRoute's path stands for everything that no other route takes.
const DefaultPath = "$default"

// MaxRoutes bounds the routes of one function.
const MaxRoutes = 300

// HTTPRoute is a path below /http/SERVICE at which a function answers, as its project's
// file declares it: an API Gateway for one function.
type HTTPRoute struct {
	Service string `json:"service"`
	Method  string `json:"method"`            // "GET", …, or AnyMethod
	Path    string `json:"path"`              // "/users/{id}", "/files/{proxy+}", or DefaultPath
	Payload string `json:"payload,omitempty"` // Payload1 or Payload2; Payload2 when empty
	Stage   string `json:"stage,omitempty"`   // what events of Payload1 name as their stage
}

var (
	routeSegment = regexp.MustCompile(`^([A-Za-z0-9._~:@!$&'*,;=()%-]+|\{[A-Za-z0-9._-]+\+?\})$`)
	routeMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", AnyMethod}
)

// Validate checks one route. The error is an *Error with ErrInvalid.
func (r *HTTPRoute) Validate() error {
	if !namePattern.MatchString(r.Service) {
		return Errorf(ErrInvalid, "The service of a route is %q; it must be 1 to %d letters, digits, '-' and '_'.", clip(r.Service), MaxNameLen)
	}
	if !slices.Contains(routeMethods, r.Method) {
		return Errorf(ErrInvalid, "Route %s has the method %q; it must be one of %s.", clip(r.Path), clip(r.Method), strings.Join(routeMethods, ", "))
	}
	if r.Payload != "" && r.Payload != Payload1 && r.Payload != Payload2 {
		return Errorf(ErrInvalid, "Route %s %s has the payload format %q; it must be %s or %s.", r.Method, clip(r.Path), clip(r.Payload), Payload1, Payload2)
	}
	if len(r.Stage) > MaxNameLen || len(r.Path) > 1024 {
		return Errorf(ErrInvalid, "Route %s %s is too long.", r.Method, clip(r.Path))
	}
	if r.Path == DefaultPath || r.Path == "/" {
		return nil
	}
	rest, ok := strings.CutPrefix(r.Path, "/")
	if !ok {
		return Errorf(ErrInvalid, "The path of a route is %q; it must begin with /, such as /users/{id}.", clip(r.Path))
	}
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		if !routeSegment.MatchString(part) || strings.HasSuffix(part, "+}") && i < len(parts)-1 {
			return Errorf(ErrInvalid, "The path %s of a route has the part %q; a part is plain text, a {parameter}, or, at the end, {proxy+}.", clip(r.Path), clip(part))
		}
	}
	return nil
}

// String writes it as people do: "GET /http/users/{id}".
func (r HTTPRoute) String() string {
	path := r.Path
	if path == DefaultPath {
		path = "/…"
	}
	return r.Method + " /http/" + r.Service + path
}

// routeParameter is a {parameter} of a path, greedy or not.
var routeParameter = regexp.MustCompile(`\{[^{}+]+(\+?)\}`)

// Key is the same for two routes that take the same requests: parameters may have other
// names.
func (r HTTPRoute) Key() string {
	return r.Method + " " + r.Service + routeParameter.ReplaceAllString(r.Path, "{$1}")
}

// validateRoutes checks all routes of a function.
func validateRoutes(routes []HTTPRoute) error {
	if len(routes) > MaxRoutes {
		return Errorf(ErrInvalid, "The function has %d routes; at most %d are allowed.", len(routes), MaxRoutes)
	}
	for i := range routes {
		if err := routes[i].Validate(); err != nil {
			return err
		}
	}
	return nil
}
