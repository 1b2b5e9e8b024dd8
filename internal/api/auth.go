package api

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
	"hearth/internal/sigv4"
)

// The ways to call a function URL (Lambda, FunctionUrlConfig).
const (
	authNone = "NONE"
	authIAM  = "AWS_IAM"
)

const (
	signingService = "lambda"
	// codeLinkLife is how long a link to a function's archive is good (GetFunction).
	codeLinkLife = 10 * time.Minute
)

// authenticator holds requests to the keys that the owner configured.
type authenticator struct {
	verifier sigv4.Verifier
	links    sigv4.Signer // for links that are handed out
}

// newAuthenticator is nil when there are no keys: then signatures are not read.
func newAuthenticator(keys []sigv4.Key, region string) *authenticator {
	if len(keys) == 0 {
		return nil
	}
	a := &authenticator{links: sigv4.Signer{Key: keys[0], Region: region, Service: signingService}}
	a.verifier = sigv4.Verifier{Keys: make(map[string]string, len(keys)), Service: signingService}
	for _, k := range keys {
		a.verifier.Keys[k.ID] = k.Secret
	}
	return a
}

// verify wants a valid signature; the error is a *sigv4.Error.
func (s *Server) verify(ctx *fasthttp.RequestCtx) error {
	path, query := target(ctx)
	return s.auth.verifier.Verify(&sigv4.Request{
		Method: string(ctx.Method()), Path: string(path), Query: string(query),
		Headers: rawHeaders(&ctx.Request.Header), Body: ctx.Request.Body(),
	}, s.now())
}

// unprovenBody is how many bytes of a request's body are read although its head shows
// that it will be refused: so small ones keep their connection.
const unprovenBody = 64 << 10

// hopeless is why the API will refuse a request, as far as its head shows that; nil for
// all others. Most clients declare the hash of the body, so that its signature can be
// checked before the body has come.
func (s *Server) hopeless(h *fasthttp.RequestHeader) error {
	if s.auth == nil {
		return nil
	}
	uri := h.RequestURI()
	if len(uri) > 0 && uri[0] != '/' {
		uri = originForm(uri)
	}
	path, query, _ := bytes.Cut(uri, []byte("?"))
	if _, byHost := functionHost(h.Host()); byHost || bytes.HasPrefix(path, []byte(urlPrefix)) || bytes.HasPrefix(path, []byte(httpPrefix)) {
		return nil // functions answer for themselves
	}
	return s.auth.verifier.VerifyHead(&sigv4.Request{
		Method: string(h.Method()), Path: string(path), Query: string(query), Headers: rawHeaders(h),
	}, s.now())
}

// rawHeaders are the headers as they were sent: fasthttp's own are tidied up.
func rawHeaders(h *fasthttp.RequestHeader) []sigv4.Header {
	var list []sigv4.Header
	for raw := h.RawHeaders(); len(raw) > 0; {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte("\n"))
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			list = append(list, sigv4.Header{Name: string(name), Value: strings.Trim(string(value), " \t\r")})
		}
	}
	return list
}

// admitted tells whether the API may serve the request; if not, it has been answered.
func (s *Server) admitted(ctx *fasthttp.RequestCtx, path string) bool {
	if s.auth == nil {
		return true
	}
	err := s.verify(ctx)
	if err != nil {
		s.refuse(ctx, path, s.newID(), err)
	}
	return err == nil
}

// refuse answers 403 with AWS's exception, as a document of Lambda's or Hearth's.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, path, id string, err error) {
	var why *sigv4.Error
	if !errors.As(err, &why) {
		s.fail(ctx, path, id, err)
		return
	}
	h := &ctx.Response.Header
	h.Set("X-Amzn-Errortype", why.Type)
	h.Set("X-Amzn-Requestid", id)
	if strings.HasPrefix(path, "/hearth/") {
		s.writeLine(ctx, fasthttp.StatusForbidden, hearthBody{hearthError{hearth.ErrForbidden, why.Message}})
		return
	}
	s.writeJSON(ctx, fasthttp.StatusForbidden, struct {
		Message string `json:"message"`
	}{why.Message})
}

// admitURL holds callers of a function URL to its AuthType. A function that wants
// signatures and outlived the keys is closed to everybody.
func (s *Server) admitURL(ctx *fasthttp.RequestCtx, t *functionTarget) error {
	f, err := s.deps.Functions.Get(t.name)
	if err != nil || f.URL == nil || f.URL.AuthType != authIAM {
		return nil // who calls what is not there is told so later
	}
	if s.auth == nil {
		return hearth.Errorf(hearth.ErrForbidden, "The URL of %s has AuthType AWS_IAM, and this platform has no access keys to check signatures with. "+
			"Start it with hearth up --access-keys-file FILE, or make the AuthType NONE.", t.name)
	}
	err = s.verify(ctx)
	var why *sigv4.Error
	if errors.As(err, &why) && why.Type == sigv4.MissingToken {
		return hearth.Errorf(hearth.ErrForbidden, "Forbidden") // Lambda's word for it
	}
	return err
}

// signedLink is a path of the server whose address is base, good for a while without a signature of the caller's own.
func (s *Server) signedLink(base, path, query string) string {
	if s.auth != nil {
		_, host, _ := strings.Cut(base, "://")
		r := sigv4.Request{Method: fasthttp.MethodGet, Path: path, Query: query, Headers: []sigv4.Header{{Name: "Host", Value: host}}}
		query = s.auth.links.Presign(r, s.now(), codeLinkLife)
	}
	if query != "" {
		query = "?" + query
	}
	return base + path + query
}
