package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hearth/internal/hearth/jsontext"

	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"
)

// httpAnswer is an answer to a function URL, for comparison.
type httpAnswer struct {
	failed  bool
	status  int
	headers map[string]string // but for those that the server writes itself
	cookies []string
	body    string
}

// slowAnswer maps a result with encoding/json alone, as the rules say it in words.
func slowAnswer(payload []byte) httpAnswer {
	var any any
	if json.Unmarshal(payload, &any) != nil {
		return httpAnswer{failed: true}
	}
	plain := httpAnswer{status: 200, headers: map[string]string{"content-type": typeJSON}, body: string(payload)}
	if text, ok := any.(string); ok {
		plain.body = text
		return plain
	}
	members, ok := any.(map[string]interface{})
	status, proxy := members["statusCode"]
	if !ok || !proxy {
		return plain
	}
	a := httpAnswer{headers: map[string]string{"content-type": typeJSON}}
	a.status, ok = slowStatus(status)
	a.failed = !ok
	a.slowHeaders(members["headers"])
	switch list := members["cookies"].(type) {
	case nil:
	case []interface{}:
		for _, v := range list {
			if text, ok := a.slowValue(v); ok {
				a.cookies = append(a.cookies, text)
			}
		}
	default:
		a.failed = true
	}
	body, isText := members["body"].(string)
	if !isText && members["body"] != nil {
		a.failed = true
	}
	a.body = body
	switch encoded := members["isBase64Encoded"].(type) {
	case nil:
	case bool:
		if encoded && isText {
			decoded, err := base64.StdEncoding.DecodeString(body)
			a.failed = a.failed || err != nil
			a.body = string(decoded)
		}
	default:
		a.failed = a.failed || isText
	}
	if a.failed {
		return httpAnswer{failed: true}
	}
	return a
}

func slowStatus(v any) (int, bool) {
	n, ok := v.(float64)
	if text, isText := v.(string); isText {
		var err error
		n, err = strconv.ParseFloat(text, 64)
		ok = err == nil
	}
	return int(n), ok && n == math.Trunc(n) && n >= 200 && n <= 599
}

func (a *httpAnswer) slowHeaders(v any) {
	switch headers := v.(type) {
	case nil:
	case map[string]interface{}:
		for name, v := range headers {
			text, ok := a.slowValue(v)
			switch {
			case v == nil:
			case !isToken([]byte(name)):
				a.failed = true
			case ok && (text != "" || !strings.EqualFold(name, "content-type")): // an empty type is none
				a.headers[strings.ToLower(name)] = text
			}
		}
	default:
		a.failed = true
	}
}

func (a *httpAnswer) slowValue(v any) (string, bool) {
	text := ""
	switch v := v.(type) {
	case nil:
		return "", false
	case string:
		text = v
	case bool, json.Number, float64:
		text = fmt.Sprint(v)
	default:
		a.failed = true
	}
	if strings.ContainsAny(text, "\r\n\x00") {
		a.failed = true
	}
	return text, true
}

// fastAnswer maps a result with the code under test.
func fastAnswer(c *call, payload []byte) httpAnswer {
	var ctx fasthttp.RequestCtx
	ctx.Response.Header.SetNoDefaultContentType(true)
	return answerOf(&ctx, writeAnswer(&ctx, c, bytes.Clone(payload), nil))
}

func answerOf(ctx *fasthttp.RequestCtx, err error) httpAnswer {
	if err != nil {
		return httpAnswer{failed: true}
	}
	a := httpAnswer{status: ctx.Response.StatusCode(), headers: map[string]string{}, body: string(ctx.Response.Body())}
	for key, value := range ctx.Response.Header.All() {
		if name := strings.ToLower(string(key)); name == "set-cookie" {
			a.cookies = append(a.cookies, string(value))
		} else if name != "content-length" {
			a.headers[name] = string(value)
		}
	}
	return a
}

// TestAnswerProperty compares the fast mapping with the slow one on results of every
// kind, with members missing, null, doubled, of wrong types, and oddly written.
func TestAnswerProperty(t *testing.T) {
	c := new(call)
	rapid.Check(t, func(t *rapid.T) {
		payload := resultText.Draw(t, "payload")
		fast, slow := fastAnswer(c, payload), slowAnswer(payload)
		if fast.failed != slow.failed || fast.status != slow.status || fast.body != slow.body ||
			!maps.Equal(fast.headers, slow.headers) || !slices.Equal(fast.cookies, slow.cookies) {
			t.Fatalf("%s\nfast %+v\nslow %+v", payload, fast, slow)
		}
	})
}

// TestAnswerBesideProperty: a body that comes beside its answer is the same as within.
func TestAnswerBesideProperty(t *testing.T) {
	c := new(call)
	rapid.Check(t, func(t *rapid.T) {
		doc := map[string]any{"statusCode": 200, "headers": map[string]string{"x-a": "1"}, "body": rapid.String().Draw(t, "body")}
		if rapid.Bool().Draw(t, "encoded") {
			doc["isBase64Encoded"] = true
			if rapid.Bool().Draw(t, "rightly") {
				doc["body"] = base64.StdEncoding.EncodeToString(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
			}
		}
		within, _ := json.Marshal(doc)
		body := []byte(doc["body"].(string))
		doc["body"] = ""
		head, _ := json.Marshal(doc)
		var ctx fasthttp.RequestCtx
		ctx.Response.Header.SetNoDefaultContentType(true)
		beside := answerOf(&ctx, writeAnswer(&ctx, c, head, body))
		if want := fastAnswer(c, within); !reflect.DeepEqual(beside, want) {
			t.Fatalf("%s\nbeside %+v\nwithin %+v", within, beside, want)
		}
	})
}

var (
	jsonString = rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{
			"a", "é", "/", " ", `\"`, `\\`, `\/`, `\n`, `\t`, `\b`, `\f`, `\u0041`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ude00x`, `\ud83d\u0041`, "aGk=", "😀",
		}), 0, 6).Draw(t, "parts")
		return `"` + strings.Join(parts, "") + `"`
	})
	jsonScalar = rapid.OneOf(jsonString, rapid.SampledFrom([]string{"null", "true", "false", "0", "12", "-3", `""`, `"aGVsbG8="`}))
	jsonAny    = rapid.OneOf(jsonScalar, rapid.SampledFrom([]string{"[]", "{}", `[1,"]",{"a":"}"}]`, `{"a":{"b":["\"","\\"]}}`, ` [ 1 , 2 ] `}))
	headerName = rapid.SampledFrom([]string{`"X-A"`, `"X-B"`, `"Content-Type"`, `"\u0058-C"`, `"not a name"`, `""`})
	resultText = rapid.Custom(func(t *rapid.T) []byte {
		if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
			return []byte(jsonAny.Draw(t, "any"))
		}
		space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
		member := func(name string, value *rapid.Generator[string]) *rapid.Generator[string] {
			return rapid.Custom(func(t *rapid.T) string {
				return space.Draw(t, "s") + `"` + name + `"` + space.Draw(t, "s") + ":" + space.Draw(t, "s") + value.Draw(t, name) + space.Draw(t, "s")
			})
		}
		headers := rapid.Custom(func(t *rapid.T) string {
			names := rapid.SliceOfNDistinct(headerName, 0, 4, rapid.ID[string]).Draw(t, "names")
			var list []string
			for _, name := range names {
				list = append(list, name+":"+jsonScalar.Draw(t, "value"))
			}
			return "{" + strings.Join(list, ",") + "}"
		})
		cookies := rapid.Custom(func(t *rapid.T) string {
			return "[" + strings.Join(rapid.SliceOfN(jsonString, 0, 3).Draw(t, "cookies"), ",") + "]"
		})
		members := rapid.SliceOfN(rapid.OneOf(
			member("statusCode", rapid.SampledFrom([]string{"200", "404", "200.0", "2e2", "199", "600", `"201"`, `"x"`, "null", "true", "200.5"})),
			member("statusCode", rapid.Just("200")), member("statusCode", rapid.Just("200")),
			member("headers", headers), member("headers", jsonAny),
			member("cookies", cookies), member("cookies", jsonAny),
			member("body", jsonString), member("body", jsonAny),
			member("isBase64Encoded", rapid.SampledFrom([]string{"true", "false", "null", `"true"`, "1"})),
			member("other", jsonAny), member(`\u0062ody`, jsonString),
		), 0, 7).Draw(t, "members")
		return []byte(space.Draw(t, "s") + "{" + strings.Join(members, ",") + "}" + space.Draw(t, "s"))
	})
)

// FuzzAnswer: whatever a function returns, the two mappings agree.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"statusCode":200,"headers":{"a":"b"},"cookies":["c"],"body":"d","isBase64Encoded":false}`, `"x\u00e9"`, `null`, `[1]`, `{"statusCode":"204"}`,
		`{"body":"aGk=","isBase64Encoded":true,"statusCode":200}`, "{\"statusCode\":200,\"body\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	c := new(call)
	f.Fuzz(func(t *testing.T, payload []byte) {
		fast, slow := fastAnswer(c, payload), slowAnswer(payload)
		if fast.failed != slow.failed || fast.status != slow.status {
			t.Fatalf("%q\nfast %+v\nslow %+v", payload, fast, slow)
		}
		if !fast.failed && strings.ToValidUTF8(fast.body, "\uFFFD") != strings.ToValidUTF8(slow.body, "\uFFFD") && json.Valid(payload) && !bytes.Contains(payload, []byte("ase64")) {
			t.Fatalf("%q\nfast %q\nslow %q", payload, fast.body, slow.body)
		}
	})
}

// TestQuotedProperty: what we write, encoding/json reads, and the other way round.
func TestQuotedProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\"\\\n\x00\xc3\xa9\xe2\x80\xa8"))), 0, 30).Draw(t, "s"))
		var want string
		text, _ := json.Marshal(s)
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(jsontext.AppendQuotedString(nil, s), &got); err != nil || got != want {
			t.Fatalf("%q became %q, %v; want %q", s, got, err, want)
		}
		if back := string(appendUnquoted(nil, text)); back != want {
			t.Fatalf("%s was read as %q, want %q", text, back, want)
		}
	})
}
