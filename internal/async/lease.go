package async

import "time"

// lease is a node's hold on an event. The node keeps it by heartbeats; one that gives
// no sign of life for a term has lost it, and another attempt may begin elsewhere.
// Like Policy it is passive.
type lease struct {
	term   time.Duration
	beaten time.Time // when the hold was last known to be good
	until  time.Time // no heartbeats after that; zero = no end
	lost   bool
}

// takeLease begins a hold. An attempt that takes longer than limit is not alive.
func takeLease(now time.Time, term, limit time.Duration) lease {
	return lease{term: term, beaten: now, until: now.Add(limit)}
}

// tick says whether to send a heartbeat now. It is called several times a term. A lease
// that went without for a whole term is lost for good: this process was stopped, or
// the attempt is over its limit.
func (l *lease) tick(now time.Time) (beat bool) {
	if l.expired(now) {
		return false
	}
	if !l.until.IsZero() && now.After(l.until) {
		return false
	}
	l.beaten = now
	return true
}

// expired tells whether the event may be somebody else's by now.
func (l *lease) expired(now time.Time) bool {
	l.lost = l.lost || now.Sub(l.beaten) >= l.term
	return l.lost
}

// settle lifts the limit: the attempt is over, and its outcome is being written.
func (l *lease) settle() { l.until = time.Time{} }
