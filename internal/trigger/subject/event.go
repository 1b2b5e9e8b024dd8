package subject

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"hearth/internal/hearth"
	"hearth/internal/store"
	"hearth/internal/trigger/batch"
)

// event is what a function gets: Lambda's shape of a batch.
type event struct {
	Records []record `json:"Records"`
}

// record is one message. docs/reference/triggers.md tells people about it.
type record struct {
	EventSource string              `json:"eventSource"`
	ItemID      string              `json:"itemIdentifier"`
	Stream      string              `json:"stream"`
	Sequence    uint64              `json:"sequence"`
	Subject     string              `json:"subject"`
	Headers     map[string][]string `json:"headers"`
	Timestamp   string              `json:"timestamp"`
	Attempt     int                 `json:"attempt"`
	Encoding    string              `json:"encoding"` // of Data: json or base64
	Data        json.RawMessage     `json:"data"`
}

func itemID(seq uint64) string { return strconv.FormatUint(seq, 10) }

// recordOf describes a message; failed are the attempts at it that are known to have
// failed.
func recordOf(stream string, m *store.Taken, failed int) record {
	r := record{
		EventSource: "hearth:nats", ItemID: itemID(m.Seq), Stream: stream, Sequence: m.Seq, Subject: m.Subject,
		Headers: m.Headers, Timestamp: m.Time.Format("2006-01-02T15:04:05.000Z07:00"),
		Attempt: m.Deliveries + failed, Encoding: "json", Data: m.Data,
	}
	if r.Headers == nil {
		r.Headers = map[string][]string{}
	}
	if !json.Valid(m.Data) || !utf8.Valid(m.Data) {
		r.Encoding = "base64"
		r.Data = strconv.AppendQuote(nil, base64.StdEncoding.EncodeToString(m.Data))
	}
	return r
}

// encode writes an event without changing the data of its records.
func encode(records []record) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(event{records}); err != nil { // recordOf has seen to it
		panic("subject: encode an event: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}

// sizeOf is about what a message takes in an event, rather too much.
func sizeOf(m *store.Taken) int {
	n := 512 + 2*len(m.Subject) + base64.StdEncoding.EncodedLen(len(m.Data))
	for key, values := range m.Headers {
		n += 2*len(key) + 8
		for _, v := range values {
			n += 2*len(v) + 4
		}
	}
	return n
}

// keyOf is the word of a subject that names its partition, counted from 1; "" for a
// subject that is shorter.
func keyOf(subject string, token int) string {
	for w := range strings.SplitSeq(subject, ".") {
		if token--; token == 0 {
			return w
		}
	}
	return ""
}

// judge says what came of an invocation with these messages, and why it failed.
func judge(result *hearth.Result, err error, seqs []uint64) (v batch.Verdict, errorType, message string) {
	if err != nil {
		switch code := hearth.CodeOf(err); code {
		case hearth.ErrInvalid, hearth.ErrInvalidRequest, hearth.ErrTooLarge, hearth.ErrForbidden, hearth.ErrNotImplemented:
			return batch.Verdict{Failed: true}, string(code), err.Error()
		default:
			return batch.Verdict{Refused: true}, string(code), err.Error()
		}
	}
	if result.FunctionError != "" {
		var doc hearth.FailureDoc
		if json.Unmarshal(result.Payload, &doc) != nil || doc.ErrorType+doc.ErrorMessage == "" {
			doc = hearth.FailureDoc{ErrorType: result.FunctionError, ErrorMessage: string(result.Payload)}
		}
		// Others, or the platform, may have taken the instance down.
		refused := doc.ErrorType == hearth.TypeInstanceFailed
		return batch.Verdict{Refused: refused, Failed: !refused}, doc.ErrorType, doc.ErrorMessage
	}
	failed, whole := failures(result.Payload, seqs)
	if whole {
		return batch.Verdict{Failed: true}, "BatchItemFailures", "the function named a message that is not in the batch"
	}
	if len(failed) > 0 {
		return batch.Verdict{Failed: true, FailedSeqs: failed}, "BatchItemFailures", "the function reported the message in batchItemFailures"
	}
	return batch.Verdict{}, "", ""
}

// failures reads a partial batch response. An identifier that names no message of the
// batch fails all of it (Lambda's event source mappings).
func failures(payload []byte, seqs []uint64) (failed []uint64, whole bool) {
	var response struct {
		Failures []struct {
			ID json.RawMessage `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if !bytes.HasPrefix(bytes.TrimSpace(payload), []byte("{")) || json.Unmarshal(payload, &response) != nil {
		return nil, false
	}
	known := map[uint64]bool{}
	for _, seq := range seqs {
		known[seq] = true
	}
	for _, f := range response.Failures {
		seq, err := strconv.ParseUint(strings.Trim(string(f.ID), `"`), 10, 64)
		if err != nil || !known[seq] {
			return nil, true
		}
		failed = append(failed, seq)
	}
	return failed, false
}
