// Package eventstream writes the binary framing in which AWS's services stream events
// to their clients (application/vnd.amazon.eventstream): each message has its length,
// the length of its headers, a checksum of those two, headers, payload, and a checksum
// of it all. Numbers are big-endian, checksums CRC-32 (IEEE).
package eventstream

import (
	"encoding/binary"
	"hash/crc32"
)

// ContentType of a stream of messages.
const ContentType = "application/vnd.amazon.eventstream"

// MaxPayload is the most bytes that clients accept in one message (16 MiB).
const MaxPayload = 16 << 20

const (
	preludeSize = 8
	crcSize     = 4
	typeString  = 7
)

// Append appends one event to dst. eventType and contentType have at most 32,767 bytes,
// payload at most MaxPayload.
func Append(dst []byte, eventType, contentType string, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, preludeSize+crcSize)...)
	headers := len(dst)
	dst = appendHeader(dst, ":message-type", "event")
	dst = appendHeader(dst, ":event-type", eventType)
	if contentType != "" {
		dst = appendHeader(dst, ":content-type", contentType)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start+len(payload)+crcSize))
	binary.BigEndian.PutUint32(dst[start+4:], uint32(len(dst)-headers))
	binary.BigEndian.PutUint32(dst[start+preludeSize:], crc32.ChecksumIEEE(dst[start:start+preludeSize]))
	dst = append(dst, payload...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = append(dst, typeString)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}
