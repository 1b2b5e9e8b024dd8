package async

import (
	"time"

	"hearth/internal/hearth"
)

// Policy decides what becomes of an event. It reads no clock and does nothing: time
// comes in, a decision goes out, so that virtual time drives the code that decides in
// production.
type Policy struct {
	Retries int           // after a function error
	MaxAge  time.Duration // of an event that may still be tried; see clock
}

// PolicyOf is what a function's configuration says; cfg may be nil.
func PolicyOf(cfg *hearth.AsyncConfig) Policy {
	return Policy{Retries: cfg.RetryLimit(), MaxAge: cfg.AgeLimit()}
}

// Progress is how far an event has come. It is stored with the event.
type Progress struct {
	Accepted time.Time // by the time of day
	Born     time.Time // the same by the platform's clock; its age counts from here
	Attempts int       // made, of either kind
	Failures int       // attempts that ended with a function error
	Refusals int       // attempts in a row that were throttled, or failed in the platform
}

// Outcome is what came of an attempt.
type Outcome int

const (
	Succeeded   Outcome = iota + 1
	Failed              // a function error
	Refused             // throttled, or a failure of the platform: not the function's fault
	ZeroReserve         // the function's reserved concurrency is 0
	Impossible          // it can never run: the function is gone, the request is invalid
	Interrupted         // the platform is stopping: as if there had been no attempt
)

// Verdict says what to do with an event.
type Verdict int

const (
	Run     Verdict = iota + 1 // make an attempt now
	Finish                     // it has succeeded
	Retry                      // make another attempt after Delay
	Bury                       // give it up, for the reason in Condition
	Restore                    // leave it in the queue as it is
)

// Decision is a Verdict with its particulars.
type Decision struct {
	Verdict   Verdict
	Delay     time.Duration // of Retry; one of the lanes
	Condition string        // of Finish and Bury: hearth.Condition…
}

// Delays after function errors, and the shortest and longest after refusals (Lambda:
// one minute, then two; one second to five minutes).
const (
	firstRetry  = time.Minute
	secondRetry = 2 * time.Minute
	minBackoff  = time.Second
	maxBackoff  = 5 * time.Minute
)

// Before decides about an event that has come out of the queue.
func (p Policy) Before(now time.Time, pr Progress) Decision {
	if p.left(now, pr) <= 0 {
		return Decision{Verdict: Bury, Condition: hearth.ConditionAge}
	}
	return Decision{Verdict: Run}
}

// After decides what follows an attempt, and returns the progress with that attempt
// counted in, unless none was made.
func (p Policy) After(now time.Time, pr Progress, o Outcome) (Progress, Decision) {
	if o == Interrupted {
		return pr, Decision{Verdict: Restore}
	}
	switch o {
	case ZeroReserve:
		return pr, Decision{Verdict: Bury, Condition: hearth.ConditionZeroReserved}
	case Impossible:
		return pr, Decision{Verdict: Bury, Condition: hearth.ConditionRejected}
	}
	pr.Attempts++
	switch o {
	case Succeeded:
		return pr, Decision{Verdict: Finish, Condition: hearth.ConditionSuccess}
	case Failed:
		pr.Failures++
		pr.Refusals = 0
		return pr, p.afterFailure(now, pr)
	}
	pr.Refusals++
	return pr, p.afterRefusal(now, pr)
}

func (p Policy) afterFailure(now time.Time, pr Progress) Decision {
	if pr.Failures > p.Retries {
		return Decision{Verdict: Bury, Condition: hearth.ConditionExhausted}
	}
	delay := firstRetry
	if pr.Failures > 1 {
		delay = secondRetry
	}
	if delay >= p.left(now, pr) { // it would be too old by then: say so now
		return Decision{Verdict: Bury, Condition: hearth.ConditionAge}
	}
	return Decision{Verdict: Retry, Delay: delay}
}

// afterRefusal doubles the delay with each refusal. Near the end of the event's life
// the delays become shorter again, so that its last seconds are not given away.
func (p Policy) afterRefusal(now time.Time, pr Progress) Decision {
	delay := maxBackoff
	if shift := max(pr.Refusals-1, 0); shift < 9 {
		delay = min(minBackoff<<shift, maxBackoff)
	}
	for left := p.left(now, pr); delay >= left; delay = shorter(delay) {
		if delay <= minBackoff {
			return Decision{Verdict: Bury, Condition: hearth.ConditionAge}
		}
	}
	return Decision{Verdict: Retry, Delay: delay}
}

// shorter is the next backoff below delay.
func shorter(delay time.Duration) time.Duration {
	d := minBackoff
	for 2*d < delay {
		d *= 2
	}
	return d
}

// left is for how long the event may still be tried.
func (p Policy) left(now time.Time, pr Progress) time.Duration {
	return p.MaxAge - max(now.Sub(pr.Born), 0)
}
