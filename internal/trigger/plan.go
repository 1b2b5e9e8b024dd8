package trigger

import (
	"time"

	"hearth/internal/hearth"
	"hearth/internal/trigger/schedule"
)

// grace is how late a run may be and still count as on time: for a restart, not a
// downtime.
const grace = time.Minute

// plan says which due times are to be run now, oldest first, and what the next one is
// (zero: none). due is the first that has not been run; it has come. dropped tells that
// there were others, which the policy leaves out.
func plan(s *schedule.Schedule, missed hearth.MissedPolicy, due, now time.Time) (run []time.Time, next time.Time, dropped bool) {
	next = s.After(due, now)
	switch missed {
	case hearth.MissedAll:
		for t := due; !t.IsZero() && !t.After(now); t = s.Next(t) {
			if len(run) == hearth.MaxMissed {
				return run, next, true
			}
			run = append(run, t)
		}
		return run, next, false
	case hearth.MissedSkip:
		// The newest that is on time, if any.
		newest := time.Time{}
		for t := s.After(due, now.Add(-grace).Add(-time.Nanosecond)); !t.IsZero() && !t.After(now); t = s.Next(t) {
			newest = t
		}
		if newest.IsZero() {
			return nil, next, true
		}
		return []time.Time{newest}, next, newest.After(due)
	}
	second := s.Next(due)
	return []time.Time{due}, next, !second.IsZero() && !second.After(now)
}
