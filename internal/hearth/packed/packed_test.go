package packed

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

// anyString is one of all lengths and of all bytes, of which most are ASCII.
var anyString = rapid.OneOf(
	rapid.StringMatching(`[ -~]{0,20}`), rapid.StringMatching(`[ -~]{0,20}`), rapid.String(),
	rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	rapid.Map(rapid.SampledFrom([]int{127, 128, 16383, 16384, 70_000}), func(n int) string { return strings.Repeat("x", n) }),
)

// TestWholeProperty: what is packed comes out, and the body with it.
func TestWholeProperty(t *testing.T) {
	var b Builder // one for all, as a connection has it
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "now"))
		b.Reset(now)
		text := func(s string) string { return strings.Join(strings.Split(strings.ToValidUTF8(s, "\uFFFD"), ""), "") }
		add := func(k Kind, what string) string {
			s := strings.ToValidUTF8(anyString.Draw(t, what), "?") // one U+FFFD each is the next test's
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				b.Add(k, []byte(s))
			case 1:
				b.AddString(k, s)
			default:
				b.WriteText([]byte(s))
				b.End(k)
			}
			return text(s)
		}
		var single [singles]string
		for k := range singles {
			single[k] = add(k, "single")
		}
		var cookies []string
		for range rapid.IntRange(0, 3).Draw(t, "cookies") {
			cookies = append(cookies, add(Cookie, "cookie"))
		}
		pairs := func(k Kind) map[string]string {
			m := map[string]string{}
			for range rapid.IntRange(0, 4).Draw(t, "pairs") {
				name := add(k, "name")
				m[name] = add(k, "value")
			}
			return m
		}
		headers, query, parameters := pairs(Header), pairs(Query), pairs(PathParameter)
		body := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "body")
		e := hearth.HTTPEvent{Form: hearth.EventPacked, Kind: hearth.BodyKind(rapid.IntRange(0, 3).Draw(t, "kind")), Body: body}
		if e.Kind == hearth.BodyText || e.Kind == hearth.BodyASCII {
			e.Body = []byte(strings.ToValidUTF8(string(body), "?"))
		}
		whole, err := Whole(b.AppendTo(nil), e, "the id")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"version": "2.0", "routeKey": single[RouteKey], "rawPath": single[RawPath], "rawQueryString": single[RawQuery],
			"headers": anyOf(headers), "isBase64Encoded": e.Kind == hearth.BodyBinary,
			"requestContext": map[string]any{
				"accountId": "anonymous", "apiId": single[APIID], "domainName": single[DomainName], "domainPrefix": single[APIID],
				"http":      map[string]any{"method": single[Method], "path": single[RawPath], "protocol": single[Protocol], "sourceIp": single[SourceIP], "userAgent": single[UserAgent]},
				"requestId": "the id", "routeKey": single[RouteKey], "stage": "$default", "time": single[Time], "timeEpoch": float64(now.UnixMilli()),
			},
		}
		if cookies != nil {
			list := []any{}
			for _, c := range cookies {
				list = append(list, c)
			}
			want["cookies"] = list
		}
		if len(query) > 0 {
			want["queryStringParameters"] = anyOf(query)
		}
		if len(parameters) > 0 {
			want["pathParameters"] = anyOf(parameters)
		}
		switch e.Kind {
		case hearth.BodyBinary:
			want["body"] = base64.StdEncoding.EncodeToString(body)
		case hearth.BodyText, hearth.BodyASCII:
			want["body"] = string(e.Body)
		}
		var got map[string]any
		if err := json.Unmarshal(whole, &got); err != nil {
			t.Fatalf("%v: %s", err, whole)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func anyOf(m map[string]string) map[string]any {
	all := map[string]any{}
	for k, v := range m {
		all[k] = v
	}
	return all
}

// Bytes that are not UTF-8: in a header ISO-8859-1, elsewhere what json.Marshal makes of them.
func TestNotUTF8(t *testing.T) {
	var b Builder
	b.Reset(time.UnixMilli(1))
	b.Add(RouteKey, []byte("a\xff\xfeb"))
	b.WriteText([]byte("\xe4"))
	b.End(RawPath)
	for k := RawQuery; k < singles; k++ {
		b.AddString(k, "")
	}
	text, err := AppendJSON(nil, b.AppendTo(nil), "id")
	if err != nil || !strings.Contains(string(text), `"routeKey":"a`+"\uFFFD\uFFFD"+`b","rawPath":"ä"`) {
		t.Errorf("%s, %v", text, err)
	}
}

// FuzzWhole: whatever claims to be an event is refused, or makes JSON.
func FuzzWhole(f *testing.F) {
	var b Builder
	b.Reset(time.UnixMilli(1795255200123))
	for k := range singles {
		b.AddString(k, strings.Repeat("x", int(k)*20))
	}
	b.AddString(Cookie, "a=b")
	b.AddString(Header, "host")
	b.AddString(Header, "ü")
	f.Add(b.AppendTo(nil), byte(hearth.EventPacked), byte(hearth.BodyText), []byte("body"))
	f.Add([]byte(`{"a":1}`), byte(hearth.EventJSON), byte(hearth.BodyBinary), []byte("\xff"))
	f.Fuzz(func(t *testing.T, payload []byte, form, kind byte, body []byte) {
		whole, err := Whole(payload, hearth.HTTPEvent{Form: hearth.EventForm(form), Kind: hearth.BodyKind(kind), Body: body}, "id")
		switch {
		case err != nil && !errors.Is(err, ErrMalformed):
			t.Fatal(err)
		case err == nil && hearth.EventForm(form) != hearth.EventJSON && (!json.Valid(whole) || !utf8.Valid(whole)):
			t.Fatalf("no JSON: %q", whole)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	var p Builder
	var event []byte
	b.ReportAllocs()
	for b.Loop() {
		p.Reset(time.UnixMilli(1))
		for k := range singles {
			p.AddString(k, "some text")
		}
		for range 10 {
			p.AddString(Header, "a name")
			p.AddString(Header, "a value of a header")
		}
		event = p.AppendTo(event[:0])
	}
}
