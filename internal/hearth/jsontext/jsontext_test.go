package jsontext

import (
	"encoding/json"
	"testing"
)

// FuzzInside: what AppendInside writes is what json.Unmarshal reads, and as long as Size says.
func FuzzInside(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\"\\\n\x00é\xff\u2028 and more"))
	f.Fuzz(func(t *testing.T, s []byte) {
		text, _ := json.Marshal(string(s))
		var want, got string
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		inside := AppendInside(nil, s)
		if len(inside) != Size(s) {
			t.Fatalf("%q has %d bytes, not %d", inside, len(inside), Size(s))
		}
		if err := json.Unmarshal(AppendQuoted(nil, s), &got); err != nil || got != want {
			t.Fatalf("%q became %q, %v; want %q", s, got, err, want)
		}
	})
}
