package project

import (
	"encoding/json"
	"strings"
	"testing"
)

func triggersOf(t *testing.T, f []Function) string {
	t.Helper()
	text, err := json.Marshal(f[0].Triggers)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTriggersOfHearthYML(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"triggers: [rate(5 minutes), 0 12 * * *]",
			`[{"name":"schedule-1","schedule":"rate(5 minutes)"},{"name":"schedule-2","schedule":"0 12 * * *"}]`},
		{"triggers:\n  - {name: a, schedule: cron(0 12 * * ? *), timezone: Europe/Berlin, missed: skip, enabled: false, input: {n: [1, 1.5, yes, true, null, {k: v}]}}",
			`[{"name":"a","schedule":"cron(0 12 * * ? *)","timezone":"Europe/Berlin","missed":"skip","input":{"n":[1,1.5,"yes",true,null,{"k":"v"}]},"disabled":true}]`},
		{"triggers: rate(5 minutes)", "hearth.yml:1:11: triggers must be a list"},
		{"triggers:\n  - schedule: rate(0 minutes)", "hearth.yml:2:"},
		{"triggers:\n  - rate(5 weeks)", "rate(5 weeks) is no rate"},
		{"triggers:\n  - {name: a}", "Trigger a has no schedule"},
		{"triggers:\n  - {schedul: rate(1 day)}", `hearth.yml:2:6: unknown key "schedul" (did you mean "schedule"?)`},
		{"triggers:\n  - {schedule: rate(1 day), missed: never}", "it must be once, skip or all"},
		{"triggers:\n  - {schedule: rate(1 day), timezone: Mars/Olympus}", "which is not known"},
		{"triggers:\n  - {schedule: rate(1 day), enabled: 7}", "must be true or false"},
		{"triggers:\n  - 0 0 30 2 *", "will never be due"},
	} {
		f, err := Parse("hearth.yml", []byte(c.yaml))
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

func TestSchedulesOfServerlessYML(t *testing.T) {
	const head = "service: s\nprovider: {name: aws, runtime: nodejs20.x}\nfunctions:\n  f:\n    handler: index.f\n    events:\n"
	for _, c := range []struct{ yaml, want string }{
		{"      - schedule: rate(5 minutes)\n      - schedule: cron(0 12 * * ? *)\n",
			`[{"name":"schedule-1","schedule":"rate(5 minutes)"},{"name":"schedule-2","schedule":"cron(0 12 * * ? *)"}]`},
		{"      - schedule: {rate: rate(1 day), enabled: false, timezone: Europe/Berlin, input: {a: 1}, name: n}\n",
			`[{"name":"n","schedule":"rate(1 day)","timezone":"Europe/Berlin","input":{"a":1},"disabled":true}]`},
		{"      - schedule: {rate: [rate(1 day), rate(2 days)]}\n",
			`[{"name":"schedule-1-1","schedule":"rate(1 day)"},{"name":"schedule-1-2","schedule":"rate(2 days)"}]`},
		{"      - schedule: cron(*/5 * * * *)\n", "has six fields"},
		{"      - schedule: {enabled: true}\n", "has no rate"},
		{"      - schedule: every day\n", "is no schedule"},
	} {
		got := ""
		if p, err := ParseServerless("serverless.yml", []byte(head+c.yaml), Options{}); err != nil {
			got = err.Error()
		} else {
			got = triggersOf(t, p.Functions)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.yaml, got, c.want)
		}
	}
}

// Schedules as the plug-ins of other providers have them.
func TestSchedulesOfOtherProviders(t *testing.T) {
	for _, c := range []struct{ provider, event, want string }{
		{"openwhisk", "schedule: cron(*/5 * * * *)", `[{"name":"schedule-1","schedule":"*/5 * * * *"}]`},
		{"kubeless", "schedule: '0 12 * * *'", `[{"name":"schedule-1","schedule":"0 12 * * *"}]`},
		{"azure", "timer: true\n        x-azure-settings: {name: t, schedule: 0 */10 * * * *}", `[{"name":"schedule-1","schedule":"*/10 * * * *","input":{"isPastDue":false}}]`},
		{"azure", "timer: true\n        schedule: 0 */10 * * * *", `[{"name":"schedule-1","schedule":"*/10 * * * *","input":{"isPastDue":false}}]`},
		{"azure", "timer:\n          schedule: 0 */10 * * * *", `[{"name":"schedule-1","schedule":"*/10 * * * *","input":{"isPastDue":false}}]`},
		{"azure", "timer: true", "serverless.yml:7:9: functions.f.events[0].timer has no schedule"},
	} {
		src := "service: s\nprovider: {name: " + c.provider + ", runtime: nodejs18}\nfunctions:\n  f:\n    handler: index.f\n    events:\n      - " + c.event + "\n"
		got := ""
		if p, err := ParseServerless("serverless.yml", []byte(src), Options{}); err != nil {
			got = err.Error()
		} else {
			got = triggersOf(t, p.Functions)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s\n got %s\nwant %s", c.provider, c.event, got, c.want)
		}
	}
}
