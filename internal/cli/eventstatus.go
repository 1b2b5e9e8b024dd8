package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

func eventPath(id string) string { return "/hearth/v1/async/events/" + url.PathEscape(id) }

func (a *app) eventStatusCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "event-status ID",
		Short: "Show what became of an asynchronous invocation",
		Long: `Show where an asynchronous invocation stands: queued, running, retrying, succeeded, or
dead, which means that it was given up. ID is what "hearth invoke --async" printed.

With --wait the command returns when the event has succeeded, or is dead; then the exit
code is 1.`,
		Example: `  hearth event-status 6f1c0e1e-…
  hearth event-status --wait $(hearth invoke orders --async -d '{"n":1}')`,
		Args: exactlyOne("request id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			status, err := c.eventStatus(cmd.Context(), args[0], wait)
			if err != nil {
				return err
			}
			if a.json() {
				err = a.printJSON(status)
			} else {
				err = a.printFields(a.eventFields(&status))
			}
			if err == nil && wait && status.State == hearth.EventDead {
				return errFunction
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "until it has succeeded or was given up")
	return cmd
}

// eventStatus asks once, or until the event has come to its end.
func (c *client) eventStatus(ctx context.Context, id string, wait bool) (hearth.EventStatus, error) {
	const pause = 250 * time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		var s hearth.EventStatus
		_, err := c.call(ctx, http.MethodGet, eventPath(id), nil, &s)
		if err != nil || !wait || s.State == hearth.EventSucceeded || s.State == hearth.EventDead {
			return s, err
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return s, &failure{ExitInterrupted, context.Cause(ctx)}
		}
	}
}

func (a *app) eventFields(s *hearth.EventStatus) []field {
	name := s.Function
	if s.Qualifier != "" {
		name += ":" + s.Qualifier
	}
	fields := []field{
		{"request", s.ID},
		{"function", a.out.Paint(screen.Bold, name)},
		{"state", a.out.Paint(eventStyle(s.State), string(s.State)) + reason(s.Condition)},
		{"attempt", fmt.Sprint(s.Attempt)},
	}
	if s.Instance != "" {
		fields = append(fields, field{"instance", s.Instance})
	}
	fields = append(fields, field{"accepted", a.when(s.Accepted)}, field{"changed", a.when(s.Changed)})
	if s.State == hearth.EventRetrying {
		fields = append(fields, field{"next attempt", a.until(s.NextAttempt)})
	}
	if s.ErrorType != "" || s.Error != "" {
		fields = append(fields, field{"error", screen.OneLine(s.ErrorType + reason(s.Error))})
	}
	return fields
}

func eventStyle(s hearth.EventState) screen.Style {
	switch s {
	case hearth.EventSucceeded:
		return screen.Green
	case hearth.EventRetrying:
		return screen.Yellow
	case hearth.EventDead:
		return screen.Red
	}
	return screen.Plain
}

// until prints a time to come: how far away it is on a terminal.
func (a *app) until(t time.Time) string {
	if a.format == formatTable {
		return "in " + screen.Span(max(t.Sub(a.now()), 0))
	}
	return a.when(t)
}

// backlogWords is a function's asynchronous work in one line.
func (a *app) backlogWords(b *hearth.Backlog) string {
	text := fmt.Sprintf("%d queued, %d running, %d retrying", b.Queued, b.Running, b.Retrying)
	if !b.Oldest.IsZero() {
		text += ", the oldest from " + a.when(b.Oldest)
	}
	text += fmt.Sprintf("; %.1f/s in, %.1f/s done; %d retries", b.AcceptedPerSecond, b.FinishedPerSecond, b.Retries)
	if b.DeadLetters > 0 {
		text += fmt.Sprintf("; dead letters: %d, see: hearth dlq list %s", b.DeadLetters, b.Function)
	}
	return text
}

// asyncDoc is hearth.AsyncConfig with lengths of time as people write them.
type asyncDoc struct {
	Retries    *int   `json:"retries,omitempty"`
	MaxAge     *span  `json:"maxAge,omitempty"`
	OnSuccess  string `json:"onSuccess,omitempty"`
	OnFailure  string `json:"onFailure,omitempty"`
	DeadLetter string `json:"deadLetter,omitempty"`
}

func asyncDocOf(c *hearth.AsyncConfig) *asyncDoc {
	if c == nil {
		return nil
	}
	doc := &asyncDoc{Retries: c.Retries, OnSuccess: c.OnSuccess, OnFailure: c.OnFailure, DeadLetter: c.DeadLetter}
	if c.MaxAge > 0 {
		age := span(c.MaxAge)
		doc.MaxAge = &age
	}
	return doc
}

func (d *asyncDoc) config() *hearth.AsyncConfig {
	c := &hearth.AsyncConfig{Retries: d.Retries, OnSuccess: d.OnSuccess, OnFailure: d.OnFailure, DeadLetter: d.DeadLetter}
	if d.MaxAge != nil {
		c.MaxAge = time.Duration(*d.MaxAge)
	}
	return c
}

// asyncFields says what becomes of asynchronous invocations, where that was set.
func asyncFields(doc *asyncDoc) []field {
	if doc == nil {
		return nil
	}
	c := doc.config()
	fields := []field{{"async", fmt.Sprintf("%d retries, given up after %s", c.RetryLimit(), screen.Span(c.AgeLimit()))}}
	for _, d := range []field{{"on success", c.OnSuccess}, {"on failure", c.OnFailure}, {"dead letters", c.DeadLetter}} {
		if d.value != "" {
			fields = append(fields, d)
		}
	}
	return fields
}
