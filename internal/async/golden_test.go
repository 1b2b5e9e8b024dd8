package async

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"hearth/internal/hearth"
)

// TestPolicyGolden draws the life of events over virtual time. A test file has
//
//	event [retries=N] [maxage=D] [took=D]    one outcome per word: the last one repeats
//
// where clockD, downD and waitD are no outcomes: the time of day jumps, the platform is
// down, and nothing happens, for so long;
// and the line of each attempt tells when it was made and what was decided.
func TestPolicyGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/policy", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "event" {
				t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			}
			var cfg hearth.AsyncConfig
			var took time.Duration
			for _, arg := range d.CmdArgs {
				switch arg.Key {
				case "retries":
					var n int
					arg.Scan(t, 0, &n)
					cfg.Retries = &n
				case "maxage":
					cfg.MaxAge = duration(t, arg.Vals[0])
				case "took":
					took = duration(t, arg.Vals[0])
				}
			}
			return live(t, PolicyOf(&cfg), took, strings.Fields(d.Input))
		})
	})
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	v, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var outcomes = map[string]Outcome{"ok": Succeeded, "error": Failed, "throttle": Refused, "reserved0": ZeroReserve,
	"gone": Impossible, "stopped": Interrupted}

// live carries out what the policy decides, until the event has ended. Between two
// steps the event is stored and read again, as it is on disk: so the words clockD and
// downD, of a clock that jumps and of a platform that is down for a while, go through
// the code that tells an event's age.
func live(t *testing.T, p Policy, took time.Duration, script []string) string {
	var b strings.Builder
	epoch := time.Unix(0, 0)
	now, jumped, runs := epoch, time.Duration(0), newClock(epoch)
	pr := Progress{Accepted: epoch, Born: epoch}
	stored := runs.stamp(pr.Born, now)
	for i := 0; ; i++ {
		pr.Born = runs.born(stored, pr.Accepted, now, now.Add(jumped))
		word := script[min(i, len(script)-1)]
		if jump, ok := strings.CutPrefix(word, "clock"); ok {
			jumped += duration(t, jump)
			fmt.Fprintf(&b, "%10v  the clock jumps by %s\n", now.Sub(epoch), jump)
			continue
		}
		if down, ok := strings.CutPrefix(word, "down"); ok {
			fmt.Fprintf(&b, "%10v  the platform is down for %s\n", now.Sub(epoch), down)
			now = now.Add(duration(t, down))
			runs = newClock(now)
			continue
		}
		if wait, ok := strings.CutPrefix(word, "wait"); ok {
			fmt.Fprintf(&b, "%10v  nothing for %s\n", now.Sub(epoch), wait)
			now = now.Add(duration(t, wait))
			continue
		}
		if before := p.Before(now, pr); before.Verdict == Bury {
			fmt.Fprintf(&b, "%10v  dead: %s\n", now.Sub(epoch), before.Condition)
			return b.String()
		}
		began := now
		now = now.Add(took)
		var d Decision
		pr, d = p.After(now, pr, outcomes[word])
		stored = runs.stamp(pr.Born, now)
		fmt.Fprintf(&b, "%10v  %s", began.Sub(epoch), word)
		switch d.Verdict {
		case Retry:
			fmt.Fprintf(&b, ", again in %v\n", d.Delay)
			now = now.Add(d.Delay)
		case Restore:
			fmt.Fprintf(&b, ", stays queued\n")
		case Finish:
			fmt.Fprintf(&b, ", finished after %d\n", pr.Attempts)
			return b.String()
		case Bury:
			fmt.Fprintf(&b, ", dead after %d: %s\n", pr.Attempts, d.Condition)
			return b.String()
		}
	}
}

// TestLeaseGolden draws leases over virtual time, a character per tick: b a heartbeat,
// - none, x lost. Arguments: term, limit, tick, for; asleep=FROM-TO, when the process
// does not run; settle=AT, when the attempt has ended and its outcome is being written.
func TestLeaseGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/lease", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			at := map[string]time.Duration{}
			for _, arg := range d.CmdArgs {
				if from, to, ok := strings.Cut(arg.Vals[0], "-"); ok {
					at["from"], at["to"] = duration(t, from), duration(t, to)
				} else {
					at[arg.Key] = duration(t, arg.Vals[0])
				}
			}
			epoch := time.Unix(0, 0)
			l := takeLease(epoch, at["term"], at["limit"])
			var b strings.Builder
			for now := at["tick"]; now <= at["for"]; now += at["tick"] {
				if settle, ok := at["settle"]; ok && now >= settle {
					l.settle()
				}
				switch {
				case at["from"] <= now && now < at["to"]:
					b.WriteByte('.')
				case l.tick(epoch.Add(now)):
					b.WriteByte('b')
				case l.expired(epoch.Add(now)):
					b.WriteByte('x')
				default:
					b.WriteByte('-')
				}
			}
			return b.String() + "\n"
		})
	})
}
