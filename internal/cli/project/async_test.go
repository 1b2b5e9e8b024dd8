package project

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAsyncOfHearthYML(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"async: {retries: 0, maxAge: 1h, onSuccess: next, onFailure: nats:failed.events, deadLetter: dlq}",
			`{"retries":0,"maxAge":3600000000000,"onSuccess":"next","onFailure":"nats:failed.events","deadLetter":"dlq"}`},
		{"async: {maxAge: 90}", `{"maxAge":90000000000}`},
		{"async: {}", "null"},
		{"timeout: 3", "null"},
		{"async: 3", "hearth.yml:1:8: async must be"},
		{"async: {retries: 3}", "hearth.yml:1:18: async.retries must be from 0 to 2, not 3"},
		{"async: {maxAge: 10s}", "hearth.yml:1:17: async.maxAge must be from 1m0s to 6h0m0s, not 10s"},
		{"async: {maxAge: soon}", "async.maxAge must be a number of seconds or a length of time"},
		{"async: {onFailure: 'nats:*'}", `async.onFailure: "*" is no NATS subject`},
		{"async: {retrys: 1}", `unknown key "retrys" (did you mean "retries"?)`},
	} {
		got := ""
		if f, err := Parse("hearth.yml", []byte(c.yaml)); err != nil {
			got = err.Error()
		} else if text, err := json.Marshal(f[0].Async); err != nil {
			t.Fatal(err)
		} else {
			got = string(text)
		}
		if !strings.Contains(got, c.want) || c.want == "null" && got != "null" {
			t.Errorf("%s\n got  %s\n want %s", c.yaml, got, c.want)
		}
	}
}

func TestAsyncOfServerless(t *testing.T) {
	const head = "service: s\nprovider: {name: aws, runtime: nodejs20.x}\nfunctions:\n  f:\n    handler: a.b\n    "
	for _, c := range []struct{ yaml, want string }{
		{"maximumRetryAttempts: 1\n    maximumEventAge: 7200", `{"retries":1,"maxAge":7200000000000}`},
		{"timeout: 3", "null"},
		{"maximumRetryAttempts: 5", "maximumRetryAttempts must be a whole number from 0 to 2, not 5"},
		{"maximumEventAge: 5", "maximumEventAge must be a number of seconds from 60 to 21600, not 5"},
	} {
		got := ""
		if p, err := ParseServerless("serverless.yml", []byte(head+c.yaml+"\n"), Options{}); err != nil {
			got = err.Error()
		} else if text, err := json.Marshal(p.Functions[0].Async); err != nil {
			t.Fatal(err)
		} else {
			got = string(text)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s\n got  %s\n want %s", c.yaml, got, c.want)
		}
	}
}
