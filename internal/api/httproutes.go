package api

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
)

// httpPrefix is where the paths that functions declare begin: /http/SERVICE/path, or
// /http/SERVICE:ALIAS/path for another version than the latest.
const httpPrefix = "/http/"

// httpRouter finds the function that answers a declared path. It is built from the
// registry's functions, and anew after they have changed.
type httpRouter struct {
	built    atomic.Pointer[httpTable]
	building sync.Mutex
}

// httpTable is the routes of all functions at one moment. It is never changed.
type httpTable struct {
	generation uint64
	services   map[string]*httpNode
}

// httpNode is one segment of a path. A literal one has the first word, then
// {parameter}, then {proxy+}, as with API Gateway.
type httpNode struct {
	literal map[string]*httpNode
	param   *httpNode
	here    map[string]*httpLeaf // by method: a path ends here
	greedy  map[string]*httpLeaf // {proxy+} begins here
	rest    map[string]*httpLeaf // $default; only at a service's root
}

// httpLeaf is one declared route and the function that it leads to.
type httpLeaf struct {
	hearth.HTTPRoute
	function string
	arn      string
	key      string   // "GET /users/{id}"
	names    []string // of the parameters, in the order of the path
}

// httpMatch is a request that has found its route.
type httpMatch struct {
	*httpLeaf
	values []string // of the parameters, as they were sent
}

// find looks a request up: service, its path as it was sent, and its method. The
// second result tells whether the path is known, with another method perhaps.
func (t *httpTable) find(service, path, method string) (m httpMatch, known bool) {
	root := t.services[service]
	if root == nil {
		return m, false
	}
	values := make([]string, 0, 8)
	if leaf := root.find(strings.TrimPrefix(path, "/"), method, &values, &known); leaf != nil {
		return httpMatch{leaf, values}, true
	}
	if leaf := pick(root.rest, method); leaf != nil {
		return httpMatch{leaf, nil}, true
	}
	return m, known
}

// find matches what is left of a path. Where one branch leads nowhere the next is
// tried; a path of n segments costs at most 2^n steps, and n is bounded by the
// routes' own depth, for only declared branches are followed.
func (n *httpNode) find(rest, method string, values *[]string, known *bool) *httpLeaf {
	if rest == "" {
		*known = *known || len(n.here) > 0
		if leaf := pick(n.here, method); leaf != nil {
			return leaf
		}
	} else {
		segment, more, _ := strings.Cut(rest, "/")
		if next := n.literal[segment]; next != nil {
			if leaf := next.find(more, method, values, known); leaf != nil {
				return leaf
			}
		}
		if n.param != nil && segment != "" {
			*values = append(*values, segment)
			if leaf := n.param.find(more, method, values, known); leaf != nil {
				return leaf
			}
			*values = (*values)[:len(*values)-1]
		}
		*known = *known || len(n.greedy) > 0
		if leaf := pick(n.greedy, method); leaf != nil {
			*values = append(*values, rest)
			return leaf
		}
	}
	return nil
}

// pick is the leaf for a method, else that for any.
func pick(leaves map[string]*httpLeaf, method string) *httpLeaf {
	if leaf := leaves[method]; leaf != nil {
		return leaf
	}
	return leaves[hearth.AnyMethod]
}

// add puts a route in. Of several functions with the same one the first has it.
func (t *httpTable) add(leaf *httpLeaf) {
	n := t.services[leaf.Service]
	if n == nil {
		n = &httpNode{}
		t.services[leaf.Service] = n
	}
	if leaf.Path == hearth.DefaultPath {
		leaf.key = hearth.DefaultPath
		put(&n.rest, leaf)
		return
	}
	leaf.key = leaf.Method + " " + leaf.Path
	path := strings.TrimPrefix(leaf.Path, "/")
	for path != "" {
		segment, more, _ := strings.Cut(path, "/")
		path = more
		switch {
		case strings.HasSuffix(segment, "+}"):
			leaf.names = append(leaf.names, segment[1:len(segment)-2])
			put(&n.greedy, leaf)
			return
		case strings.HasPrefix(segment, "{"):
			leaf.names = append(leaf.names, segment[1:len(segment)-1])
			if n.param == nil {
				n.param = &httpNode{}
			}
			n = n.param
		default:
			if n.literal == nil {
				n.literal = map[string]*httpNode{}
			}
			if n.literal[segment] == nil {
				n.literal[segment] = &httpNode{}
			}
			n = n.literal[segment]
		}
	}
	put(&n.here, leaf)
}

func put(leaves *map[string]*httpLeaf, leaf *httpLeaf) {
	if *leaves == nil {
		*leaves = map[string]*httpLeaf{}
	}
	if (*leaves)[leaf.Method] == nil {
		(*leaves)[leaf.Method] = leaf
	}
}

// httpTable is the present one.
func (s *Server) httpTable() *httpTable {
	if t := s.router.built.Load(); t != nil && t.generation == s.deps.Functions.Generation() {
		return t
	}
	s.router.building.Lock()
	defer s.router.building.Unlock()
	// Asked before the list is: what changes meanwhile makes the table look old.
	t := &httpTable{generation: s.deps.Functions.Generation(), services: map[string]*httpNode{}}
	if built := s.router.built.Load(); built != nil && built.generation == t.generation {
		return built
	}
	for _, f := range s.deps.Functions.List() {
		for _, r := range f.Routes {
			t.add(&httpLeaf{HTTPRoute: r, function: f.Name, arn: s.arn(f.Name, "")})
		}
	}
	s.router.built.Store(t)
	return t
}

// serveHTTP serves a path that a function declares, as API Gateway does: the request
// becomes an event of payload format 1.0 or 2.0, the result an answer.
func (s *Server) serveHTTP(ctx *fasthttp.RequestCtx, path, query []byte) {
	id := s.newID()
	service, tail := cutSegment(path[len(httpPrefix):])
	service, qualifier, _ := bytes.Cut(service, []byte(":"))
	m, known := s.httpTable().find(string(service), string(tail), string(ctx.Method()))
	if m.httpLeaf == nil {
		s.failURL(ctx, id, s.noRoute(string(service), string(ctx.Method()), string(tail), known))
		return
	}
	c := s.getCall()
	defer s.putCall(c)
	in := s.eventInput(ctx, m.function, path[:len(path)-len(tail)], tail, query, id)
	if m.Payload == hearth.Payload1 {
		c.buildEvent1(&in, &m)
	} else {
		in.route = &m
		c.buildEvent(&in)
	}
	t := &functionTarget{name: m.function, arn: m.arn}
	if len(qualifier) > 0 {
		t.qualifier = string(qualifier)
		t.arn = s.arn(t.name, t.qualifier)
	}
	c.req.WantStream = true
	result, err := s.invokeEvent(c, t, id)
	switch {
	case err != nil:
		s.failURL(ctx, id, t.explainURL(err))
	case m.Payload == hearth.Payload1 && result.Stream == nil && result.FunctionError == "" && lacksStatus(result.Payload):
		s.failedURL(ctx, id, failureCause{typeMalformed, "payload format 1.0 needs a result with a statusCode, such as {statusCode: 200, body: \"…\"}"})
	default:
		s.answerURL(ctx, c, id, result)
	}
}

// noRoute says that nothing answers, and what does near it.
func (s *Server) noRoute(service, method, path string, known bool) error {
	if known {
		return hearth.Errorf(hearth.ErrMethodNotAllowed, "No function answers %s on /http/%s%s; it is declared for other methods.", method, clip(service), clip(path))
	}
	var services []string
	for _, f := range s.deps.Functions.List() {
		for _, r := range f.Routes {
			if r.Service == service {
				return hearth.Errorf(hearth.ErrNotFound, "No function answers %s /http/%s%s. One that exists: %s.", method, clip(service), clip(path), r)
			}
			services = append(services, r.Service)
		}
	}
	return hearth.Errorf(hearth.ErrNotFound, "There is no service %s with declared paths%s. Deploy a serverless.yml with http or httpApi events to have one.",
		clip(service), hearth.Hint(service, services))
}
