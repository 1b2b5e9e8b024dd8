package sample

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// Every payload is JSON, without a place left to fill, and takes its short names.
func TestPayloads(t *testing.T) {
	for _, s := range Sources() {
		var settings []Setting
		for word := range s.Words {
			settings = append(settings, Setting{word, "changed"})
		}
		for _, set := range [][]Setting{nil, settings} {
			raw, err := Payload(s.Name, noon, set)
			if err != nil {
				t.Errorf("%s: %v", s.Name, err)
				continue
			}
			if !json.Valid(raw) || strings.Contains(string(raw), "{{") {
				t.Errorf("%s: not a finished payload: %s", s.Name, raw)
			}
			if set != nil && !strings.Contains(string(raw), "changed") && s.Name != "pubsub" {
				t.Errorf("%s: nothing has changed: %s", s.Name, raw)
			}
		}
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ source, key, value, want string }{
		{"s3", "key", "a b.png", `"object": {"key": "a b.png"`},
		{"s3", "size", "7", `"size": 7`},
		{"s3", "Records.0.awsRegion", "eu-west-1", `"awsRegion": "eu-west-1"`},
		{"sqs", "body", "hello", `"md5OfBody": "5d41402abc4b2a76b9719d911017c592"`},
		{"sqs", "body", "7", `"body": "7"`},
		{"schedule", "detail", `{"a":1}`, `"detail": {"a":1}`},
		{"schedule", "detail.who", "me", `"detail": {"who": "me"}`},
		{"apigateway-v2", "headers.x-key", "k", `"x-forwarded-proto": "https", "x-key": "k"`},
		{"pubsub", "message", "hello", `"data": "aGVsbG8="`},
		{"apigateway", "method", "PUT", `"httpMethod": "PUT"`},
	} {
		raw, err := Payload(c.source, noon, []Setting{{c.key, c.value}})
		if err != nil {
			t.Errorf("%s %s: %v", c.source, c.key, err)
			continue
		}
		if !json.Valid(raw) || !strings.Contains(bare(string(raw)), bare(c.want)) {
			t.Errorf("%s %s=%s: %s", c.source, c.key, c.value, raw)
		}
	}
	for _, c := range []struct{ source, key, want string }{
		{"s4", "", `did you mean "s3"`},
		{"s3", "buckt.x", "Short names are bucket, event, key, size"},
		{"s3", "Records.5", "the payload has no 5"},
		{"s3", "Records.0.awsRegion.x", "there is nothing inside of us-east-1"},
	} {
		if _, err := Payload(c.source, noon, []Setting{{c.key, "x"}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.source, c.key, err, c.want)
		}
	}
}

// bare is JSON without white space.
func bare(s string) string { return strings.Join(strings.Fields(s), "") }

func FuzzSetting(f *testing.F) {
	f.Add("Records.0.s3", "{}")
	f.Add("key", "\"")
	f.Fuzz(func(t *testing.T, key, value string) {
		raw, err := Payload("s3", noon, []Setting{{key, value}})
		if err == nil && !json.Valid(raw) {
			t.Fatalf("%q=%q makes %s", key, value, raw)
		}
	})
}
