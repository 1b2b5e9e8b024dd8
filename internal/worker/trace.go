package worker

import "time"

// stopwatch notes where the time of a cold start goes, for the platform's log (debug).
// It is the keeper's alone.
type stopwatch struct {
	last time.Time
	laps []any // name, duration, name, …
}

func startWatch() stopwatch { return stopwatch{last: time.Now(), laps: make([]any, 0, 12)} }

// lap ends a part of the start.
func (s *stopwatch) lap(name string) {
	now := time.Now()
	s.laps = append(s.laps, name, now.Sub(s.last))
	s.last = now
}
