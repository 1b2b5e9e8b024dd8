package runtimeapi

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"hearth/internal/hearth"
)

// FuzzParseInvoke: whatever comes is refused or split into fields that make it up again.
func FuzzParseInvoke(f *testing.F) {
	f.Add([]byte("12345678\x02id\x01\x00a\x00\x00\x00\x00payload"))
	f.Add([]byte("12345678\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		r, payload, err := parseInvoke(body)
		if err != nil {
			return
		}
		again := append(append([]byte(nil), body[:8]...), byte(len(r.id)))
		again = append(again, r.id...)
		for _, field := range []string{r.arn, r.trace, r.client} {
			again = binary.LittleEndian.AppendUint16(again, uint16(len(field)))
			again = append(again, field...)
		}
		if again = append(again, payload...); string(again) != string(body) {
			t.Fatalf("%q became %q", body, again)
		}
	})
}

// FuzzAsDoc: whatever a runtime posts as a failure becomes a document with a type that
// fits a frame.
func FuzzAsDoc(f *testing.F) {
	f.Add([]byte(`{"errorType":"E"}`), "Function.X")
	f.Add([]byte(`{"errorType":1}`), "")
	f.Add([]byte("\xff\x00"), "Runtime.lower")
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		doc := asDoc(body, kind)
		var read hearth.FailureDoc
		if err := json.Unmarshal(doc, &read); err != nil || read.ErrorType == "" || len(doc) > maxFrame {
			t.Fatalf("%q became %q: %v", body, doc, err)
		}
	})
}
