package eventstream

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os/exec"
	"testing"

	"pgregory.net/rapid"
)

type message struct {
	headers map[string]string
	payload []byte
}

// decode reads one message by the format's description, apart from the code under
// test, and returns what follows.
func decode(b []byte) (m message, rest []byte, err error) {
	if len(b) < 16 {
		return m, nil, fmt.Errorf("%d bytes are no message", len(b))
	}
	total, size := int(binary.BigEndian.Uint32(b)), int(binary.BigEndian.Uint32(b[4:]))
	if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) {
		return m, nil, fmt.Errorf("the prelude's checksum is wrong")
	}
	if total > len(b) || size > total-16 {
		return m, nil, fmt.Errorf("lengths %d and %d of %d bytes", total, size, len(b))
	}
	if crc32.ChecksumIEEE(b[:total-4]) != binary.BigEndian.Uint32(b[total-4:]) {
		return m, nil, fmt.Errorf("the checksum is wrong")
	}
	m = message{headers: map[string]string{}, payload: b[12+size : total-4]}
	for h := b[12 : 12+size]; len(h) > 0; {
		name := string(h[1 : 1+h[0]])
		h = h[1+h[0]:]
		if h[0] != 7 {
			return m, nil, fmt.Errorf("header %s is not a string", name)
		}
		n := binary.BigEndian.Uint16(h[1:])
		m.headers[name] = string(h[3 : 3+n])
		h = h[3+n:]
	}
	return m, b[total:], nil
}

func TestAppend(t *testing.T) {
	type event struct {
		kind, contentType string
		payload           []byte
	}
	rapid.Check(t, func(rt *rapid.T) {
		var stream []byte
		var sent []event
		for range rapid.IntRange(1, 5).Draw(rt, "events") {
			e := event{rapid.StringN(1, 20, 200).Draw(rt, "type"), rapid.StringN(0, 20, 200).Draw(rt, "content type"),
				rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(rt, "payload")}
			sent = append(sent, e)
			stream = Append(stream, e.kind, e.contentType, e.payload)
		}
		for _, e := range sent {
			m, rest, err := decode(stream)
			if err != nil {
				rt.Fatal(err)
			}
			stream = rest
			if m.headers[":message-type"] != "event" || m.headers[":event-type"] != e.kind ||
				m.headers[":content-type"] != e.contentType || !bytes.Equal(m.payload, e.payload) {
				rt.Fatalf("sent %+v, got %+v", e, m)
			}
		}
		if len(stream) > 0 {
			rt.Fatalf("%d bytes are left over", len(stream))
		}
	})
}

// TestOthersDecode has AWS's own Python library read a stream, where it is installed.
func TestOthersDecode(t *testing.T) {
	stream := Append(Append(nil, "PayloadChunk", "application/octet-stream", []byte("hello\x00")), "InvokeComplete", "application/json", []byte("{}"))
	script := `
import sys
from botocore.eventstream import EventStreamBuffer
b = EventStreamBuffer()
b.add_data(bytes.fromhex(sys.argv[1]))
for m in b: print(m.headers[":event-type"], m.headers[":content-type"], m.payload)
`
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import botocore.eventstream").Run() != nil {
		t.Skip("python3-botocore is not installed")
	}
	out, err := exec.Command(python, "-c", script, hex.EncodeToString(stream)).CombinedOutput()
	const want = "PayloadChunk application/octet-stream b'hello\\x00'\nInvokeComplete application/json b'{}'\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
}
