package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

var dateLine = regexp.MustCompile(`\r\nDate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n`)

// slowly is what fasthttp makes of the same.
func slowly(t fataler, write func(ctx *fasthttp.RequestCtx) error) []byte {
	var ctx fasthttp.RequestCtx
	ctx.Response.Header.SetNoDefaultContentType(true)
	if err := write(&ctx); err != nil {
		t.Fatalf("taken for usual, but: %v", err)
	}
	return appendResponse(nil, &ctx.Response)
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// sameAnswer holds what was written without fasthttp to what fasthttp writes.
func sameAnswer(t fataler, quick, slow []byte) {
	t.Helper()
	if n := len(dateLine.FindAll(quick, -1)); n != 1 {
		t.Fatalf("%d dates in %q", n, quick)
	}
	quick, slow = dateLine.ReplaceAll(quick, []byte("\r\n")), dateLine.ReplaceAll(slow, []byte("\r\n"))
	if !bytes.Equal(quick, slow) {
		t.Fatalf("quickly %q\n slowly %q", quick, slow)
	}
}

// checkQuickAnswer compares the two ways for one result, and tells whether it is usual.
func checkQuickAnswer(t fataler, payload, beside []byte) bool {
	t.Helper()
	result := &hearth.Result{Instance: "i00000000000a", Seq: 7, Cold: len(payload)%2 == 0}
	out, status, body, ok := new(call).quickAnswer([]byte("before"), bytes.Clone(payload), beside, time.Unix(1e9, 0))
	if !ok {
		if string(out) != "before" {
			t.Fatalf("refused, and yet written: %q", out)
		}
		return false
	}
	out = appendInstance(appendHeader(out[len("before"):], "X-Amzn-Requestid", "id"), result)
	out = append(append(out, "\r\n"...), body...)
	slow := slowly(t, func(ctx *fasthttp.RequestCtx) error {
		if err := writeAnswer(ctx, new(call), bytes.Clone(payload), beside); err != nil {
			return err
		}
		if got := ctx.Response.StatusCode(); got != status {
			return fmt.Errorf("status %d, quickly %d", got, status)
		}
		ctx.Response.Header.Set("X-Amzn-Requestid", "id")
		writeInstance(ctx, result)
		return nil
	})
	sameAnswer(t, out, slow)
	return true
}

func TestQuickAnswers(t *testing.T) {
	for payload, usual := range map[string]bool{
		`{"statusCode":200,"body":"hello"}`: true,
		`{"statusCode":404,"headers":{"content-type":"text/plain","x-b-C":"d; e"},"body":"no\n\u00fc"}`: true,
		`{"statusCode":200,"headers":{"Content-Type":"a/b","content-type":"c/d"},"body":"x"}`:           true,
		`{"statusCode":200,"headers":{"Trailers":"1","Up":"2","sERVER-timing":"x"},"body":"x"}`:         true,
		`{"statusCode":418,"headers":{}}`:                      true,
		`{"statusCode":299,"isBase64Encoded":false,"body":""}`: true,
		`"text \u00e4"`:                                                      true,
		` [1, 2] `:                                                           true,
		`null`:                                                               true,
		`{"statusCode":204}`:                                                 false,
		`{"statusCode":"200","body":"x"}`:                                    false,
		`{"statusCode":200.0,"body":"x"}`:                                    false,
		`{"statusCode":600,"body":"x"}`:                                      false,
		`{"statusCode":200,"body":5}`:                                        false,
		`{"statusCode":200,"body":null}`:                                     false,
		`{"statusCode":200,"cookies":["a=b"]}`:                               false,
		`{"statusCode":200,"multiValueHeaders":{}}`:                          false,
		`{"statusCode":200,"headers":{"date":"never"}}`:                      false,
		`{"statusCode":200,"headers":{"a":"1","A":"2"}}`:                     false,
		`{"statusCode":200,"headers":{"x-amzn-requestid":"mine"}}`:           false,
		`{"statusCode":200,"headers":{"X-Hearth-Instance":"mine"}}`:          false,
		`{"statusCode":200,"headers":{"a":1}}`:                               false,
		`{"statusCode":200,"headers":{"a":"\u0062"}}`:                        false,
		`{"statusCode":200,"headers":{"a":"ü"}}`:                             false,
		`{"statusCode":200,"headers":{"transfer-encoding":"chunked"}}`:       false,
		`{"statusCode":200,"headers":{"content-type":""}}`:                   false,
		`{"statusCode":200,"isBase64Encoded":true,"body":"aGVsbG8="}`:        false,
		`{"statusCode":200,"headers":null,"body":"x"}`:                       false,
		`{"statusCode":200,"headers":{"Set-Cookie":"a=b","x":"y"}}`:          false,
		`{"statusCode":200,"headers":{"Content-Encoding":"gzip"},"body":""}`: false,
		`{"statusCode":200`:                                                  false,
	} {
		if got := checkQuickAnswer(t, []byte(payload), nil); got != usual {
			t.Errorf("%s: usual %v, want %v", payload, got, usual)
		}
	}
	if !checkQuickAnswer(t, []byte(`{"statusCode":200,"body":"","headers":{"content-type":"a/b"}}`), []byte("beside")) {
		t.Error("a body beside the result is not unusual")
	}
}

func TestQuickAnswersAreTheSame(t *testing.T) {
	names := rapid.SampledFrom([]string{"content-type", "Content-Type", "X-A", "x-a", "a--b-", "-", "cache-control", "server", "DATE", "Set-Cookie",
		"X-Amzn-RequestId", "x-hearth-instance", "X-Hearth-Invocation", "x-hearth-cold", "connection", "Upgrade", "trailer", "vary", "te", "p3p", "keep-alive", "", "a b", "etag", "access-control-allow-origin"})
	values := rapid.SampledFrom([]any{"", "x", "text/plain; charset=utf-8", "a\\b", `"quoted"`, "ü", "tab\there", "\r\n", 5, true, nil, []int{1}})
	bodies := rapid.SampledFrom([]any{nil, "", "hello", "ü\n\"", `{"a":1}`, 5, "aGVsbG8="})
	rapid.Check(t, func(t *rapid.T) {
		doc := map[string]any{"statusCode": rapid.SampledFrom([]any{200, 200, 200, 201, 204, 301, 304, 404, 503, 599, 600, 199, "200", 200.5, nil}).Draw(t, "status")}
		if rapid.Bool().Draw(t, "headers") {
			headers := map[string]any{}
			for range rapid.IntRange(0, 20).Draw(t, "many") {
				headers[names.Draw(t, "name")] = values.Draw(t, "value")
			}
			doc["headers"] = headers
		}
		if rapid.Bool().Draw(t, "body") {
			doc["body"] = bodies.Draw(t, "what")
		}
		for _, member := range []string{"isBase64Encoded", "cookies", "multiValueHeaders"} {
			if rapid.IntRange(0, 9).Draw(t, member) == 0 {
				doc[member] = rapid.SampledFrom([]any{nil, true, false, []string{"a=b"}, map[string]any{"x": []string{"y"}}}).Draw(t, "it")
			}
		}
		payload, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		var beside []byte
		if rapid.Bool().Draw(t, "beside") {
			beside = []byte("beside")
		}
		checkQuickAnswer(t, payload, beside)
	})
}

func FuzzQuickAnswer(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b"},"body":"x"}`), []byte(nil))
	f.Add([]byte(`"text"`), []byte("beside"))
	f.Fuzz(func(t *testing.T, payload, beside []byte) { checkQuickAnswer(t, payload, beside) })
}

func TestQuickResultsAreTheSame(t *testing.T) {
	for _, result := range []*hearth.Result{
		{Payload: []byte("{}"), Instance: "i00000000000a", Seq: 1, Cold: true},
		{Payload: []byte(`"much"`), Instance: "i00000000000b", Seq: 18446744073709551615, Version: "12"},
	} {
		quick := append(append(appendResultHead(nil, "id", result, time.Unix(1e9, 0)), "\r\n"...), result.Payload...)
		sameAnswer(t, quick, slowly(t, func(ctx *fasthttp.RequestCtx) error {
			writeResult(ctx, "id", result, false)
			return nil
		}))
	}
}

func TestStamps(t *testing.T) {
	for _, second := range []int64{0, 1e9, 1e9, 1e9 + 1, -1, 1e9} {
		now := time.Unix(second, 999)
		s := stampOf(now)
		if want := now.UTC().Format("02/Jan/2006:15:04:05 -0700"); s.event != want {
			t.Errorf("the event's time is %s, want %s", s.event, want)
		}
		if want := string(fasthttp.AppendHTTPDate(nil, now)); s.date != want {
			t.Errorf("the date is %s, want %s", s.date, want)
		}
	}
}
