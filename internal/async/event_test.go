package async

import (
	"bytes"
	"testing"
	"time"

	"hearth/internal/store"
)

// FuzzRecord: whatever is in a queue is an event or is refused; and what is written
// is read back.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"id":"a","at":1}`), []byte("{}"))
	f.Add([]byte(`{}`), []byte(nil))
	f.Add([]byte(`{"id":"a","nr":-7,"nf":-7}`), []byte(nil))
	f.Add([]byte(`{"id":"ü\n","n":-1,"ctx":"AAAA","due":99999999999999999}`), []byte("x"))
	f.Add([]byte(`{"id":"a","at":1,"run":"x","b":-5,"aged":9223372036854775807}`), []byte("x"))
	c := newClock(time.Now())
	f.Fuzz(func(t *testing.T, meta, data []byte) {
		rec, _, err := c.decodeRecord("f", &store.Stored{Message: store.Message{Meta: meta, Data: data}})
		if err != nil {
			return
		}
		m := rec.message(c, "f", true)
		if bytes.ContainsAny(m.Meta, "\r\n") {
			t.Errorf("line breaks in %q", m.Meta)
		}
		again, _, err := c.decodeRecord("f", &store.Stored{Message: m})
		if err != nil || again.Progress != rec.Progress || again.ID != rec.ID || !again.Due.Equal(rec.Due) || !bytes.Equal(again.Payload, data) {
			t.Errorf("%+v, %v; want %+v", again, err, rec)
		}
		PolicyOf(nil).After(time.Now(), rec.Progress, Refused) // whatever the numbers are
	})
}
