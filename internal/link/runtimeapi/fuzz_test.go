package runtimeapi

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"hearth/internal/hearth"
)

// FuzzParseInvoke: whatever comes is refused or split into fields that make it up again.
func FuzzParseInvoke(f *testing.F) {
	f.Add([]byte("12345678\x02id\x01\x00a\x00\x00\x00\x00\x07\x00\x00\x00payload"), byte(0))
	f.Add([]byte("12345678\x02id\x01\x00a\x00\x00\x00\x00\x07\x00\x00\x00\x01\x03\x04\x00\x00\x00payloadbody"), byte(flagHTTP))
	f.Add([]byte("12345678\xff"), byte(0))
	f.Add([]byte{}, byte(flagHTTP))
	f.Fuzz(func(t *testing.T, body []byte, flags byte) {
		r, payload, err := parseInvoke(body, flags)
		if err != nil {
			return
		}
		again := append(append([]byte(nil), body[:8]...), byte(len(r.id)))
		again = append(again, r.id...)
		for _, field := range []string{r.arn, r.trace, r.client} {
			again = binary.LittleEndian.AppendUint16(again, uint16(len(field)))
			again = append(again, field...)
		}
		again = binary.LittleEndian.AppendUint32(again, uint32(r.size))
		if flags&flagHTTP != 0 {
			again = append(again, byte(r.http.Form), byte(r.http.Kind))
			again = append(again, body[len(again):len(again)+4]...)
		}
		if again = append(again, payload...); string(again) != string(body) {
			t.Fatalf("%q became %q", body, again)
		}
		inv := newInvocation(1, r)
		inv.payload = payload
		_ = inv.complete() // an error, at worst
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
