package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	terminal  = "aws4_request"
	isoBasic  = "20060102T150405Z"
	// UnsignedPayload stands for the hash of a body that is not signed.
	UnsignedPayload = "UNSIGNED-PAYLOAD"
)

// Header is one line of a request's head.
type Header struct{ Name, Value string }

// Request is what is signed, as it is on the wire.
type Request struct {
	Method  string
	Path    string   // percent-encoded, as sent
	Query   string   // likewise, without the question mark
	Headers []Header // with Host; in the order sent
	Body    []byte
}

// scope is what a signing key is good for.
type scope struct{ date, region, service string }

func (s scope) String() string {
	return s.date + "/" + s.region + "/" + s.service + "/" + terminal
}

// values are the values of all headers of that name.
func (r *Request) values(name string) []string {
	var list []string
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, name) {
			list = append(list, h.Value)
		}
	}
	return list
}

func (r *Request) header(name string) string {
	if list := r.values(name); len(list) > 0 {
		return strings.TrimSpace(list[0])
	}
	return ""
}

// canonical is the text that stands for the request. signed are names of headers in
// lower case, in the order in which the signer gave them.
func (r *Request) canonical(signed []string, bodyHash string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + escape(r.path(), true) + "\n" + canonicalQuery(r.Query) + "\n")
	for _, name := range signed {
		values := r.values(name)
		for i, v := range values {
			values[i] = oneSpace(v)
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + bodyHash)
	return b.String()
}

func (r *Request) path() string {
	if r.Path == "" {
		return "/"
	}
	return r.Path
}

// oneSpace trims the value and leaves one space of several.
func oneSpace(v string) string {
	v = strings.Trim(v, " \t")
	for strings.Contains(v, "  ") {
		v = strings.ReplaceAll(v, "  ", " ")
	}
	return v
}

// canonicalQuery sorts the parameters by encoded name and then value. The signature
// itself is left out: a presigned request cannot sign it.
func canonicalQuery(query string) string {
	var list [][2]string
	for _, p := range parseQuery(query) {
		if p[0] != "X-Amz-Signature" {
			list = append(list, [2]string{escape(p[0], false), escape(p[1], false)})
		}
	}
	slices.SortFunc(list, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	pairs := make([]string, len(list))
	for i, p := range list {
		pairs[i] = p[0] + "=" + p[1]
	}
	return strings.Join(pairs, "&")
}

// parseQuery splits a query string into decoded names and values. What is no valid
// escape stands for itself.
func parseQuery(query string) [][2]string {
	var list [][2]string
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		list = append(list, [2]string{unescape(name), unescape(value)})
	}
	return list
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s):
			c, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				b = append(b, '%')
				continue
			}
			b = append(b, c[0])
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

// escape encodes all bytes but the unreserved characters of RFC 3986.
func escape(s string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// signature is the keyed hash of the canonical request, in hexadecimal.
func signature(secret string, at time.Time, s scope, canonical string) string {
	key := mac([]byte("AWS4"+secret), s.date)
	for _, part := range []string{s.region, s.service, terminal} {
		key = mac(key, part)
	}
	text := algorithm + "\n" + at.UTC().Format(isoBasic) + "\n" + s.String() + "\n" + hash([]byte(canonical))
	return hex.EncodeToString(mac(key, text))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
