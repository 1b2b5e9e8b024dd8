package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key is an access key.
type Key struct{ ID, Secret string }

// Signer signs requests with one key for one region and service.
type Signer struct {
	Key     Key
	Region  string // any; it is part of the signature
	Service string // lambda
}

func (s *Signer) scope(at time.Time) scope {
	return scope{at.UTC().Format("20060102"), s.Region, s.Service}
}

// Sign returns the value of Authorization for r, which must have its X-Amz-Date and
// Host. All headers are signed but those that proxies may change.
func (s *Signer) Sign(r *Request, at time.Time) string {
	signed := signable(r.Headers)
	body := r.header("X-Amz-Content-Sha256")
	if body == "" {
		body = hash(r.Body)
	}
	sc := s.scope(at)
	return algorithm + " Credential=" + s.Key.ID + "/" + sc.String() + ", SignedHeaders=" + strings.Join(signed, ";") +
		", Signature=" + signature(s.Key.Secret, at, sc, r.canonical(signed, body))
}

// signable are the names of headers to sign, in order.
func signable(headers []Header) []string {
	var names []string
	for _, h := range headers {
		switch name := strings.ToLower(h.Name); name {
		case "authorization", "user-agent", "expect", "connection", "transfer-encoding", "accept-encoding", "x-amzn-trace-id":
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// SignHTTP signs a request that is about to be sent, with body as its body. It sets
// X-Amz-Date and Authorization.
func (s *Signer) SignHTTP(r *http.Request, body []byte, at time.Time) {
	r.Header.Set("X-Amz-Date", at.UTC().Format(isoBasic))
	r.Header.Set("X-Amz-Content-Sha256", hash(body))
	r.Header.Del("Authorization")
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	in := Request{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Headers: []Header{{"Host", host}}, Body: body}
	for name, values := range r.Header {
		for _, v := range values {
			in.Headers = append(in.Headers, Header{name, v})
		}
	}
	r.Header.Set("Authorization", s.Sign(&in, at))
}

// Presign returns the query string under which r, whose only header is Host, may be
// sent until lifetime has passed: at most a week. r's body is not signed.
func (s *Signer) Presign(r Request, at time.Time, lifetime time.Duration) string {
	sc := s.scope(at)
	query := "X-Amz-Algorithm=" + algorithm + "&X-Amz-Content-Sha256=" + UnsignedPayload +
		"&X-Amz-Credential=" + escape(s.Key.ID+"/"+sc.String(), false) + "&X-Amz-Date=" + at.UTC().Format(isoBasic) +
		"&X-Amz-Expires=" + strconv.Itoa(int(lifetime/time.Second)) + "&X-Amz-SignedHeaders=host"
	if r.Query != "" {
		query = r.Query + "&" + query
	}
	r.Query = query
	return query + "&X-Amz-Signature=" + signature(s.Key.Secret, at, sc, r.canonical([]string{"host"}, UnsignedPayload))
}
