package loop

import (
	"testing"
	"testing/synctest"
	"time"
)

// looks spins as the loop does, a microsecond per look, until something comes after
// the given time, and tells for how long it looked; false when it went to sleep.
func looks(s *spinner, comes time.Duration) (looked time.Duration, found bool) {
	begin := time.Now()
	for state := time.Duration(0); ; time.Sleep(time.Microsecond) {
		if time.Since(begin) >= comes {
			s.woke(1)
			return time.Since(begin), true
		}
		if state = s.next(state); state < 0 {
			return time.Since(begin), false
		}
	}
}

func TestSpinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpinner(2)
		s.slept(1)
		if _, found := looks(&s, 40*time.Microsecond); !found {
			t.Error("an answer that is near is not looked for")
		}
		s.slept(5)
		if looked, _ := looks(&s, 40*time.Microsecond); looked != 0 {
			t.Errorf("looked for %v although there is work for many", looked)
		}
		// Looking in vain ends soon.
		var total time.Duration
		for range 100 {
			s.slept(1)
			looked, _ := looks(&s, time.Second)
			total += looked
			time.Sleep(time.Second)
		}
		if total > 3*spinMost {
			t.Errorf("looked in vain for %v", total)
		}
		// What comes soon after sleep began brings it back.
		for range 5 {
			looks(&s, time.Second)
			time.Sleep(50 * time.Microsecond)
			s.slept(1)
		}
		if _, found := looks(&s, 40*time.Microsecond); !found {
			t.Error("looking that would have paid is not taken up again")
		}
	})
}

func TestSpinnerLeavesTheProcessorToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpinner(2)
		s.slept(1)
		state := s.next(0)
		time.Sleep(time.Millisecond) // somebody else ran
		if s.next(state) >= 0 {
			t.Error("it goes on")
		}
		if looked, _ := looks(&s, 40*time.Microsecond); looked != 0 {
			t.Errorf("and again for %v", looked)
		}
		time.Sleep(spinRest)
		s.slept(1)
		if _, found := looks(&s, spinLeast); !found {
			t.Error("and never again")
		}
	})
}

func TestSpinnerNeedsASecondProcessor(t *testing.T) {
	s := newSpinner(1)
	s.slept(1)
	if s.next(0) >= 0 {
		t.Error("it looks while nobody can make anything happen")
	}
}
