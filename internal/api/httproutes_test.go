package api

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
)

func tableOf(routes ...hearth.HTTPRoute) *httpTable {
	t := &httpTable{services: map[string]*httpNode{}}
	for _, r := range routes {
		r.Service = "s"
		t.add(&httpLeaf{HTTPRoute: r})
	}
	return t
}

func TestHTTPRoutePrecedence(t *testing.T) {
	table := tableOf(
		hearth.HTTPRoute{Method: "GET", Path: "/users/{id}"},
		hearth.HTTPRoute{Method: "GET", Path: "/users/me"},
		hearth.HTTPRoute{Method: "ANY", Path: "/users/{id}/pets/{pet}"},
		hearth.HTTPRoute{Method: "GET", Path: "/users/me/friends"},
		hearth.HTTPRoute{Method: "POST", Path: "/{proxy+}"},
		hearth.HTTPRoute{Method: "GET", Path: "/"},
		hearth.HTTPRoute{Method: "DELETE", Path: hearth.DefaultPath},
	)
	for request, want := range map[string]string{
		"GET /users/me":          "GET /users/me",
		"GET /users/7":           "GET /users/{id} 7",
		"GET /users/7/":          "GET /users/{id} 7",
		"GET /users/me/pets/rex": "ANY /users/{id}/pets/{pet} me rex", // back from the literal me
		"GET /users/me/friends":  "GET /users/me/friends",
		"POST /users/me":         "POST /{proxy+} users/me",
		"POST /a/b%2Fc":          "POST /{proxy+} a/b%2Fc",
		"GET /":                  "GET /",
		"GET ":                   "GET /",
		"POST /":                 "known",
		"DELETE /users/me":       "$default",
		"PATCH /users/me":        "known",
		"GET /other":             "known", // by {proxy+}, for POST
		"PATCH /users//pets/rex": "known",
	} {
		method, path, _ := strings.Cut(request, " ")
		m, known := table.find("s", path, method)
		got := "nothing"
		if m.httpLeaf != nil {
			got = strings.Join(append([]string{m.key}, m.values...), " ")
			if len(m.names) != len(m.values) {
				t.Errorf("%s: %d names for %d values", request, len(m.names), len(m.values))
			}
		} else if known {
			got = "known"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
	if m, known := table.find("other", "/users/me", "GET"); m.httpLeaf != nil || known {
		t.Error("another service has the routes too")
	}
}

// The tree finds a route exactly when one of the declared ones fits by itself.
func TestHTTPRoutesAgainstAList(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "{x}", "{y}"})
	rapid.Check(t, func(t *rapid.T) {
		var routes []hearth.HTTPRoute
		for range rapid.IntRange(0, 8).Draw(t, "routes") {
			path := "/" + strings.Join(rapid.SliceOfN(segment, 0, 3).Draw(t, "segments"), "/")
			if rapid.IntRange(0, 3).Draw(t, "greedy") == 0 {
				path = strings.TrimSuffix(path, "/") + "/{proxy+}"
			}
			routes = append(routes, hearth.HTTPRoute{Method: rapid.SampledFrom([]string{"GET", "ANY"}).Draw(t, "method"), Path: path})
		}
		path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 4).Draw(t, "path"), "/")
		method := rapid.SampledFrom([]string{"GET", "PUT"}).Draw(t, "asked")
		m, _ := tableOf(routes...).find("s", path, method)
		fits := slices.ContainsFunc(routes, func(r hearth.HTTPRoute) bool { return fitsRoute(r, path, method) })
		if (m.httpLeaf != nil) != fits {
			t.Fatalf("%s %s in %v: found %v, but one fits: %v", method, path, routes, m.httpLeaf != nil, fits)
		}
		if m.httpLeaf != nil && !fitsRoute(m.HTTPRoute, path, method) {
			t.Fatalf("%s %s led to %v", method, path, m.HTTPRoute)
		}
	})
}

func fitsRoute(r hearth.HTTPRoute, path, method string) bool {
	if r.Method != method && r.Method != hearth.AnyMethod {
		return false
	}
	want, have := strings.Split(r.Path, "/"), strings.Split(path, "/")
	for i := range want {
		if strings.HasSuffix(want[i], "+}") {
			return i < len(have) && have[i] != ""
		}
		if i >= len(have) || want[i] != have[i] && (want[i] == "" || want[i][0] != '{' || have[i] == "") {
			return false
		}
	}
	return len(want) == len(have)
}

func BenchmarkHTTPRoute(b *testing.B) {
	var routes []hearth.HTTPRoute
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		routes = append(routes, hearth.HTTPRoute{Method: "GET", Path: "/api/" + string(c) + "/{id}/items/{item}"})
	}
	table := tableOf(routes...)
	b.ReportAllocs()
	for b.Loop() {
		if m, _ := table.find("s", "/api/q/17/items/4", "GET"); m.httpLeaf == nil {
			b.Fatal("not found")
		}
	}
}

// A declared path streams where the function does, with either payload format.
func TestDeclaredPathStreams(t *testing.T) {
	for _, payload := range []string{hearth.Payload1, hearth.Payload2} {
		t.Run(payload, func(t *testing.T) {
			m := newMemStream(hearth.TypeHTTPIntegration)
			w := streaming(t, m)
			route := `{"routes":[{"service":"shop","method":"GET","path":"/slow","payload":"` + payload + `"}]}`
			if status, _, text, err := w.send(t, "PUT", "/hearth/v1/functions/f", []byte(route)); err != nil || status != 200 {
				t.Fatalf("%d %s %v", status, text, err)
			}
			go m.write(preludeText + "first ")
			resp := w.ask(t, "GET", "/http/shop/slow")
			part := make([]byte, 6)
			if _, err := io.ReadFull(resp.Body, part); err != nil || resp.StatusCode != 201 || string(part) != "first " {
				t.Fatalf("%d %q, %v", resp.StatusCode, part, err)
			}
			go func() { // only now: the first part has come before the response ends
				m.write("last")
				m.end(nil)
			}()
			if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "last" {
				t.Errorf("the rest is %q, %v", rest, err)
			}
		})
	}
}

// A function may return what is no JSON at all: bytes in Python, anything from a bootstrap.
// Whoever looks into it first must not take its word for it.
func TestDeclaredPathRefusesWhatIsNotJSON(t *testing.T) {
	var result string
	w := start(t, Config{})
	w.deploy(t, "f", "say", "1")
	w.deps.Invoker = invokerFunc(func(context.Context, *invoke.Request) (*hearth.Result, error) {
		return &hearth.Result{Payload: []byte(result), Version: hearth.Latest}, nil
	})
	for _, payload := range []string{hearth.Payload1, hearth.Payload2} {
		route := `{"routes":[{"service":"shop","method":"GET","path":"/odd","payload":"` + payload + `"}]}`
		if status, _, text, err := w.send(t, "PUT", "/hearth/v1/functions/f", []byte(route)); err != nil || status != 200 {
			t.Fatalf("%d %s %v", status, text, err)
		}
		for _, result = range []string{"", " ", "{", `{"a`, `{"a"`, `{"a":`, `{x\"`, `{"statusCode":200`, `"\`, "nul", "[", `{"statusCode":200} y`} {
			status, _, text, err := w.send(t, "GET", "/http/shop/odd", nil)
			if err != nil || status != 502 || !strings.Contains(text, "is not JSON") {
				t.Errorf("payload %s, %q: %d %s %v", payload, result, status, text, err)
			}
		}
	}
}
