package sigv4

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	vectorTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	vectorKey  = Key{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
)

// TestVectors are requests of AWS's published test suite, and of the IAM user guide.
func TestVectors(t *testing.T) {
	host := []Header{{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}}
	with := func(more ...Header) []Header { return append(host[:len(host):len(host)], more...) }
	for _, c := range []struct {
		name, service string
		request       Request
		want          string
	}{
		{"get-vanilla", "service", Request{Method: "GET", Path: "/", Headers: host},
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"post-vanilla", "service", Request{Method: "POST", Path: "/", Headers: host},
			"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"get-vanilla-query-order-key-case", "service", Request{Method: "GET", Path: "/", Query: "Param2=value2&Param1=value1", Headers: host},
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"get-header-value-trim", "service", Request{Method: "GET", Path: "/", Headers: with(Header{"My-Header1", " value1"}, Header{"My-Header2", ` "a   b   c"`})},
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		{"get-header-key-duplicate", "service", Request{Method: "GET", Path: "/", Headers: with(Header{"My-Header1", "value2"}, Header{"My-Header1", "value2"}, Header{"My-Header1", "value1"})},
			"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		{"IAM ListUsers", "iam", Request{Method: "GET", Path: "/", Query: "Action=ListUsers&Version=2010-05-08", Headers: []Header{
			{"Host", "iam.amazonaws.com"}, {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}, {"X-Amz-Date", "20150830T123600Z"}}},
			"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
	} {
		signer := Signer{vectorKey, "us-east-1", c.service}
		auth := signer.Sign(&c.request, vectorTime)
		if _, got, _ := strings.Cut(auth, "Signature="); got != c.want {
			t.Errorf("%s: the signature is %s, want %s", c.name, got, c.want)
		}
		c.request.Headers = append(c.request.Headers, Header{"Authorization", auth})
		v := Verifier{Keys: map[string]string{vectorKey.ID: vectorKey.Secret}, Service: c.service}
		if err := v.Verify(&c.request, vectorTime); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestPathsAreEncodedTwice compares with what an ARN in a path must become.
func TestPathsAreEncodedTwice(t *testing.T) {
	r := Request{Method: "GET", Path: "/2015-03-31/functions/a%3Ab/x:y"}
	if got := r.canonical(nil, ""); !strings.HasPrefix(got, "GET\n/2015-03-31/functions/a%253Ab/x%3Ay\n") {
		t.Error(got)
	}
}

func TestRefusals(t *testing.T) {
	signer := Signer{vectorKey, "us-east-1", "lambda"}
	v := Verifier{Keys: map[string]string{vectorKey.ID: vectorKey.Secret}, Service: "lambda"}
	request := func(more ...Header) *Request {
		return &Request{Method: "POST", Path: "/a", Body: []byte("body"),
			Headers: append([]Header{{"Host", "h"}, {"X-Amz-Date", "20150830T123600Z"}}, more...)}
	}
	signed := func(s Signer, more ...Header) *Request {
		r := request(more...)
		r.Headers = append(r.Headers, Header{"Authorization", s.Sign(r, vectorTime)})
		return r
	}
	presigned := func() *Request {
		r := Request{Method: "GET", Path: "/a", Headers: []Header{{"Host", "h"}}}
		r.Query = signer.Presign(r, vectorTime, time.Hour)
		return &r
	}
	edit := func(r *Request, f func(*Request)) *Request { f(r); return r }
	for _, c := range []struct {
		name, want string
		request    *Request
		after      time.Duration
	}{
		{"good", "", signed(signer), 0},
		{"late, but good", "", signed(signer), MaxSkew},
		{"body not signed", "", edit(signed(signer, Header{"X-Amz-Content-Sha256", UnsignedPayload}), func(r *Request) { r.Body = nil }), 0},
		{"presigned", "", presigned(), time.Hour},
		{"nothing", MissingToken + ": Missing Authentication Token", request(), 0},
		{"basic", MissingToken, request(Header{"Authorization", "Basic abc"}), 0},
		{"no signature", Incomplete + ": Authorization header requires 'Signature'", request(Header{"Authorization", algorithm + " Credential=a, SignedHeaders=host"}), 0},
		{"short credential", Incomplete, request(Header{"Authorization", algorithm + " Credential=a/b, SignedHeaders=host, Signature=0"}), 0},
		{"unknown key", Unrecognized + ": The security token included in the request is invalid.", signed(Signer{Key{"other", "x"}, "r", "lambda"}), 0},
		{"session token", Unrecognized, signed(signer, Header{"X-Amz-Security-Token", "x"}), 0},
		{"wrong secret", Invalid + ": The request signature we calculated", signed(Signer{Key{vectorKey.ID, "x"}, "r", "lambda"}), 0},
		{"wrong service", Invalid + ": Credential should be scoped to correct service: 'lambda'.", signed(Signer{vectorKey, "r", "s3"}), 0},
		{"expired", Invalid + ": Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)", signed(signer), MaxSkew + time.Second},
		{"early", Invalid + ": Signature not yet current", signed(signer), -MaxSkew - time.Second},
		{"other body", Invalid, edit(signed(signer), func(r *Request) { r.Body = []byte("else") }), 0},
		{"other body than declared", Invalid, signed(signer, Header{"X-Amz-Content-Sha256", hash([]byte("else"))}), 0},
		{"added header", Invalid + ": 'x-amz-invocation-type' must be", edit(signed(signer), func(r *Request) {
			r.Headers = append(r.Headers, Header{"X-Amz-Invocation-Type", "Event"})
		}), 0},
		{"presigned, expired", Invalid + ": Signature expired: 20150830T133600Z", presigned(), time.Hour + time.Second},
		{"presigned, for longer", Invalid, edit(presigned(), func(r *Request) { r.Query = strings.Replace(r.Query, "Expires=3600", "Expires=7200", 1) }), 0},
		{"presigned, twice", Incomplete, edit(presigned(), func(r *Request) { r.Query += "&X-Amz-Expires=1" }), 0},
	} {
		err := v.Verify(c.request, vectorTime.Add(c.after))
		// What the head alone shows is refused in the same words; what it does not show is
		// about the body.
		if head := v.VerifyHead(c.request, vectorTime.Add(c.after)); head == nil && err != nil && !strings.Contains(c.name, "body") && c.name != "wrong secret" ||
			head != nil && (err == nil || head.Error() != err.Error()) {
			t.Errorf("%s: from the head alone %v, with the body %v", c.name, head, err)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestTampering changes one thing of a signed request; only the untouched one passes.
func TestTampering(t *testing.T) {
	text := rapid.StringMatching(`[ -~]{0,12}`)
	escaped := rapid.Map(text, func(s string) string { return escape(s, false) })
	rapid.Check(t, func(t *rapid.T) {
		key := Key{rapid.StringMatching(`[A-Z]{4,8}`).Draw(t, "id"), rapid.StringMatching(`[a-z+/]{16,20}`).Draw(t, "secret")}
		signer := Signer{key, rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "region"), "lambda"}
		r := &Request{
			Method: rapid.SampledFrom([]string{"GET", "POST", "DELETE"}).Draw(t, "method"),
			Path:   "/" + escaped.Draw(t, "path"), Query: escaped.Draw(t, "name") + "=" + escaped.Draw(t, "value"),
			Body:    []byte(text.Draw(t, "body")),
			Headers: []Header{{"host", "h"}, {"X-Amz-Date", "20150830T123600Z"}, {"X-Amz-Meta", text.Draw(t, "header")}},
		}
		r.Headers = append(r.Headers, Header{"Authorization", signer.Sign(r, vectorTime)})
		v := Verifier{Keys: map[string]string{key.ID: key.Secret}, Service: "lambda"}
		if err := v.Verify(r, vectorTime); err != nil {
			t.Fatalf("untouched: %v", err)
		}
		switch rapid.IntRange(0, 6).Draw(t, "change") {
		case 0:
			r.Method += "X"
		case 1:
			r.Path += "x"
		case 2:
			r.Query += "&x=y"
		case 3:
			r.Body = append(r.Body, 'x')
		case 4:
			r.Headers[2].Value += "x"
		case 5:
			r.Headers[0].Value += "x"
		case 6:
			v.Keys[key.ID] += "x"
		}
		if v.Verify(r, vectorTime) == nil {
			t.Fatal("what was changed passes")
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=a/20150830/r/lambda/aws4_request, SignedHeaders=host, Signature=00", "a=b%2")
	f.Add("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%2F%2F%2F%2F&X-Amz-Expires=9")
	v := Verifier{Keys: map[string]string{"a": "secret"}, Service: "lambda"}
	f.Fuzz(func(t *testing.T, auth, query string) {
		r := Request{Method: "GET", Path: "/", Query: query, Headers: []Header{{"Host", "h"}, {"Authorization", auth}, {"X-Amz-Date", "20150830T123600Z"}}}
		if v.Verify(&r, vectorTime) == nil {
			t.Error("a guess passes")
		}
		r.Headers = r.Headers[:1]
		if v.Verify(&r, vectorTime) == nil {
			t.Error("a guess passes")
		}
	})
}

func TestParseKeys(t *testing.T) {
	keys, err := ParseKeys("# ours\nA:0123456789abcdef\n\nB:0123456789abcde:, C:0123456789abcdef \n")
	if err != nil || len(keys) != 3 || keys[1] != (Key{"B", "0123456789abcde:"}) {
		t.Error(keys, err)
	}
	for text, want := range map[string]string{
		"A":                                     "line 1: an access key is ID:SECRET",
		"\nA:hushhush":                          "line 2: the secret of access key A has 8 characters",
		"A/B:0123456789abcdef":                  "line 1: the ID",
		"A:0123456789abcdef,A:0123456789abcdef": "twice",
	} {
		_, err := ParseKeys(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
