package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"hearth/internal/hearth/jsontext"
)

func TestValidJSON(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{}`, `[]`, `null`, `nul`, `nulls`, `true`, `false`, `tru e`, `0`, `-0`, `-`, `01`, `1.`, `.1`, `1.5e`, `1e+`, `1E-7`, `+1`, `1 2`,
		`"`, `"a`, `"a"`, `"a\"`, `"\u12"`, `"\u12g4"`, `"\u12aF"`, `"\x"`, "\"\x1f\"", "\"\x7f\"", "\"\xff\"", "\"a\nb\"", `"12345678"`, "\"1234567\x00\"", `"1234567\"`,
		`{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1 "b":2}`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `{"a":1]`, `[[[]]]`, `[[]`, "\t[ 1 , 2 ]\r\n", "\ufeff{}", `{"a":{"b":[null,true]}}x`,
		strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting),
		strings.Repeat("[", maxNesting+1) + strings.Repeat("]", maxNesting+1),
	} {
		if got, want := validJSON([]byte(text)), json.Valid([]byte(text)); got != want {
			t.Errorf("%.40q: %v, want %v", text, got, want)
		}
	}
}

// FuzzValidJSON: it is json.Valid.
func FuzzValidJSON(f *testing.F) {
	f.Add([]byte(`{"key":["text \u00e4 \n", -1.5e+3, true, null]}`))
	f.Add([]byte(`"12345678\\\"9`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := validJSON(b), json.Valid(b); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// FuzzBareRun: no byte that it passes over is special, and the one that it stops at is.
func FuzzBareRun(f *testing.F) {
	f.Add([]byte("plain text\x7f, then \x1f"), 3)
	f.Fuzz(func(t *testing.T, b []byte, from int) {
		b = b[min(max(from, 0), len(b)):]
		special := func(c byte) bool { return c < ' ' || c == '"' || c == '\\' || c >= 0x80 }
		n := jsontext.BareRun(b)
		if i := bytes.IndexFunc(b[:n], func(r rune) bool { return r >= 0x80 || special(byte(r)) }); i >= 0 || n < len(b) && !special(b[n]) {
			t.Errorf("%d of %q", n, b)
		}
	})
}

func BenchmarkValidJSON(b *testing.B) {
	for _, size := range []int{20, 100 << 10} {
		text := fmt.Appendf(nil, `{"data":%q,"more":[1,2,3]}`, strings.Repeat("x", size))
		for name, valid := range map[string]func([]byte) bool{"ours": validJSON, "encoding": json.Valid} {
			b.Run(fmt.Sprint(name, "/", size), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					valid(text)
				}
			})
		}
	}
}
