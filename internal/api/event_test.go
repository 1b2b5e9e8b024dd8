package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hearth/internal/hearth/packed"

	"pgregory.net/rapid"
)

// event is payload format 2.0, read by encoding/json and not by our own code.
type event struct {
	Version, RouteKey, RawPath, RawQueryString string
	Cookies                                    []string
	Headers, QueryStringParameters             map[string]string
	RequestContext                             struct {
		AccountID, APIID, DomainName, DomainPrefix, RequestID, RouteKey, Stage, Time string
		TimeEpoch                                                                    int64
		HTTP                                                                         struct{ Method, Path, Protocol, SourceIP, UserAgent string }
	}
	Body            *string
	IsBase64Encoded bool
}

// wholeEvent is the event that c holds, as JSON.
func wholeEvent(t interface {
	Fatalf(string, ...any)
}, c *call) []byte {
	text, err := packed.Whole(c.event, c.req.HTTP, "id")
	if err != nil {
		t.Fatalf("the event is not what it should be: %v", err)
	}
	return text
}

func decodeEvent(t interface {
	Fatalf(string, ...any)
}, text []byte) event {
	var e event
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("the event is not what it should be: %v\n%s", err, text)
	}
	return e
}

// TestEventProperty builds events from arbitrary requests and compares each part
// with what a plain reading of the request gives.
func TestEventProperty(t *testing.T) {
	c := new(call) // one for all, as the pool does it
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"X-A", "x-a", "X-B", "Accept", "Content-Type", "User-Agent", "Connection"})
		value := rapid.StringMatching(`[ -~äöü]{0,12}`)
		type line struct{ name, value string }
		lines := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) line { return line{name.Draw(t, "n"), value.Draw(t, "v")} }), 0, 50).Draw(t, "headers")
		query := rapid.SliceOfN(rapid.StringMatching(`[a-c]{0,2}(=[a-z%+ä]{0,4}(%[0-9A-F]{2})?)?`), 0, 50).Draw(t, "query")
		body := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "body")
		path := rapid.StringMatching(`(/[a-z%/.ü"\\]{0,9})?`).Draw(t, "path")

		var raw strings.Builder
		want := map[string]string{}
		for _, l := range lines {
			raw.WriteString(l.name + ": " + l.value + "\r\n")
			key, v := strings.ToLower(l.name), strings.Trim(l.value, " \t")
			if key == "connection" {
				continue
			}
			if old, ok := want[key]; ok {
				v = old + "," + v
			}
			want[key] = v
		}
		want["x-forwarded-for"], want["x-forwarded-port"], want["x-forwarded-proto"] = "203.0.113.7", "80", "http"
		in := eventInput{
			name: "f", method: []byte("POST"), path: []byte(path), query: []byte(strings.Join(query, "&")), protocol: []byte("HTTP/1.1"),
			host: []byte("h"), remote: netip.MustParseAddr("203.0.113.7"), headers: []byte(raw.String()), body: body,
			requestID: "id", now: time.UnixMilli(1795255200123),
		}
		c.buildEvent(&in)
		e := decodeEvent(t, wholeEvent(t, c))
		for key := range want {
			if e.Headers[key] != want[key] {
				t.Fatalf("header %s is %q, want %q", key, e.Headers[key], want[key])
			}
		}
		if len(e.Headers) != len(want) {
			t.Fatalf("headers are %v, want %v", e.Headers, want)
		}
		checkQuery(t, e, query)
		checkBody(t, e, body, firstOf(lines, func(l line) bool { return strings.EqualFold(l.name, "Content-Type") }).value)
		if wantPath := max(path, "/"); e.RawPath != wantPath || e.RequestContext.HTTP.Path != wantPath {
			t.Fatalf("rawPath is %q, want %q", e.RawPath, wantPath)
		}
		if e.RawQueryString != strings.Join(query, "&") {
			t.Fatalf("rawQueryString is %q", e.RawQueryString)
		}
	})
}

func firstOf[T any](list []T, is func(T) bool) (zero T) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i]
	}
	return zero
}

func checkQuery(t *rapid.T, e event, query []string) {
	want := map[string]string{}
	unescape := func(s string) string {
		out, err := url.QueryUnescape(s)
		if err != nil { // a percent sign that begins no escape stands for itself
			out = string(appendUnescaped(nil, []byte(s), true))
		}
		return strings.ToValidUTF8(out, "\uFFFD")
	}
	order := map[string]bool{}
	for _, pair := range query {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, value = unescape(key), unescape(value)
		if order[key] {
			value = want[key] + "," + value
		}
		order[key], want[key] = true, value
	}
	if len(want) != len(e.QueryStringParameters) {
		t.Fatalf("queryStringParameters are %v, want %v", e.QueryStringParameters, want)
	}
	for key := range want {
		// encoding/json writes one U+FFFD for each bad byte, ToValidUTF8 one for each run.
		got := strings.ReplaceAll(e.QueryStringParameters[key], "\uFFFD\uFFFD", "\uFFFD")
		if got != want[key] && utf8.ValidString(want[key]) && !strings.Contains(want[key], "\uFFFD") {
			t.Fatalf("parameter %q is %q, want %q", key, got, want[key])
		}
	}
}

func checkBody(t *rapid.T, e event, body []byte, contentType string) {
	switch {
	case len(body) == 0:
		if e.Body != nil || e.IsBase64Encoded {
			t.Fatalf("there is a body: %q", *e.Body)
		}
	case e.IsBase64Encoded:
		got, err := base64.StdEncoding.DecodeString(*e.Body)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("body is %q, %v, want %q", got, err, body)
		}
	case *e.Body != string(body) || !utf8.Valid(body) || contentType == "":
		t.Fatalf("body is %q, want %q; its type is %q", *e.Body, body, contentType)
	}
}

func TestIsText(t *testing.T) {
	for kind, want := range map[string]bool{
		"text/plain": true, "TEXT/HTML; charset=utf-8": true, "application/json": true, "application/problem+json": true,
		"application/xml": true, "image/svg+xml": true, "application/javascript": true, " application/json ;x": true,
		"": false, "application/x-www-form-urlencoded": false, "application/octet-stream": false, "image/png": false, "json": false, "text": false,
	} {
		if got := isText([]byte(kind)); got != want {
			t.Errorf("isText(%q) = %v", kind, got)
		}
	}
}

// FuzzEvent: whatever is sent, the event is JSON of the right shape.
func FuzzEvent(f *testing.F) {
	f.Add("/a//b%2F", "a=1&a=2&%zz=%f+", "Cookie: a=b; c\r\nX: \xff\r\nx: 2\r\n", "h:1", []byte("x"))
	f.Add("", "&&=&", "no colon\r\n: no name\r\nContent-Type: text/x\r\n", "[::1]:9", []byte("\xff"))
	c := new(call)
	f.Fuzz(func(t *testing.T, path, query, headers, host string, body []byte) {
		c.buildEvent(&eventInput{
			name: "f", prefix: []byte("/fn/f"), method: []byte("GET"), path: []byte(path), query: []byte(query), protocol: []byte("HTTP/1.1"),
			host: []byte(host), remote: netip.IPv6Loopback(), headers: []byte(headers), body: body, requestID: "id", now: time.Unix(0, 0),
		})
		text := wholeEvent(t, c)
		if !utf8.Valid(text) {
			t.Fatalf("the event is not UTF-8: %q", text)
		}
		e := decodeEvent(t, text)
		if utf8.ValidString(path) && path != "" && e.RawPath != path {
			t.Fatalf("rawPath is %q, want %q", e.RawPath, path)
		}
		if e.Version != "2.0" || e.RequestContext.APIID != "f" || e.Headers["x-forwarded-prefix"] != "/fn/f" {
			t.Fatalf("something is missing: %s", text)
		}
	})
}

// FuzzTarget: whatever the target, routing neither panics nor finds a function of an
// invalid name.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/2015-03-31/functions/f/invocations", "/fn/f:q/x?y", "http://a/fn/b", "/hearth/v1/functions/%ff/logs", "*", "//", "/2017-03-31/tags/arn%3A"} {
		f.Add(s, "h.localhost:1")
	}
	s := New(Config{}, Deps{})
	f.Fuzz(func(t *testing.T, uri, host string) {
		path, _, _ := strings.Cut(uri, "?")
		for _, method := range []string{"GET", "POST", "PUT", "HEAD", "DELETE"} {
			route, args, err := s.find(method, path)
			if err == nil && len(args) != strings.Count(route.pattern, "{") {
				t.Fatalf("%s %q: %d arguments for %s", method, path, len(args), route.pattern)
			}
			if limit := bodyLimit([]byte(method), []byte(path)); limit <= 0 {
				t.Fatalf("no limit for %s %q", method, path)
			}
		}
		if name, ok := functionHost([]byte(host)); ok && (len(name) == 0 || bytes.ContainsRune(name, '.')) {
			t.Fatalf("host %q gave the name %q", host, name)
		}
		if found, err := s.target([]byte(path), nil); err == nil && (found.name == "" || strings.ContainsAny(found.name, "/.:")) {
			t.Fatalf("%q gave the name %q", path, found.name)
		}
		_ = originForm([]byte(uri))
	})
}
