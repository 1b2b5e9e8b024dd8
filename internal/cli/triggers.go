package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

func (a *app) triggersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "triggers [NAME]",
		Short: "List the triggers, of one function or all",
		Long: `List the triggers and how they are doing: when a schedule is due next; for NATS, the
messages that are pending in the stream, waiting for their partition or their next
attempt, and in flight in invocations, when the oldest came, and how many batches failed
and messages went to the dead-letter store since the platform started.`,
		Example: `  hearth triggers
  hearth triggers orders -o json`,
		Args:              atMostOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			path := "/hearth/v1/triggers"
			if len(args) == 1 {
				path += query("function", args[0])
			}
			var list struct {
				Triggers []hearth.TriggerStatus `json:"triggers"`
			}
			if printed, err := a.fetch(cmd, c, path, &list); printed || err != nil {
				return err
			}
			return a.printTable(a.triggerTable(list.Triggers), "No triggers. Declare them in hearth.yml, see docs/reference/triggers.md")
		},
	}
}

func (a *app) triggerTable(list []hearth.TriggerStatus) *screen.Table {
	t := screen.NewTable("function", "trigger", "source", "state", "next", ">pending", ">waiting", ">in flight", "oldest", ">failures", ">dead", "last error")
	for i := range list {
		s := &list[i]
		next := "-"
		if !s.Next.IsZero() {
			next = s.Next.UTC().Format("2006-01-02T15:04:05Z")
		}
		oldest := "-"
		if !s.Oldest.IsZero() {
			oldest = a.when(s.Oldest)
		}
		t.Row(s.Function, s.Trigger, screen.OneLine(s.Source), screen.Cell{Text: string(s.State), Style: triggerStyle(s.State)}, next,
			s.Pending, s.Waiting, s.InFlight, oldest, s.Failures, s.Dead, screen.OneLine(cmp.Or(s.Error, "-")))
	}
	return t
}

func triggerStyle(s hearth.TriggerState) screen.Style {
	switch s {
	case hearth.TriggerActive:
		return screen.Green
	case hearth.TriggerBackoff:
		return screen.Yellow
	case hearth.TriggerFailing:
		return screen.Red
	}
	return screen.Plain
}

// triggerStatusWords is a trigger's line in hearth status.
func (a *app) triggerStatusWords(t *hearth.TriggerStatus) string {
	text := fmt.Sprintf("%s: %d pending, %d waiting, %d in flight", t.State, t.Pending, t.Waiting, t.InFlight)
	if !t.Oldest.IsZero() {
		text += ", the oldest from " + a.when(t.Oldest)
	}
	text += fmt.Sprintf("; %d processed, %d batches failed", t.Succeeded, t.Failures)
	if t.Dead > 0 {
		text += fmt.Sprintf(", %d dead, see: hearth dlq list %s", t.Dead, t.Function)
	}
	if t.Error != "" && t.State != hearth.TriggerActive {
		text += ": " + screen.OneLine(t.Error)
	}
	return text
}

// natsWords says what a trigger listens to, and how.
func natsWords(t *hearth.Trigger) string {
	n := t.NATS.Complete()
	words := []string{"NATS " + screen.OneLine(n.Words()), fmt.Sprintf("%d at a time, %d in flight at most", n.BatchSize, n.BatchSize+*n.NewBatchThreshold)}
	if n.PartitionToken > 0 {
		words = append(words, fmt.Sprintf("in order by token %d", n.PartitionToken))
	}
	words = append(words, fmt.Sprintf("%d attempts", n.MaxAttempts))
	text := strings.Join(words, ", ")
	if t.Disabled {
		text += " (disabled)"
	}
	return text
}
