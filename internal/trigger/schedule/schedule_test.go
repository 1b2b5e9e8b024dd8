package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestGolden lists the next due times of expressions. Commands:
//
//	next from=RFC3339 [zone=NAME] [count=N]
//	EXPRESSION
func TestGolden(t *testing.T) {
	datadriven.RunTest(t, "testdata/next", func(t *testing.T, d *datadriven.TestData) string {
		zone, count, from := "UTC", 3, ""
		d.MaybeScanArgs(t, "zone", &zone)
		d.MaybeScanArgs(t, "count", &count)
		d.MaybeScanArgs(t, "from", &from)
		loc, err := time.LoadLocation(zone)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s, err := Parse(d.Input, loc)
		if err != nil {
			return "error: " + err.Error() + "\n"
		}
		at, err := time.Parse(time.RFC3339, from)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		var b strings.Builder
		for range count {
			if at = s.Next(at); at.IsZero() {
				b.WriteString("never\n")
				break
			}
			fmt.Fprintln(&b, at.In(loc).Format("Mon 2006-01-02 15:04:05 -0700"))
		}
		return b.String()
	})
}

// TestNextProperties: whatever the zone, the next time is later, a whole minute, and its
// fields are those of the expression.
func TestNextProperties(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"}
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		minute, hour := rapid.IntRange(0, 59).Draw(t, "minute"), rapid.IntRange(0, 23).Draw(t, "hour")
		s, err := Parse(fmt.Sprintf("%d %d * * *", minute, hour), loc)
		if err != nil {
			t.Fatal(err)
		}
		after := time.Unix(rapid.Int64Range(1.6e9, 2.2e9).Draw(t, "after"), 0)
		next := s.Next(after)
		local := next.In(loc)
		if !next.After(after) || local.Minute() != minute || local.Hour() != hour || local.Second() != 0 {
			t.Fatalf("after %v comes %v", after.In(loc), local)
		}
		// Daily: at most one day and the two hours of a change later, or a day left out.
		if gap := next.Sub(after); gap > 49*time.Hour {
			t.Fatalf("after %v comes %v, %v later", after.In(loc), local, gap)
		}
		// Once a day, also when the hour occurs twice.
		if second := s.Next(next); second.In(loc).YearDay() == local.YearDay() {
			t.Fatalf("twice on one day: %v, %v", local, second.In(loc))
		}
	})
}

// TestRateKeepsItsBeat: however late it is, the next time is of the same series.
func TestRateKeepsItsBeat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		s, err := Parse(fmt.Sprintf("rate(%d seconds)", n), nil)
		if err != nil {
			t.Fatal(err)
		}
		due := time.Unix(2e9, 0)
		now := due.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "late")))
		next := s.After(due, now)
		period := time.Duration(n) * time.Second
		if !next.After(now) || next.Sub(now) > period || next.Sub(due)%period != 0 {
			t.Fatalf("due %v, now %v, next %v", due, now, next)
		}
	})
}

func TestCorrected(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text     string
		ahead    time.Duration // of what was due when the clock was put back
		expected time.Duration
	}{
		{"rate(5 minutes)", 3 * time.Minute, 3 * time.Minute},
		{"rate(5 minutes)", time.Hour, 5 * time.Minute},
		{"0 * * * *", time.Hour, time.Hour},
		{"0 * * * *", 3 * time.Hour, 3 * time.Hour},
		{"0 * * * *", 9000 * time.Hour, time.Hour},
	} {
		s, err := Parse(c.text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Corrected(now.Add(c.ahead), now).Sub(now); got != c.expected {
			t.Errorf("%s, due in %v: corrected to %v, want %v", c.text, c.ahead, got, c.expected)
		}
	}
}

// FuzzParse: whatever is read has a next time that is later, or none.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"rate(5 minutes)", "cron(0 12 * * ? *)", "*/5 1-3 * JAN 7", "cron(0 0 LW * ? 2030/2)",
		"cron(0 0 ? * FRI#5 *)", "cron(0 0 15W * ? 2026)", "TZ=UTC * * * * *", "rate(0 days)", "0 0 31 2 *", "@daily"} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text, time.UTC)
		if err != nil {
			return
		}
		next := s.Next(now)
		if next.IsZero() {
			return
		}
		if !next.After(now) || next.Year() > lastYear || s.After(next, now) != next {
			t.Fatalf("%q: after %v comes %v", text, now, next)
		}
		if again := s.After(next, next); !again.IsZero() && !again.After(next) {
			t.Fatalf("%q: after %v comes %v", text, next, again)
		}
	})
}
