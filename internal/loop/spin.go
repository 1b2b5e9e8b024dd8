package loop

import "time"

// spinner decides how long to look for events before sleeping. Waking a processor that
// sleeps takes 5 to 50 µs, as much as all of Hearth's work on an invocation; so after an
// event that came alone, when an answer is likely to be near, looking for a moment makes
// it arrive sooner. It must not cost others anything:
//   - Where events come several at a time there is work enough, and sleeping lets more of
//     them gather: no looking then.
//   - Looking that was in vain is halved, down to nothing; where a little more of it
//     would have paid it is doubled (as KVM does with vCPUs that halt).
//   - Where others want the processor, which shows in a look that comes much later than
//     the one before, there is none for a while.
//   - With a single processor there is nobody to make the event happen meanwhile.
type spinner struct {
	off    bool
	limit  time.Duration // how long to look
	began  time.Time
	last   time.Time // look
	until  time.Time // when others may have left a processor again
	asleep time.Time // when it last went to sleep
	lone   bool      // the last events came one at a time
}

const (
	spinMost  = 100 * time.Microsecond
	spinLeast = 10 * time.Microsecond
	// spinGap is how late a look may be before somebody else must have had the
	// processor, and spinRest for how long it is left to them.
	spinGap  = 30 * time.Microsecond
	spinRest = 50 * time.Millisecond
)

func newSpinner(processors int) spinner {
	return spinner{off: processors < 2, limit: spinMost}
}

// next tells whether to look once more: it is given how long it has looked, and returns
// that for the next time, or a negative number to go to sleep.
func (s *spinner) next(looked time.Duration) time.Duration {
	if s.off || !s.lone || s.limit == 0 {
		if !s.off {
			s.asleep = time.Now()
		}
		return -1
	}
	now := time.Now()
	if looked == 0 {
		if now.Before(s.until) {
			s.asleep = now
			return -1
		}
		s.began, s.last = now, now
		return 1
	}
	if now.Sub(s.last) > spinGap {
		s.until, s.asleep = now.Add(spinRest), now
		return -1
	}
	s.last = now
	if looked = now.Sub(s.began); looked < s.limit {
		return max(looked, 1)
	}
	s.asleep = now
	return -1
}

// woke notes that looking, or the first look, found n events.
func (s *spinner) woke(n int) { s.lone = n == 1 }

// slept notes that sleeping ended with n events.
func (s *spinner) slept(n int) {
	s.lone = n == 1
	switch {
	case s.off:
	case time.Since(s.asleep) < spinMost:
		s.limit = min(max(2*s.limit, spinLeast), spinMost)
	default:
		if s.limit /= 2; s.limit < spinLeast {
			s.limit = 0
		}
	}
}
