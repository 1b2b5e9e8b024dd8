package api

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
)

const (
	functionsPath = "/2015-03-31/functions"
	urlPrefix     = "/fn/"
	hostSuffix    = ".localhost"

	// Lambda's limit for a whole CreateFunction request.
	maxUploadBody = 70_167_211
	maxOtherBody  = 1 << 20
)

// request is what handlers off the hot paths get.
type request struct {
	ctx   *fasthttp.RequestCtx
	id    string
	args  []string // what the route's {} stand for, unescaped
	query query

	rawQuery []byte
}

// route is one resource and method. A segment of pattern that is {} stands for
// anything; {...} at the end for all that is left, slashes too.
type route struct {
	method  string
	pattern string
	serve   func(s *Server, r *request) error
}

// target splits the request's target, as it was sent, into path and query string.
// fasthttp's own path is normalised: it would lose "//" and "%2F".
func target(ctx *fasthttp.RequestCtx) (path, query []byte) {
	uri := ctx.Request.Header.RequestURI()
	if len(uri) > 0 && uri[0] != '/' {
		uri = originForm(uri)
	}
	if i := bytes.IndexByte(uri, '?'); i >= 0 {
		return uri[:i], uri[i+1:]
	}
	return uri, nil
}

// originForm cuts scheme and host off an absolute target (RFC 9112, 3.2.2).
func originForm(uri []byte) []byte {
	i := bytes.Index(uri, []byte("://"))
	if i < 0 {
		return uri
	}
	rest := uri[i+3:]
	if j := bytes.IndexAny(rest, "/?"); j < 0 {
		return []byte("/")
	} else if rest[j] == '?' {
		return append([]byte("/"), rest[j:]...)
	} else {
		return rest[j:]
	}
}

// route finds what serves the request. The two hot paths come first.
func (s *Server) route(ctx *fasthttp.RequestCtx) {
	path, query := target(ctx)
	if err := s.checkHost(ctx.Request.Header.Host()); err != nil {
		s.fail(ctx, string(path), s.newID(), err)
		return
	}
	if u, ok := urlOf(ctx.Request.Header.Host(), path, query); ok {
		s.serveURL(ctx, u)
		return
	}
	if len(path) > len(httpPrefix) && string(path[:len(httpPrefix)]) == httpPrefix {
		s.serveHTTP(ctx, path, query)
		return
	}
	if fromPage(&ctx.Request.Header) {
		s.fail(ctx, string(path), s.newID(), hearth.Errorf(hearth.ErrForbidden,
			"Web pages may not use this API from a browser, not even those that functions serve here. Function URLs they may call, from anywhere."))
		return
	}
	if segment, ok := invocationsOf(path); ok && ctx.IsPost() {
		if !s.admitted(ctx, string(path)) {
			return
		}
		s.invoke(ctx, segment, query)
		return
	}
	s.serveRest(ctx, string(path), query)
}

// urlOf is the function URL that a host, or else a path, stands for.
func urlOf(host, path, query []byte) (u urlTarget, ok bool) {
	if name, ok := functionHost(host); ok {
		return urlTarget{segment: name, path: path, query: query, byHost: true}, true
	}
	rest, ok := bytes.CutPrefix(path, []byte(urlPrefix))
	if !ok || len(rest) == 0 || rest[0] == '/' {
		return u, false
	}
	name, tail := cutSegment(rest)
	return urlTarget{segment: name, prefix: path[:len(path)-len(tail)], path: tail, query: query}, true
}

// invocationsOf is the segment that names the function in the path of Lambda's Invoke.
func invocationsOf(path []byte) (segment []byte, ok bool) {
	rest, ok := bytes.CutPrefix(path, []byte(functionsPath+"/"))
	if !ok {
		return nil, false
	}
	segment, ok = bytes.CutSuffix(rest, []byte("/invocations"))
	return segment, ok && bytes.IndexByte(segment, '/') < 0
}

// cutSegment splits a path before its first slash.
func cutSegment(path []byte) (segment, rest []byte) {
	if i := bytes.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, nil
}

// fromPage tells requests that a browser sends on behalf of a page. Without credentials
// to check, any page that a developer visits could otherwise create and call functions
// on their machine: such a POST needs no leave by CORS. Pages under /fn/NAME/ have this
// API's own origin, and functions are not to command the platform either. What a person
// types into the address bar is of site "none" (Fetch Metadata).
func fromPage(h *fasthttp.RequestHeader) bool {
	if len(h.Peek("Origin")) > 0 {
		return true
	}
	site := h.Peek("Sec-Fetch-Site")
	return len(site) > 0 && string(site) != "none"
}

// functionHost is the NAME of a host NAME.localhost, with or without a port.
func functionHost(host []byte) ([]byte, bool) {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	i := len(host) - len(hostSuffix)
	if i <= 0 || !equalFold(host[i:], hostSuffix) || bytes.IndexByte(host[:i], '.') >= 0 {
		return nil, false
	}
	return host[:i], true
}

// serveRest serves everything that is not hot.
func (s *Server) serveRest(ctx *fasthttp.RequestCtx, path string, rawQuery []byte) {
	if path == "/healthz" && (ctx.IsGet() || ctx.IsHead()) {
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok\n")
		return
	}
	if !s.admitted(ctx, path) {
		return
	}
	id := s.newID()
	route, args, err := s.find(string(ctx.Method()), path)
	if err == nil {
		ctx.Response.Header.Set("X-Amzn-Requestid", id)
		err = route.serve(s, &request{ctx: ctx, id: id, args: args, query: parseQuery(rawQuery), rawQuery: rawQuery})
	}
	if err != nil {
		if allowed := s.allowed(path); hearth.CodeOf(err) == hearth.ErrMethodNotAllowed {
			ctx.Response.Header.Set("Allow", strings.Join(allowed, ", "))
		}
		s.fail(ctx, path, id, err)
	}
}

// find looks method and path up in the table.
func (s *Server) find(method, path string) (*route, []string, error) {
	if method == fasthttp.MethodHead {
		method = fasthttp.MethodGet
	}
	for i := range s.routes {
		r := &s.routes[i]
		if r.method != method {
			continue
		}
		if args, ok := match(r.pattern, path); ok {
			return r, args, nil
		}
	}
	if allowed := s.allowed(path); len(allowed) > 0 {
		return nil, nil, hearth.Errorf(hearth.ErrMethodNotAllowed, "%s is not possible on %s; possible are: %s.", method, path, strings.Join(allowed, ", "))
	}
	return nil, nil, hearth.Errorf(hearth.ErrNotFound, "There is nothing at %s. Near it: %s.", clip(path), strings.Join(s.near(path), ", "))
}

// allowed lists the methods that path knows.
func (s *Server) allowed(path string) []string {
	var methods []string
	for i := range s.routes {
		if _, ok := match(s.routes[i].pattern, path); ok && !slices.Contains(methods, s.routes[i].method) {
			methods = append(methods, s.routes[i].method)
		}
	}
	return methods
}

// match compares path with pattern, segment by segment. A final slash is ignored:
// SDKs send it with some operations.
func match(pattern, path string) ([]string, bool) {
	var args []string
	path = strings.TrimSuffix(path, "/")
	for {
		want, patternRest, patternMore := strings.Cut(pattern, "/")
		if want == "{...}" {
			return append(args, unescapePath(path)), path != ""
		}
		have, pathRest, pathMore := strings.Cut(path, "/")
		switch {
		case want == "{}" && have != "":
			args = append(args, unescapePath(have))
		case want != have:
			return nil, false
		}
		if patternMore != pathMore {
			return nil, false
		}
		if !patternMore {
			return args, true
		}
		pattern, path = patternRest, pathRest
	}
}

// near lists the routes that share the most with path, for someone who is lost.
func (s *Server) near(path string) []string {
	const most = 8
	type candidate struct {
		text   string
		shared int
	}
	var all []candidate
	for i := range s.routes {
		r := &s.routes[i]
		all = append(all, candidate{r.method + " " + strings.NewReplacer("{...}", "ARN", "{}", "NAME").Replace(r.pattern), shared(r.pattern, path)})
	}
	all = append(all, candidate{"GET /healthz", shared("/healthz", path)},
		candidate{"ANY /fn/NAME/…", shared("/fn/{}", path)})
	slices.SortStableFunc(all, func(a, b candidate) int { return b.shared - a.shared })
	if all[0].shared < 3 {
		return []string{"GET /healthz", "GET /hearth/v1/status", "GET /hearth/v1/functions", "GET " + functionsPath, "ANY /fn/NAME/…"}
	}
	var list []string
	for _, c := range all[:most] {
		if c.shared > 0 {
			list = append(list, c.text)
		}
	}
	return list
}

// shared counts how far a path agrees with a pattern: whole segments first, then
// the letters of the first one that differs.
func shared(pattern, path string) int {
	p, q := strings.Split(pattern, "/")[1:], strings.Split(strings.TrimPrefix(path, "/"), "/")
	n := 0
	for i := range min(len(p), len(q)) {
		if p[i] == q[i] || p[i] == "{}" && q[i] != "" {
			n += 8
			continue
		}
		for j := range min(len(p[i]), len(q[i]), 7) {
			if p[i][j] != q[i][j] {
				break
			}
			n++
		}
		break
	}
	return n
}

// isDated tells Lambda's paths, which begin with the date of their API's version.
func isDated(path string) bool {
	return len(path) >= 12 && path[0] == '/' && path[1] == '2' && path[5] == '-' && path[8] == '-' && path[11] == '/'
}

// bodyLimit is how many bytes a request to path may have.
func bodyLimit(method, path []byte) int {
	rest, lambda := bytes.CutPrefix(path, []byte(functionsPath))
	switch {
	case bytes.HasPrefix(path, []byte(urlPrefix)), bytes.HasPrefix(path, []byte(httpPrefix)), bytes.HasPrefix(path, []byte(streamingPath)),
		lambda && bytes.HasSuffix(rest, []byte("/invocations")):
		return hearth.MaxPayloadBytes
	case string(path) == restorePath:
		return maxUploadBody
	case lambda && (len(rest) <= 1 || bytes.HasSuffix(rest, []byte("/code"))),
		bytes.HasPrefix(path, []byte("/hearth/v1/functions/")) && string(method) == fasthttp.MethodPut:
		return maxUploadBody
	}
	return maxOtherBody
}

// admitBody sets the limits for the body of a request whose headers are there.
func (s *Server) admitBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	uri := h.RequestURI()
	if len(uri) > 0 && uri[0] != '/' {
		uri = originForm(uri)
	}
	path, _, _ := bytes.Cut(uri, []byte("?"))
	limit := bodyLimit(h.Method(), path)
	if _, byHost := functionHost(h.Host()); byHost {
		limit = hearth.MaxPayloadBytes
	}
	if n := h.ContentLength(); (n > unprovenBody || n < 0) && limit > unprovenBody && s.hopeless(h) != nil {
		limit = unprovenBody
	}
	timeout := s.cfg.BodyTimeout
	if limit == maxUploadBody {
		timeout *= 5
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: limit, ReadTimeout: timeout}
}

// expect answers Expect: 100-continue: a body that is too large is refused before
// it is sent.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	limit := s.admitBody(&ctx.Request.Header).MaxRequestBodySize
	if ctx.Request.Header.ContentLength() <= limit {
		return fasthttp.StatusContinue
	}
	path, _ := target(ctx)
	if err := s.hopeless(&ctx.Request.Header); err != nil {
		s.refuse(ctx, string(path), s.newID(), err)
		return fasthttp.StatusForbidden
	}
	s.fail(ctx, string(path), s.newID(), tooLarge(ctx.Request.Header.Method(), path))
	return fasthttp.StatusRequestEntityTooLarge
}

func tooLarge(method, path []byte) error {
	limit := bodyLimit(method, path)
	operation := "this operation"
	switch limit {
	case hearth.MaxPayloadBytes:
		operation = "the InvokeFunction operation"
	case maxUploadBody:
		operation = "the CreateFunction operation"
	}
	return hearth.Errorf(hearth.ErrTooLarge, "Request must be smaller than %d bytes for %s", limit, operation)
}

// clip keeps a caller's words short enough to be repeated in a message.
func clip(s string) string {
	const most = 128
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > most {
		return fmt.Sprintf("%s…", strings.ToValidUTF8(s[:most], ""))
	}
	return s
}
