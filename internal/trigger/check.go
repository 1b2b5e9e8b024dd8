package trigger

import (
	"time"

	"hearth/internal/hearth"
	"hearth/internal/trigger/schedule"
)

// Check validates a trigger, its schedule or subject included. The error is a *hearth.Error with
// ErrInvalid.
func Check(t *hearth.Trigger) error {
	if err := t.Validate(); err != nil {
		return err
	}
	if t.NATS != nil {
		return nil
	}
	s, err := parse(t)
	if err != nil {
		return hearth.Errorf(hearth.ErrInvalid, "Trigger %s: %s.", t.Name, err)
	}
	if s.Next(time.Now()).IsZero() {
		return hearth.Errorf(hearth.ErrInvalid, "Trigger %s: %s will never be due.", t.Name, t.Schedule)
	}
	return nil
}

func parse(t *hearth.Trigger) (*schedule.Schedule, error) {
	loc, err := time.LoadLocation(t.Timezone)
	if err != nil {
		return nil, err
	}
	return schedule.Parse(t.Schedule, loc)
}
