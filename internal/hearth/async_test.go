package hearth

import (
	"strings"
	"testing"
	"time"
)

func TestParseDestination(t *testing.T) {
	for in, want := range map[string]Destination{
		"":                   {},
		"dlq":                {Kind: ToDeadLetter},
		"nats:orders.failed": {Kind: ToSubject, Subject: "orders.failed"},
		"sink":               {Kind: ToFunction, Function: FunctionRef{Name: "sink"}},
		"sink:prod":          {Kind: ToFunction, Function: FunctionRef{Name: "sink", Qualifier: "prod"}},
		FunctionARN("eu-west-1", "123456789012", "sink", ""): {Kind: ToFunction,
			Function: FunctionRef{Name: "sink", Region: "eu-west-1", Account: "123456789012"}},
	} {
		if got, err := ParseDestination(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for in, word := range map[string]string{
		"arn:aws:sqs:us-east-1:000000000000:q": "only functions",
		"nats:":                                "no NATS subject",
		"nats:a..b":                            "no NATS subject",
		"nats:a.*":                             "no NATS subject",
		"nats:$JS.API":                         "reserved",
		"nats:hearth.queue.x":                  "reserved",
		"two words":                            "no function",
		strings.Repeat("x", 400):               "400 characters",
	} {
		if _, err := ParseDestination(in); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzParseDestination(f *testing.F) {
	for _, s := range []string{"", "dlq", "nats:a.b", "sink:1", "arn:aws:lambda:us-east-1:000000000000:function:f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDestination(s)
		switch {
		case err != nil && d != Destination{}:
			t.Errorf("%q: %+v with %v", s, d, err)
		case err == nil && d.Kind == ToFunction && ValidateName(d.Function.Name) != nil:
			t.Errorf("%q: %+v", s, d)
		case err == nil && d.Kind == ToSubject && strings.ContainsAny(d.Subject, "*> \r\n"):
			t.Errorf("%q: %+v", s, d)
		}
	})
}

func TestAsyncConfig(t *testing.T) {
	var none *AsyncConfig
	if none.RetryLimit() != 2 || none.AgeLimit() != 6*time.Hour || none.Validate() != nil || none.Clone() != nil || !none.Equal(nil) {
		t.Error("defaults")
	}
	zero := 0
	c := &AsyncConfig{Retries: &zero, MaxAge: time.Minute, OnFailure: "dlq"}
	d := c.Clone()
	if c.Validate() != nil || !c.Equal(d) || d.RetryLimit() != 0 || d.Retries == c.Retries {
		t.Errorf("%+v", d)
	}
	*d.Retries = 1
	if c.Equal(d) || c.Equal(none) || none.Equal(c) || c.Equal(&AsyncConfig{MaxAge: time.Minute, OnFailure: "dlq"}) {
		t.Error("equal to what it is not")
	}
	three := 3
	err := (&AsyncConfig{Retries: &three, MaxAge: time.Second, OnSuccess: "a b"}).Validate()
	for _, field := range []string{"maximumRetryAttempts", "maximumEventAgeInSeconds", "onSuccess"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
}
