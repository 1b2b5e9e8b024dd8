package api

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// misreadable tells requests that a proxy in front, or the function, could read in
// another way than we do (RFC 9112, 2.3, 5 and 6.3): the status and the words to refuse
// them with; 0 for all others. fasthttp lets them pass.
func misreadable(ctx *fasthttp.RequestCtx) (status int, words string) {
	h := &ctx.Request.Header
	if _, ok := ctx.Conn().(http2Stream); ok {
		return 0, "" // frames leave no doubt
	}
	if p := h.Protocol(); len(p) != len("HTTP/1.1") || string(p[:len("HTTP/1.")]) != "HTTP/1." {
		return fasthttp.StatusHTTPVersionNotSupported, "The request is of a version of HTTP that is not spoken here: write HTTP/1.1, or begin with HTTP/2."
	}
	length, encoding := false, false
	for raw := h.RawHeaders(); len(raw) > 0; {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte("\n"))
		if len(line) == 0 || line[0] == '\r' {
			continue
		}
		name, _, _ := bytes.Cut(line, []byte(":"))
		if !isToken(name) { // also a line that continues the one before
			return fasthttp.StatusBadRequest, "A header is malformed: its name has a character that names cannot have, or it goes on in a second line."
		}
		switch name[0] | 0x20 {
		case 'c':
			length = length || equalFold(name, "content-length")
		case 't':
			encoding = encoding || equalFold(name, "transfer-encoding")
		}
	}
	if length && encoding {
		return fasthttp.StatusBadRequest, "The request has both Content-Length and Transfer-Encoding, so nobody can say where it ends."
	}
	return 0, ""
}
