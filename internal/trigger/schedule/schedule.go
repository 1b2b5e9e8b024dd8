package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones do not depend on what the host has installed
)

// MaxLen bounds an expression, in bytes (EventBridge API).
const MaxLen = 256

// maxRate is the longest period of a rate.
const maxRate = 10 * 365 * 24 * time.Hour

// Schedule is an expression that has been read. It is immutable.
type Schedule struct {
	period   time.Duration // of a rate, else 0
	calendar *calendar
}

// Parse reads an expression; loc is the zone that cron's fields are in, UTC if nil.
// The error tells people what to write.
func Parse(text string, loc *time.Location) (*Schedule, error) {
	if loc == nil {
		loc = time.UTC
	}
	if len(text) > MaxLen {
		return nil, fmt.Errorf("a schedule has at most %d characters", MaxLen)
	}
	text = strings.TrimSpace(text)
	if inner, ok := call(text, "rate"); ok {
		period, err := parseRate(inner)
		if err != nil {
			return nil, err
		}
		return &Schedule{period: period}, nil
	}
	var c *calendar
	var err error
	if inner, ok := call(text, "cron"); ok {
		c, err = parseAWS(strings.Fields(inner), loc)
	} else if fields := strings.Fields(text); len(fields) == 5 {
		c, err = parsePlain(fields, loc)
	} else {
		return nil, fmt.Errorf("%q is no schedule; write rate(5 minutes), cron(0 12 * * ? *) or, as in a crontab, 0 12 * * *", text)
	}
	if err != nil {
		return nil, err
	}
	return &Schedule{calendar: c}, nil
}

// call takes "name(inner)" apart.
func call(text, name string) (inner string, ok bool) {
	inner, ok = strings.CutPrefix(text, name+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(inner, ")")
}

// parseRate reads "5 minutes". Seconds are Hearth's addition to EventBridge's units.
func parseRate(text string) (time.Duration, error) {
	wrong := fmt.Errorf("rate(%s) is no rate; write a whole number from 1 up and second, minute, hour or day(s), such as rate(5 minutes)", text)
	words := strings.Fields(text)
	if len(words) != 2 {
		return 0, wrong
	}
	n, err := strconv.ParseUint(words[0], 10, 31)
	if err != nil || n == 0 {
		return 0, wrong
	}
	unit, ok := map[string]time.Duration{
		"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour,
	}[strings.TrimSuffix(words[1], "s")]
	if !ok || n > uint64(maxRate/unit) {
		return 0, wrong
	}
	return time.Duration(n) * unit, nil
}

// Next is the first due time after t, where a rate counts from t. It is zero if there
// is none. Due times are in UTC and whole seconds.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.period > 0 {
		return t.UTC().Truncate(time.Second).Add(s.period)
	}
	return s.calendar.next(t)
}

// After is the first time after now in the series that due belongs to; a rate keeps
// its beat. It is due itself if that is still to come.
func (s *Schedule) After(due, now time.Time) time.Time {
	if due.After(now) {
		return due
	}
	if s.period > 0 {
		// Sub saturates after 292 years, which is no beat to keep.
		return due.Add((now.Sub(due)/s.period + 1) * s.period)
	}
	return s.calendar.next(now)
}

// patience is how far a due time may be beyond the expected one before the clock is
// taken to have been wrong when it was set. It is Vixie cron's: smaller steps back are
// corrections, and nothing is run twice for them.
const patience = 3 * time.Hour

// Corrected is due, or a new due time if due was set by a clock that has since been put
// back: cron waits for up to three hours until the clock has caught up, a rate never
// waits for longer than its period.
func (s *Schedule) Corrected(due, now time.Time) time.Time {
	expected := s.Next(now)
	if expected.IsZero() {
		return due
	}
	if s.period > 0 && due.After(expected) || due.Sub(expected) > patience {
		return expected
	}
	return due
}
