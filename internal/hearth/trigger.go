package hearth

import (
	"bytes"
	"encoding/json"
	"time"
)

// MaxTriggers bounds the triggers of one function.
const MaxTriggers = 100

// MaxTriggerInputBytes bounds what a trigger sends each time.
const MaxTriggerInputBytes = 8192

// MissedPolicy says what becomes of runs that were due while the platform was down.
type MissedPolicy string

const (
	// MissedOnce makes up for all of them with one run, that of the first.
	MissedOnce MissedPolicy = "once"
	// MissedSkip leaves them out.
	MissedSkip MissedPolicy = "skip"
	// MissedAll runs each, oldest first, up to MaxMissed.
	MissedAll MissedPolicy = "all"
)

// MaxMissed bounds the runs that MissedAll makes up for at one time.
const MaxMissed = 100

// Trigger invokes its function asynchronously whenever its schedule says so, or with
// the messages of NATS subjects. It has either a Schedule or NATS.
type Trigger struct {
	// Name is unique within the function.
	Name string `json:"name"`
	// Schedule is "rate(5 minutes)", "cron(0 12 * * ? *)" or "0 12 * * *".
	Schedule string `json:"schedule,omitempty"`
	// NATS is shared by clones and never changed.
	NATS *NATSTrigger `json:"nats,omitempty"`
	// Timezone is an IANA name such as Europe/Berlin; UTC when empty.
	Timezone string `json:"timezone,omitempty"`
	// Missed is MissedOnce when empty.
	Missed MissedPolicy `json:"missed,omitempty"`
	// Input is the event's payload, any JSON; a scheduled event as EventBridge sends it
	// when there is none.
	Input json.RawMessage `json:"input,omitempty"`
	// Disabled keeps the trigger without running it.
	Disabled bool `json:"disabled,omitempty"`
}

// Equal says whether two triggers are the same.
func (t Trigger) Equal(u Trigger) bool {
	return bytes.Equal(t.Input, u.Input) && t.Name == u.Name && t.Schedule == u.Schedule &&
		t.Timezone == u.Timezone && t.Missed == u.Missed && t.Disabled == u.Disabled && t.NATS.Equal(u.NATS)
}

// Validate checks everything but the grammar of the schedule, which the trigger room
// knows. The error is an *Error with ErrInvalid.
func (t *Trigger) Validate() error {
	if !namePattern.MatchString(t.Name) {
		return Errorf(ErrInvalid, "The name of a trigger is %q; it must be 1 to %d letters, digits, '-' and '_'.", clip(t.Name), MaxNameLen)
	}
	if t.NATS != nil {
		return t.validateNATS()
	}
	if t.Schedule == "" {
		return Errorf(ErrInvalid, "Trigger %s has no schedule; give it one such as rate(5 minutes) or cron(0 12 * * ? *), or a NATS subject.", t.Name)
	}
	if t.Timezone == "Local" { // the host's zone would change the meaning with the host
		return Errorf(ErrInvalid, `Trigger %s has the time zone "Local"; write its name, such as Europe/Berlin.`, t.Name)
	}
	if _, err := time.LoadLocation(t.Timezone); err != nil {
		return Errorf(ErrInvalid, "Trigger %s has the time zone %q, which is not known; write it as Europe/Berlin, or leave it out for UTC.", t.Name, clip(t.Timezone))
	}
	switch t.Missed {
	case "", MissedOnce, MissedSkip, MissedAll:
	default:
		return Errorf(ErrInvalid, "Trigger %s has missed: %q; it must be once, skip or all.", t.Name, clip(string(t.Missed)))
	}
	if len(t.Input) > MaxTriggerInputBytes {
		return Errorf(ErrInvalid, "The input of trigger %s has %d bytes; at most %d are allowed.", t.Name, len(t.Input), MaxTriggerInputBytes)
	}
	if len(t.Input) > 0 && !json.Valid(t.Input) {
		return Errorf(ErrInvalid, "The input of trigger %s is not JSON.", t.Name)
	}
	return nil
}

func (t *Trigger) validateNATS() error {
	if t.Schedule != "" {
		return Errorf(ErrInvalid, "Trigger %s has both a schedule and a NATS subject; make two triggers of it.", t.Name)
	}
	if t.Timezone != "" || t.Missed != "" || len(t.Input) > 0 {
		return Errorf(ErrInvalid, "Trigger %s listens to NATS; timezone, missed and input are for schedules.", t.Name)
	}
	if err := t.NATS.validate(); err != nil {
		return Errorf(ErrInvalid, "Trigger %s %s.", t.Name, err)
	}
	return nil
}

// validateTriggers checks all triggers of a function.
func validateTriggers(triggers []Trigger) error {
	if len(triggers) > MaxTriggers {
		return Errorf(ErrInvalid, "The function has %d triggers; at most %d are allowed.", len(triggers), MaxTriggers)
	}
	names := map[string]bool{}
	for i := range triggers {
		t := &triggers[i]
		if err := t.Validate(); err != nil {
			return err
		}
		if names[t.Name] {
			return Errorf(ErrInvalid, "Two triggers are called %s; give each a name of its own.", t.Name)
		}
		names[t.Name] = true
	}
	return nil
}
