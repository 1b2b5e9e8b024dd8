package project

import (
	"strings"
	"testing"
)

func TestNATSTriggers(t *testing.T) {
	const head = "service: s\nprovider: {name: aws, runtime: nodejs20.x}\nfunctions:\n  f:\n    handler: index.f\n    events:\n"
	for _, c := range []struct{ yaml, want string }{
		{"triggers:\n  - nats: orders.*\n  - rate(5 minutes)",
			`[{"name":"nats-1","nats":{"subject":"orders.*"}},{"name":"schedule-2","schedule":"rate(5 minutes)"}]`},
		{"triggers:\n  - {name: o, enabled: false, nats: {subject: 'o.*.>', stream: O, batchSize: 20, newBatchThreshold: 0, partitionBy: token 2, maxAttempts: 3, from: all}}",
			`[{"name":"o","nats":{"subject":"o.*.\u003e","stream":"O","batchSize":20,"newBatchThreshold":0,"partitionToken":2,"maxAttempts":3,"from":"all"},"disabled":true}]`},
		{"triggers: [{nats: {stream: ORDERS}}]", `[{"name":"nats-1","nats":{"stream":"ORDERS"}}]`},
		{"triggers: [{nats: {}}]", "neither a subject nor a stream"},
		{"triggers: [{nats: 'a..b'}]", "is no NATS subject"},
		{"triggers: [{nats: '*.b'}]", "begins with a wildcard"},
		{"triggers: [{nats: hearth.x}]", "is reserved"},
		{"triggers: [{nats: {stream: hearth_subjects}}]", "are kept by Hearth"},
		{"triggers: [{nats: a.b, schedule: rate(1 day)}]", "both a schedule and a NATS subject"},
		{"triggers: [{nats: a.b, missed: skip}]", "are for schedules"},
		{"triggers: [{nats: {subject: a.b, batchSize: 1001}}]", "it must be 1 to 1000"},
		{"triggers: [{nats: {subject: a.b, batchSize: 0}}]", "must be a whole number"},
		{"triggers: [{nats: {subject: a.b, partitionBy: 2}}]", "such as token 2"},
		{"triggers: [{nats: {subject: a.b, partitionBy: token 3}}]", "has only 2"},
		{"triggers: [{nats: {subject: a.b, from: now}}]", "new or all"},
		{"triggers: [{nats: {subjekt: a.b}}]", `unknown key "subjekt" (did you mean "subject"?)`},
		{head + "      - nats: orders.*\n", `[{"name":"nats-1","nats":{"subject":"orders.*"}}]`},
		{head + "      - nats: {subject: 'o.*', batchSize: 5, name: n, enabled: false}\n", `[{"name":"n","nats":{"subject":"o.*","batchSize":5},"disabled":true}]`},
		{head + "      - nats: {batchSize: 5}\n", "neither a subject nor a stream"},
	} {
		var f []Function
		var err error
		if strings.HasPrefix(c.yaml, "service") {
			var p *Project
			if p, err = ParseServerless("serverless.yml", []byte(c.yaml), Options{}); err == nil {
				f = p.Functions
			}
		} else {
			f, err = Parse("hearth.yml", []byte(c.yaml))
		}
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = triggersOf(t, f)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.yaml, got, c.want)
		}
	}
}
