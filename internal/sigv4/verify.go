package sigv4

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxSkew is how far a signature's time may be from ours, either way. Lambda allows 5
// minutes; machines of one's own have worse clocks.
const MaxSkew = 15 * time.Minute

// maxExpires is how long a presigned request may live (Signature Version 4).
const maxExpires = 7 * 24 * time.Hour

// Error is why a request was refused, in the words of AWS.
type Error struct {
	Type    string // the exception's name, such as InvalidSignatureException
	Message string
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// The exceptions that Verify tells (Lambda API, common errors).
const (
	MissingToken = "MissingAuthenticationTokenException"
	Unrecognized = "UnrecognizedClientException"
	Invalid      = "InvalidSignatureException"
	Incomplete   = "IncompleteSignatureException"
)

func refuse(kind, format string, args ...any) *Error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

func mismatch() *Error {
	return refuse(Invalid, "The request signature we calculated does not match the signature you provided. "+
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

// Verifier checks signatures. The zero value knows no key and refuses everything. Its
// methods may be called from many goroutines.
type Verifier struct {
	Keys    map[string]string // secrets by ID; not changed after
	Service string            // that requests must be signed for
}

// claim is what a request says of its signature.
type claim struct {
	id        string
	scope     scope
	signed    []string
	signature string
	at        time.Time
	expires   time.Duration // presigned; 0 for the header form
	bodyHash  string        // as declared; "" = that of the body
}

// Verify tells whether r is signed with one of the keys; the error is an *Error.
func (v *Verifier) Verify(r *Request, now time.Time) error { return r.judge(v.check, now) }

// VerifyHead tells whether r can be valid, from all but its Body: where that will not be,
// the body need not be read. It is no proof; Verify must follow.
func (v *Verifier) VerifyHead(r *Request, now time.Time) error { return r.judge(v.checkHead, now) }

// judge has what r claims checked. It returns nil, and no nil *Error, if that is right.
func (r *Request) judge(check func(*Request, *claim, time.Time) *Error, now time.Time) error {
	c, refused := r.claim()
	if refused == nil {
		refused = check(r, c, now)
	}
	if refused != nil {
		return refused
	}
	return nil
}

func (v *Verifier) check(r *Request, c *claim, now time.Time) *Error {
	if refused := v.checkHead(r, c, now); refused != nil {
		return refused
	}
	switch c.bodyHash {
	case UnsignedPayload:
		return nil
	case "":
		return v.checkSignature(r, c, hash(r.Body))
	}
	if c.bodyHash != hash(r.Body) {
		return mismatch() // well signed, but another body came
	}
	return nil
}

// checkHead checks what can be checked without the body: also the signature, if the
// request declares the body's hash.
func (v *Verifier) checkHead(r *Request, c *claim, now time.Time) *Error {
	_, known := v.Keys[c.id]
	if !known {
		return refuse(Unrecognized, "The security token included in the request is invalid.")
	}
	if c.scope.service != v.Service {
		return refuse(Invalid, "Credential should be scoped to correct service: '%s'.", v.Service)
	}
	if c.at.UTC().Format("20060102") != c.scope.date {
		return refuse(Invalid, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			c.scope.date, c.at.UTC().Format("20060102"), c.at.UTC().Format(isoBasic))
	}
	if refused := c.checkTime(now); refused != nil {
		return refused
	}
	if refused := r.checkSigned(c.signed); refused != nil {
		return refused
	}
	if c.bodyHash == "" {
		return nil
	}
	return v.checkSignature(r, c, c.bodyHash)
}

func (v *Verifier) checkSignature(r *Request, c *claim, bodyHash string) *Error {
	want := signature(v.Keys[c.id], c.at, c.scope, r.canonical(c.signed, bodyHash))
	if subtle.ConstantTimeCompare([]byte(want), []byte(c.signature)) != 1 {
		return mismatch()
	}
	return nil
}

// checkTime holds the signature to the time in which it is good.
func (c *claim) checkTime(now time.Time) *Error {
	life := MaxSkew
	if c.expires > 0 {
		life = c.expires
	}
	text := func(t time.Time) string { return t.UTC().Format(isoBasic) }
	const minutes = int(MaxSkew / time.Minute)
	switch {
	case c.at.After(now.Add(MaxSkew)):
		return refuse(Invalid, "Signature not yet current: %s is still later than %s (%s + %d min.)", text(c.at), text(now.Add(MaxSkew)), text(now), minutes)
	case c.expires > 0 && now.After(c.at.Add(life)):
		return refuse(Invalid, "Signature expired: %s is now earlier than %s", text(c.at.Add(life)), text(now))
	case now.After(c.at.Add(life)):
		return refuse(Invalid, "Signature expired: %s is now earlier than %s (%s - %d min.)", text(c.at), text(now.Add(-life)), text(now), minutes)
	}
	return nil
}

// checkSigned wants Host and everything that begins with x-amz- under the signature:
// those change what a request means.
func (r *Request) checkSigned(signed []string) *Error {
	if !slices.Contains(signed, "host") {
		return refuse(Invalid, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for _, h := range r.Headers {
		if name := strings.ToLower(h.Name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(signed, name) {
			return refuse(Invalid, "'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
		}
	}
	return nil
}

// claim reads what the request says of itself.
func (r *Request) claim() (*claim, *Error) {
	auth := r.values("Authorization")
	query := parameters(r.Query)
	switch {
	case len(auth) > 1:
		return nil, refuse(Incomplete, "The request has more than one Authorization header.")
	case len(auth) == 1:
		return r.headerClaim(strings.TrimSpace(auth[0]))
	case query["X-Amz-Algorithm"] == nil && query["X-Amz-Signature"] == nil:
		return nil, refuse(MissingToken, "Missing Authentication Token")
	}
	return r.queryClaim(query)
}

// headerClaim reads the form "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…".
func (r *Request) headerClaim(auth string) (*claim, *Error) {
	kind, rest, _ := strings.Cut(auth, " ")
	if kind != algorithm {
		return nil, refuse(MissingToken, "Missing Authentication Token")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[name] == "" {
			return nil, refuse(Incomplete, "Authorization header requires '%s' parameter.", name)
		}
	}
	at, ok := r.time()
	if !ok {
		return nil, refuse(Incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if r.header("X-Amz-Security-Token") != "" {
		return nil, refuse(Unrecognized, "The security token included in the request is invalid.")
	}
	return newClaim(claim{signature: fields["Signature"], at: at, bodyHash: r.header("X-Amz-Content-Sha256")},
		fields["Credential"], fields["SignedHeaders"])
}

// time is when the request says that it was signed.
func (r *Request) time() (time.Time, bool) {
	if text := r.header("X-Amz-Date"); text != "" {
		at, err := time.Parse(isoBasic, text)
		return at, err == nil
	}
	for _, layout := range []string{isoBasic, http.TimeFormat} {
		if at, err := time.Parse(layout, r.header("Date")); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func parameters(query string) map[string][]string {
	all := map[string][]string{}
	for _, p := range parseQuery(query) {
		all[p[0]] = append(all[p[0]], p[1])
	}
	return all
}

// queryClaim reads a presigned request.
func (r *Request) queryClaim(query map[string][]string) (*claim, *Error) {
	one := func(name string) string {
		if list := query[name]; len(list) == 1 {
			return list[0]
		}
		return ""
	}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if one(name) == "" {
			return nil, refuse(Incomplete, "AWS query-string parameters must include '%s', once.", name)
		}
	}
	if one("X-Amz-Algorithm") != algorithm {
		return nil, refuse(Incomplete, "Unsupported AWS 'algorithm': only %s is understood.", algorithm)
	}
	at, err := time.Parse(isoBasic, one("X-Amz-Date"))
	if err != nil {
		return nil, refuse(Incomplete, "Date must be in ISO-8601 'basic format'. Got something else in 'X-Amz-Date'.")
	}
	seconds, err := strconv.Atoi(one("X-Amz-Expires"))
	if err != nil || seconds < 1 || seconds > int(maxExpires/time.Second) {
		return nil, refuse(Invalid, "X-Amz-Expires must be between 1 and %d seconds.", int(maxExpires/time.Second))
	}
	if query["X-Amz-Security-Token"] != nil {
		return nil, refuse(Unrecognized, "The security token included in the request is invalid.")
	}
	body := one("X-Amz-Content-Sha256")
	if body == "" {
		body = r.header("X-Amz-Content-Sha256")
	}
	return newClaim(claim{signature: one("X-Amz-Signature"), at: at, expires: time.Duration(seconds) * time.Second, bodyHash: body},
		one("X-Amz-Credential"), one("X-Amz-SignedHeaders"))
}

func newClaim(c claim, credential, signed string) (*claim, *Error) {
	parts := strings.Split(credential, "/")
	n := len(parts) - 4 // an ID may have slashes
	if n < 1 || parts[n+3] != terminal {
		return nil, refuse(Incomplete, "Credential must have at least 5 slash-delimited elements, the last of them '%s': ID/YYYYMMDD/REGION/SERVICE/%s.", terminal, terminal)
	}
	c.id = strings.Join(parts[:n], "/")
	c.scope = scope{parts[n], parts[n+1], parts[n+2]}
	for name := range strings.SplitSeq(signed, ";") {
		c.signed = append(c.signed, strings.ToLower(strings.TrimSpace(name)))
	}
	return &c, nil
}
