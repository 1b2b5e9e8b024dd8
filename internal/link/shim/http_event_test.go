package shim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hearth/internal/hearth"
	"hearth/internal/hearth/packed"
	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

// inBothLanguages runs a test with an instance that serves four at once, of handlers
// that do the same.
func inBothLanguages(t *testing.T, node, python string, most int, test func(*testing.T, *shimtest.Instance)) {
	for name, o := range map[string]shimtest.Options{
		"node":   {Language: shim.Node, Interpreter: "node", Handler: "app.handler", Files: map[string]string{"app.js": node}},
		"python": {Language: shim.Python, Interpreter: "python3", Handler: "app.handler", Files: map[string]string{"app.py": python}},
	} {
		t.Run(name, func(t *testing.T) {
			o.Slots, o.MaxResponseBytes = 4, most
			in := shimtest.Start(t, o)
			if in.InitErr != nil {
				t.Fatal(in.InitErr)
			}
			test(t, in)
		})
	}
}

// packedEvent is an event with so many strings of each kind, each made by text.
func packedEvent(cookies, headers, query, parameters int, text func() string) []byte {
	var b packed.Builder
	b.Reset(time.UnixMilli(1795255200123))
	for k := packed.RouteKey; k <= packed.Time; k++ {
		b.AddString(k, text())
	}
	for range cookies {
		b.AddString(packed.Cookie, text())
	}
	for i := range headers {
		b.AddString(packed.Header, fmt.Sprintf("x-%d", i))
		b.AddString(packed.Header, text())
	}
	for i := range query {
		b.AddString(packed.Query, fmt.Sprintf("%s%d", text(), i))
		b.AddString(packed.Query, text())
	}
	for range parameters {
		b.AddString(packed.PathParameter, "__proto__")
		b.AddString(packed.PathParameter, text())
	}
	return b.AppendTo(nil)
}

// The handler gets what package packed says that the event is, its members in the same
// order, however long it is and whatever it is written in.
func TestHTTPEvents(t *testing.T) {
	n := 0
	plain := func() string { n++; return fmt.Sprint("text ", n) }
	bodies := map[string]hearth.HTTPEvent{
		"none":         {},
		"ASCII":        {Kind: hearth.BodyASCII, Body: []byte("some \"text\"\n")},
		"UTF-8":        {Kind: hearth.BodyText, Body: []byte("Grüße, 世界 😀")},
		"binary":       {Kind: hearth.BodyBinary, Body: []byte("\x00\xff\xfe\x80")},
		"long":         {Kind: hearth.BodyASCII, Body: []byte(strings.Repeat("0123456789abcdef", 20_000))},
		"long, UTF-8":  {Kind: hearth.BodyText, Body: []byte(strings.Repeat("äöü", 60_000))},
		"long, binary": {Kind: hearth.BodyBinary, Body: []byte(strings.Repeat("\xff\x00\x01", 60_001))},
	}
	events := map[string][]byte{
		"empty": packedEvent(0, 0, 0, 0, func() string { return "" }), "small": packedEvent(0, 3, 0, 0, plain),
		"full": packedEvent(2, 40, 3, 1, plain), "not ASCII": packedEvent(1, 2, 2, 1, func() string { return plain() + "ü世😀" }),
		"long":            packedEvent(1, 1, 1, 1, func() string { return plain() + strings.Repeat("x", 127) }),
		"with NULs":       packedEvent(1, 1, 1, 1, func() string { return plain() + "\x00" }),
		"very long":       packedEvent(1, 1, 1, 0, func() string { return plain() + strings.Repeat("y", 20_000) }),
		"long, not ASCII": packedEvent(1, 1, 1, 1, func() string { return plain() + strings.Repeat("ü", 9000) }),
	}
	inBothLanguages(t,
		"exports.handler = async (event) => JSON.stringify(event)",
		"import json\ndef handler(event, context): return json.dumps(event, ensure_ascii=False, separators=(',', ':'))",
		0, func(t *testing.T, in *shimtest.Instance) {
			check := func(what string, payload []byte, e hearth.HTTPEvent) {
				call := link.NewCall()
				call.ID, call.Payload, call.HTTP = "the id", payload, e
				got := in.Begin(t, call)()
				want, err := packed.Whole(payload, e, "the id")
				if err != nil {
					t.Fatal(err)
				}
				var text string
				if err := json.Unmarshal([]byte(got.Response), &text); err != nil || text != string(want) {
					t.Errorf("%s: error %v, %v\ngot  %.2000s\nwant %.2000s", what, err, got.Err, text, want)
				}
			}
			for name, body := range bodies {
				body.Form = hearth.EventPacked
				for kind, event := range events {
					check(kind+" with body "+name, event, body)
				}
				if body.Kind != hearth.BodyNone {
					body.Form = hearth.EventJSON
					check("JSON with body "+name, []byte(`{"version":"1.0","path":"/ü"}`), body)
				}
			}
			check("JSON that has its body", []byte(`{"body":null,"isBase64Encoded":false}`), hearth.HTTPEvent{Form: hearth.EventJSON})
		})
}

// Bodies of several requests arrive at once, each in parts, between small ones.
func TestHTTPBodiesInParts(t *testing.T) {
	inBothLanguages(t,
		"exports.handler = async (event) => ({ statusCode: 200, body: event.body })",
		"def handler(event, context): return {'statusCode': 200, 'body': event['body']}",
		0, func(t *testing.T, in *shimtest.Instance) {
			for round := range 5 {
				var waits []func()
				for i, size := range []int{300_000 + round, 5 + round, 200_000 * round, 70_000} {
					body := strings.Repeat(string(rune('a'+i)), size)
					call := link.NewCall()
					call.ID, call.Payload = fmt.Sprint("r", i), packedEvent(0, 3, 0, 0, func() string { return "x" })
					call.HTTP = hearth.HTTPEvent{Form: hearth.EventPacked, Kind: hearth.BodyASCII, Body: []byte(body)}
					if size == 0 {
						call.HTTP = hearth.HTTPEvent{Form: hearth.EventPacked}
					}
					end := in.Begin(t, call)
					waits = append(waits, func() {
						got := end()
						var doc struct{ Body string }
						if err := json.Unmarshal([]byte(got.Response), &doc); err != nil {
							if size > 0 {
								t.Errorf("call %d: %v", i, got)
							}
							return
						}
						if doc.Body+got.Body != body {
							t.Errorf("call %d: %d and %d bytes of %d", i, len(doc.Body), len(got.Body), size)
						}
					})
				}
				for _, wait := range waits {
					wait()
				}
			}
		})
}

// A long body of an answer comes beside it; whatever is no such answer comes whole.
func TestBodyBeside(t *testing.T) {
	long := strings.Repeat("x", 600)
	for name, test := range map[string]struct {
		node, python string // the result
		beside       string
		rest         string // JSON of what the result is without it
		http         bool
	}{
		"ASCII":            {`{ statusCode: 200, body: long, headers: { a: 'b' } }`, `{'statusCode': 200, 'body': long, 'headers': {'a': 'b'}}`, long, `{"statusCode":200,"body":"","headers":{"a":"b"}}`, true},
		"UTF-8":            {`{ statusCode: '200', body: 'ü' + long }`, `{'statusCode': '200', 'body': 'ü' + long}`, "ü" + long, `{"statusCode":"200","body":""}`, true},
		"very long":        {`{ statusCode: 200, body: '"\n'.repeat(100000) }`, `{'statusCode': 200, 'body': '"\n' * 100000}`, strings.Repeat("\"\n", 100_000), `{"statusCode":200,"body":""}`, true},
		"very long, UTF-8": {`{ statusCode: 200, body: '世'.repeat(100000) }`, `{'statusCode': 200, 'body': '世' * 100000}`, strings.Repeat("世", 100_000), `{"statusCode":200,"body":""}`, true},
		"long head":        {`{ statusCode: 200, body: long, headers: { a: 'h'.repeat(200000) } }`, `{'statusCode': 200, 'body': long, 'headers': {'a': 'h' * 200000}}`, long, `{"statusCode":200,"body":"","headers":{"a":"` + strings.Repeat("h", 200_000) + `"}}`, true},
		"base64":           {`{ statusCode: 200, body: 'eHh4'.repeat(200), isBase64Encoded: true }`, `{'statusCode': 200, 'body': 'eHh4' * 200, 'isBase64Encoded': True}`, strings.Repeat("eHh4", 200), `{"statusCode":200,"body":"","isBase64Encoded":true}`, true},
		"short":            {`{ statusCode: 200, body: 'x' }`, `{'statusCode': 200, 'body': 'x'}`, "", `{"statusCode":200,"body":"x"}`, true},
		"no answer":        {`{ body: long }`, `{'body': long}`, "", `{"body":"` + long + `"}`, true},
		"no text":          {`{ statusCode: 200, body: [long] }`, `{'statusCode': 200, 'body': [long]}`, "", `{"statusCode":200,"body":["` + long + `"]}`, true},
		"no request":       {`{ statusCode: 200, body: long }`, `{'statusCode': 200, 'body': long}`, "", `{"statusCode":200,"body":"` + long + `"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBothLanguages(t,
				"const long = 'x'.repeat(600);\nexports.handler = async () => ("+test.node+")",
				"long = 'x' * 600\ndef handler(event, context): return "+test.python,
				0, func(t *testing.T, in *shimtest.Instance) {
					call := link.NewCall()
					call.ID, call.Payload = "r", []byte("{}")
					if test.http {
						call.HTTP.Form = hearth.EventJSON
					}
					got := in.Begin(t, call)()
					var rest, want any
					if err := errors.Join(json.Unmarshal([]byte(got.Response), &rest), json.Unmarshal([]byte(test.rest), &want)); err != nil {
						t.Fatalf("%v: %.300v", err, got)
					}
					if !reflect.DeepEqual(rest, want) || got.Body != test.beside || got.Failed || got.Err != nil {
						t.Errorf("%.300v and a body of %d bytes", got, len(got.Body))
					}
				})
		})
	}
}

// Objects with a will of their own are asked for their JSON, and half a surrogate pair
// becomes U+FFFD, beside the answer or within.
func TestBodyBesideOddities(t *testing.T) {
	for name, test := range map[string]struct{ node, want string }{
		"toJSON":         {`Object.assign({ statusCode: 200, body: 'x'.repeat(600) }, { toJSON: () => ({ statusCode: 201, body: 'y' }) })`, "y"},
		"class":          {`new (class { constructor() { this.statusCode = 200; this.body = 'x'.repeat(600); } toJSON() { return { statusCode: 201, body: 'z' }; } })()`, "z"},
		"half surrogate": {`{ statusCode: 200, body: '\ud83d' + 'x'.repeat(600) }`, "\uFFFD" + strings.Repeat("x", 600)},
	} {
		t.Run(name, func(t *testing.T) {
			in := shimtest.Start(t, shimtest.Options{Language: shim.Node, Interpreter: "node", Handler: "app.handler",
				Files: map[string]string{"app.js": "exports.handler = async () => " + "(" + test.node + ");"}})
			call := link.NewCall()
			call.ID, call.Payload, call.HTTP.Form = "r", []byte("{}"), hearth.EventJSON
			got := in.Begin(t, call)()
			var doc struct{ Body string }
			if err := json.Unmarshal([]byte(got.Response), &doc); err != nil || doc.Body+got.Body != test.want || !utf8.ValidString(got.Body) {
				t.Errorf("%v: %.200v", err, got)
			}
		})
	}
}

// The answer and its body count together.
func TestBodyBesideTooLarge(t *testing.T) {
	const most = 100_000
	inBothLanguages(t,
		"exports.handler = async (event) => ({ statusCode: 200, body: 'x'.repeat(event.n) })",
		"def handler(event, context): return {'statusCode': 200, 'body': 'x' * event['n']}",
		most, func(t *testing.T, in *shimtest.Instance) {
			for size, fits := range map[int]bool{most - 100: true, most: false} {
				call := link.NewCall()
				call.ID, call.Payload, call.HTTP.Form = "r", fmt.Appendf(nil, `{"n":%d}`, size), hearth.EventJSON
				got := in.Begin(t, call)()
				if fits != (!got.Failed && len(got.Body) == size) || !fits && !strings.Contains(got.Response, "Function.ResponseSizeTooLarge") {
					t.Errorf("%d bytes: %.300v", size, got)
				}
			}
		})
}
