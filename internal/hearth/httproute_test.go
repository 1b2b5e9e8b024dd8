package hearth

import (
	"strings"
	"testing"
)

func TestHTTPRouteValidate(t *testing.T) {
	good := []string{"/", DefaultPath, "/users", "/users/{id}", "/a/{b}/c", "/files/{proxy+}", "/a.b/c-d_e~f"}
	for _, path := range good {
		r := HTTPRoute{Service: "s", Method: "GET", Path: path, Payload: Payload1}
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for want, r := range map[string]HTTPRoute{
		"service of a route":   {Method: "GET", Path: "/"},
		`the method "get"`:     {Service: "s", Method: "get", Path: "/"},
		"must begin with /":    {Service: "s", Method: "GET", Path: "users"},
		`the part "{id"`:       {Service: "s", Method: "GET", Path: "/users/{id"},
		`the part "{proxy+}"`:  {Service: "s", Method: "GET", Path: "/{proxy+}/x"},
		`the part ""`:          {Service: "s", Method: "GET", Path: "/a//b"},
		`payload format "3.0"`: {Service: "s", Method: "GET", Path: "/", Payload: "3.0"},
		"is too long":          {Service: "s", Method: "GET", Path: "/" + strings.Repeat("x", 1025)},
	} {
		if err := r.Validate(); CodeOf(err) != ErrInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
	f := Function{Name: "f", Routes: make([]HTTPRoute, MaxRoutes+1)}
	f.Latest.Config = validConfig()
	if CodeOf(f.Validate()) != ErrInvalid {
		t.Error("any number of routes is accepted")
	}
}

func TestHTTPRouteKey(t *testing.T) {
	key := func(path string) string { return HTTPRoute{Service: "s", Method: "GET", Path: path}.Key() }
	if key("/users/{id}") != key("/users/{name}") {
		t.Error("a parameter's name makes a difference")
	}
	for _, other := range []string{"/users/id", "/users/{id+}", "/users", DefaultPath} {
		if key("/users/{id}") == key(other) {
			t.Errorf("/users/{id} and %s are the same", other)
		}
	}
}
