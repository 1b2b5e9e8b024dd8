package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
)

// typeMalformed is the error type of a result that cannot be made an HTTP answer.
const typeMalformed = "Hearth.MalformedResponse"

// answerURL writes what a function returned as the answer to its URL.
func (s *Server) answerURL(ctx *fasthttp.RequestCtx, c *call, id string, result *hearth.Result) {
	switch {
	case result.Stream != nil:
		s.streamURL(ctx, c, id, result)
		return
	case result.FunctionError != "":
		s.failedURL(ctx, id, causeOf(result))
		return
	}
	if err := writeAnswer(ctx, c, result.Payload, result.Body); err != nil {
		s.failedURL(ctx, id, failureCause{typeMalformed, err.Error()})
		return
	}
	ctx.Response.Header.Set("X-Amzn-Requestid", id)
	writeInstance(ctx, result)
}

// causeOf is what a failed result says about itself.
func causeOf(result *hearth.Result) failureCause {
	var doc hearth.FailureDoc
	if json.Unmarshal(result.Payload, &doc) != nil || doc.ErrorType == "" {
		return failureCause{result.FunctionError, "the function failed without saying how"}
	}
	return failureCause{doc.ErrorType, doc.ErrorMessage}
}

// answer is a result that has a statusCode: the raw text of its parts, nil for
// those that are missing or null.
type answer struct {
	status, headers, multi, cookies, body, encoded []byte

	beside []byte // the body itself, if it came beside the result
}

// writeAnswer maps payload, a function's result, to ctx's response, with its body if
// that came beside it. On an error, which is in words for the function's owner, the
// response is half done.
func writeAnswer(ctx *fasthttp.RequestCtx, c *call, payload, beside []byte) error {
	if !validJSON(payload) {
		return fmt.Errorf("the function's result is not JSON")
	}
	c.scratch = c.scratch[:0]
	value := payload[skipSpace(payload, 0):]
	a, proxy := readAnswer(value)
	if !proxy {
		ctx.SetContentType(typeJSON)
		if value[0] == '"' {
			ctx.Response.SetBody(unquoted(value[:skipString(value, 0)], &c.scratch))
		} else {
			ctx.Response.SetBodyRaw(payload)
		}
		return nil
	}
	a.beside = beside
	status, err := a.statusCode()
	if err != nil {
		return err
	}
	ctx.SetStatusCode(status)
	if err := a.writeHeaders(ctx, c); err != nil {
		return err
	}
	if len(ctx.Response.Header.ContentType()) == 0 {
		ctx.SetContentType(typeJSON)
	}
	return a.writeBody(ctx, c)
}

// readAnswer finds the parts of a result. It is a proxy answer, and not just data,
// when it is an object that has a statusCode (payload format 2.0).
func readAnswer(value []byte) (a answer, proxy bool) {
	if value[0] != '{' {
		return a, false
	}
	members := elementsOf(value)
	for {
		key, part, ok := members.next()
		if !ok {
			return a, proxy
		}
		switch {
		case isKey(key, "statusCode"):
			a.status, proxy = part, true
		case isKey(key, "headers"):
			a.headers = part
		case isKey(key, "multiValueHeaders"):
			a.multi = part
		case isKey(key, "cookies"):
			a.cookies = part
		case isKey(key, "body"):
			a.body = part
		case isKey(key, "isBase64Encoded"):
			a.encoded = part
		}
	}
}

// statusCode accepts 200 and "200": both are seen in the wild.
func (a *answer) statusCode() (int, error) {
	text := a.status
	if text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	if n, err := strconv.ParseFloat(string(text), 64); err == nil && n == float64(int(n)) && n >= 200 && n <= 599 {
		return int(n), nil
	}
	return 0, fmt.Errorf("statusCode is %s; it must be a whole number from 200 to 599", clip(string(a.status)))
}

func (a *answer) writeHeaders(ctx *fasthttp.RequestCtx, c *call) error {
	if err := eachMember("headers", a.headers, func(key, value []byte) error {
		return addHeader(ctx, c, key, value, false)
	}); err != nil {
		return err
	}
	if err := eachMember("multiValueHeaders", a.multi, func(key, values []byte) error {
		return eachElement("each of multiValueHeaders", values, func(value []byte) error {
			return addHeader(ctx, c, key, value, true)
		})
	}); err != nil {
		return err
	}
	return eachElement("cookies", a.cookies, func(value []byte) error {
		return addHeader(ctx, c, []byte(`"Set-Cookie"`), value, true)
	})
}

func eachMember(what string, object []byte, do func(key, value []byte) error) error {
	if object == nil || object[0] == 'n' {
		return nil
	}
	if object[0] != '{' {
		return fmt.Errorf("%s must be an object", what)
	}
	members := elementsOf(object)
	for {
		key, value, ok := members.next()
		if !ok {
			return nil
		}
		if err := do(key, value); err != nil {
			return err
		}
	}
}

func eachElement(what string, array []byte, do func(value []byte) error) error {
	if array == nil || array[0] == 'n' {
		return nil
	}
	if array[0] != '[' {
		return fmt.Errorf("%s must be an array of strings", what)
	}
	members := elementsOf(array)
	for {
		_, value, ok := members.next()
		if !ok {
			return nil
		}
		if err := do(value); err != nil {
			return err
		}
	}
}

// addHeader takes one header of a result. Strings, numbers and booleans can be the
// value of a header; null leaves the header out.
func addHeader(ctx *fasthttp.RequestCtx, c *call, rawKey, rawValue []byte, add bool) error {
	key := unquoted(rawKey, &c.scratch)
	value := rawValue
	switch rawValue[0] {
	case 'n':
		return nil
	case '{', '[':
		return fmt.Errorf("header %q must be a string, not %s", clip(string(key)), clip(string(rawValue)))
	case '"':
		value = unquoted(rawValue, &c.scratch)
	}
	if !isToken(key) {
		return fmt.Errorf("%q cannot be the name of a header", clip(string(key)))
	}
	if bytes.ContainsAny(value, "\r\n\x00") {
		return fmt.Errorf("header %q has a line break in its value", key)
	}
	switch h := &ctx.Response.Header; {
	case isFraming(key):
	case add || equalFold(key, "set-cookie"):
		h.AddBytesKV(key, value)
	default:
		h.SetBytesKV(key, value)
	}
	return nil
}

// isFraming tells the headers of an answer that the server alone may write.
func isFraming(name []byte) bool {
	for _, framing := range [...]string{
		"connection", "content-length", "keep-alive", "proxy-authenticate", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade",
	} {
		if equalFold(name, framing) {
			return true
		}
	}
	return false
}

// isToken tells whether name can be a header's name (RFC 9110, 5.6.2).
func isToken(name []byte) bool {
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0:
		default:
			return false
		}
	}
	return len(name) > 0
}

func (a *answer) writeBody(ctx *fasthttp.RequestCtx, c *call) error {
	if a.body == nil || a.body[0] == 'n' {
		return nil
	}
	if a.body[0] != '"' {
		return fmt.Errorf("body must be a string; make it one, for example with JSON.stringify or json.dumps")
	}
	switch string(a.encoded) {
	case "true":
		text := a.beside
		if text == nil {
			text = unquoted(a.body, &c.scratch)
		}
		begin := len(c.scratch)
		decoded, err := base64.StdEncoding.AppendDecode(c.scratch, text)
		if err != nil {
			return fmt.Errorf("isBase64Encoded is true but body is not base64")
		}
		c.scratch = decoded
		ctx.Response.SetBody(decoded[begin:])
		return nil
	case "", "false", "null":
	default:
		return fmt.Errorf("isBase64Encoded must be true or false")
	}
	if a.beside != nil {
		ctx.Response.SetBodyRaw(a.beside)
		return nil
	}
	if text := a.body[1 : len(a.body)-1]; bytes.IndexByte(text, '\\') < 0 {
		ctx.Response.SetBodyRaw(text)
		return nil
	}
	ctx.Response.SetBody(unquoted(a.body, &c.scratch))
	return nil
}
