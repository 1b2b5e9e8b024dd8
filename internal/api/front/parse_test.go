package front

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func TestParse(t *testing.T) {
	const rest = "Host: h\r\n\r\n"
	for text, want := range map[string]verdict{
		"GET /fn/x HTTP/1.1\r\n" + rest:                                      plain,
		"POST /fn/x HTTP/1.1\r\nHost: h\r\ncontent-length:\t5 \r\n\r\nhello": plain,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n":        plain,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n":             plain,
		"GET / HTTP/1.1\r\nHost: h\r\nX: \xe4\r\n\r\n":                       plain,
		"GET / HTTP/1.1\r\nHost: h\r\nX:\r\n\r\n":                            plain,
		"":                                incomplete,
		"GET / HTTP/1.1\r\nHost: h\r\n":   incomplete,
		"GET / HTTP/1.1\r\nHost: h\r\n\r": incomplete,
		"GET / HTTP/1.1\n":                odd,
		"GET / HTTP/1.1\r\n\r\n":          odd, // no host
		"GET / HTTP/1.1\r\nHost:\r\n\r\n": odd,
		"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n":                                     odd,
		"GET / HTTP/1.0\r\n" + rest:                                                        odd,
		"GET  / HTTP/1.1\r\n" + rest:                                                       odd,
		"GET / HTTP/1.1 \r\n" + rest:                                                       odd,
		"GET http://h/ HTTP/1.1\r\n" + rest:                                                odd,
		"OPTIONS * HTTP/1.1\r\n" + rest:                                                    odd,
		"HEAD / HTTP/1.1\r\n" + rest:                                                       odd,
		"get / HTTP/1.1\r\n" + rest:                                                        odd,
		"GET /\x7f HTTP/1.1\r\n" + rest:                                                    odd,
		"GET /\xc3\xa4 HTTP/1.1\r\n" + rest:                                                odd,
		"PRI * HTTP/2.0\r\n\r\n":                                                           odd,
		"\r\nGET / HTTP/1.1\r\n" + rest:                                                    odd,
		"GET / HTTP/1.1\r\nX: a\r\n b\r\nHost: h\r\n\r\n":                                  odd, // folded
		"GET / HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n":                                       odd,
		"GET / HTTP/1.1\r\nX : a\r\nHost: h\r\n\r\n":                                       odd,
		"GET / HTTP/1.1\r\nX\r\nHost: h\r\n\r\n":                                           odd,
		"GET / HTTP/1.1\r\nX: a\x00b\r\nHost: h\r\n\r\n":                                   odd,
		"GET / HTTP/1.1\r\nX: a\rb\r\nHost: h\r\n\r\n":                                     odd,
		"GET / HTTP/1.1\r\nX: a\nContent-Length: 4\r\nHost: h\r\n\r\n":                     odd,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx":    odd,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx":                        odd,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\nx":                       odd,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\nx":               odd,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":        odd,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\ntransfer-encoding: x\r\n\r\nx": odd,
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx": odd,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n":         odd,
		"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n":                          odd,
		"GET / HTTP/1.1\r\nHost: h\r\nKeep-Alive: timeout=5\r\n\r\n":                       odd,
		"GET / HTTP/1.1\r\nHost: h\r\nTrailer: X\r\n\r\n":                                  odd,
	} {
		var h head
		if got := parse([]byte(text), &h); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// FuzzParse: what parse takes for plain, two servers that know all of HTTP understand
// in the same way.
func FuzzParse(f *testing.F) {
	f.Add([]byte("POST /fn/x?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Y: z \r\n\r\nhello"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		if parse(b, &h) != plain {
			return
		}
		if h.size > len(b) || h.body < 0 {
			t.Fatalf("%+v", h)
		}
		std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			if strings.Contains(err.Error(), "parse ") || strings.Contains(err.Error(), "malformed Host") {
				return // net/http looks into the target and the host as well
			}
			t.Fatalf("net/http refuses it: %v", err)
		}
		if std.Method != string(h.Method) || std.RequestURI != string(h.Target) || std.Host != string(h.Host) ||
			std.ContentLength != int64(h.body) || std.Close != h.Close {
			t.Errorf("net/http: %s %s %q %d %v", std.Method, std.RequestURI, std.Host, std.ContentLength, std.Close)
		}
		var fast fasthttp.RequestHeader
		if err := fast.Read(bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)); err != nil {
			t.Fatalf("fasthttp refuses it: %v", err)
		}
		length := fast.ContentLength()
		if length < 0 && fast.Peek("Content-Length") == nil {
			length = 0 // it says -2 when there is none
		}
		if string(fast.Method()) != string(h.Method) || string(fast.RequestURI()) != string(h.Target) || length != h.body ||
			!bytes.Equal(bytes.TrimSuffix(fast.RawHeaders(), endOfHead[:2]), h.Headers) {
			t.Errorf("fasthttp: %s %s %s\n%q\n%q", fast.Method(), fast.RequestURI(), strconv.Itoa(length), fast.RawHeaders(), h.Headers)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := []byte("POST /fn/hello/any/path?x=1&y=2 HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		var h head
		if parse(text, &h) != plain {
			b.Fatal("not plain")
		}
	}
}
