package async

import (
	"time"

	"hearth/internal/hearth"
)

// clock is the time by which events age: that in which the platform is up. The time of
// day says how old an event is to people, but it can jump, and it goes on while the
// platform is down. By it, a clock that is put right after a start with a wrong one, or
// a night without power, would bury everything that was queued, never attempted. So an
// event's age is counted in the time of the platform's runs: exactly within one run,
// and over several by what it had lived when it was last written and what has passed
// since the start of this one. It is never more than by the time of day, unless that
// went back.
//
// It is passive, and its times are monotonic.
type clock struct {
	run   string // names this run of the platform
	start time.Time
}

// newClock begins a run.
func newClock(now time.Time) *clock {
	return &clock{run: hearth.NewRequestID()[:8], start: now}
}

// stamp is an event's age as it is stored, in milliseconds.
type stamp struct {
	Run  string `json:"run,omitempty"`
	Born int64  `json:"b,omitempty"`    // after the start of the run, mostly
	Aged int64  `json:"aged,omitempty"` // when it was stored
}

// stamp stores the age of an event that was born at a time of this run's clock.
func (c *clock) stamp(born, now time.Time) stamp {
	return stamp{c.run, born.Sub(c.start).Milliseconds(), max(now.Sub(born), 0).Milliseconds()}
}

// maxAged bounds what is believed of a stored age: longer than any event may live.
const maxAged = 365 * 24 * time.Hour

// born is when, by this run's clock, the event would have been accepted had there been
// no other run; accepted and wall are the times of day then and now.
func (c *clock) born(s stamp, accepted, now, wall time.Time) time.Time {
	if s.Run == c.run {
		return c.start.Add(time.Duration(s.Born) * time.Millisecond)
	}
	aged := time.Duration(min(max(s.Aged, 0), maxAged.Milliseconds())) * time.Millisecond
	byDay := now.Sub(c.start) - min(max(wall.Sub(accepted), 0), maxAged)
	return c.start.Add(max(-aged, byDay).Truncate(time.Millisecond))
}
