package trigger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"hearth/internal/hearth"
)

// TestPlan decides in virtual time. Commands:
//
//	plan due=TIME now=TIME missed=once|skip|all
//	EXPRESSION
//
// Times are of one day, or with days before them (3d12:00:00).
func TestPlan(t *testing.T) {
	datadriven.RunTest(t, "testdata/plan", func(t *testing.T, d *datadriven.TestData) string {
		var missed, due, now string
		d.ScanArgs(t, "missed", &missed)
		d.ScanArgs(t, "due", &due)
		d.ScanArgs(t, "now", &now)
		s, err := parse(&hearth.Trigger{Schedule: d.Input})
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		run, next, dropped := plan(s, hearth.MissedPolicy(missed), moment(t, due), moment(t, now))
		var b strings.Builder
		for i, at := range run {
			if i < 4 || i == len(run)-1 {
				fmt.Fprintf(&b, "run %s\n", at.Format("02 15:04:05"))
			} else if i == 4 {
				fmt.Fprintf(&b, "… %d in all\n", len(run))
			}
		}
		fmt.Fprintf(&b, "next %s\n", next.Format("02 15:04:05"))
		if dropped {
			b.WriteString("some are left out\n")
		}
		return b.String()
	})
}

func moment(t *testing.T, text string) time.Time {
	var day int
	if before, after, ok := strings.Cut(text, "d"); ok {
		if _, err := fmt.Sscan(before, &day); err != nil {
			t.Fatal(err)
		}
		text = after
	}
	at, err := time.Parse("15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	return time.Date(2026, 3, 1+day, at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
}
