package cli

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

func (a *app) logsCommand() *cobra.Command {
	var o struct {
		follow            bool
		instance, request string
		since             string
		limit             int
	}
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show a function's log",
		Long: `Show what a function's instances printed, with the platform's START, END and REPORT
lines. Every line carries the request id of the invocation that wrote it, also when
many run in one instance.

Logs are kept in bounded storage: the oldest lines make room for new ones.

Into a pipe each line is: time, instance, request, kind and text, with tabs between.`,
		Example: `  # the last lines, then whatever comes
  hearth logs hello -f

  # one invocation, in the last ten minutes
  hearth logs hello --request 6f1c… --since 10m

  # only what went to standard error, for programs
  hearth logs hello -o json | jq -r 'select(.kind == "stderr").text'`,
		Args:              exactlyOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			since, err := parseSince(o.since, a.now())
			if err != nil {
				return err
			}
			if o.limit < 0 {
				return usagef("--lines %d must be 0 (everything that is kept) or more", o.limit)
			}
			if !cmd.Flags().Changed("lines") && (since != "" || o.request != "") {
				o.limit = 0 // those who narrow it down want all of it
			}
			path := functionPath(args[0]) + "/logs" + query("follow", oneIf(o.follow), "instance", o.instance,
				"request", o.request, "since", since, "limit", number(o.limit))
			err = c.lines(cmd.Context(), path, a.logLine)
			return c.explainMissing(cmd.Context(), args[0], err)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with new lines until Ctrl-C")
	f.StringVar(&o.instance, "instance", "", "only this instance's lines (`id`)")
	f.StringVar(&o.request, "request", "", "only this invocation's lines (request `id`)")
	f.StringVar(&o.since, "since", "", "only lines since this `time`: 10m (ago), or 2026-01-31T12:00:00Z")
	f.IntVarP(&o.limit, "lines", "n", 100, "the newest so many `lines`; 0 = all that are kept, as with --since and --request")
	must(cmd.RegisterFlagCompletionFunc("instance", a.completeInstances))
	return cmd
}

// completeInstances offers the ids of a function's instances.
func (a *app) completeInstances(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.client()
	if err != nil || len(args) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := c.instances(cmd, args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, i := range list {
		ids = append(ids, cobra.CompletionWithDesc(i.ID, string(i.State)))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// logLine prints one entry of a log.
func (a *app) logLine(line []byte) error {
	if a.json() {
		_, err := fmt.Fprintf(a.out, "%s\n", line)
		return err
	}
	var e hearth.LogEntry
	if err := json.Unmarshal(line, &e); err != nil {
		return platformf("the platform's log has a line that cannot be read: %w", err)
	}
	text := strings.TrimRight(screen.OneLine(e.Text), " ")
	if a.format == formatTSV {
		_, err := fmt.Fprintf(a.out, "%s\t%s\t%s\t%s\t%s\n", a.when(e.Time), e.Instance, e.Request, e.Kind, text)
		return err
	}
	request := e.Request
	if len(request) > 8 {
		request = request[:8]
	}
	_, err := fmt.Fprintf(a.out, "%s %s %s %s\n", a.out.Paint(screen.Dim, e.Time.In(a.zone).Format("15:04:05.000")),
		a.out.Paint(colourOf(e.Instance), fmt.Sprintf("%-13s", e.Instance)),
		a.out.Paint(screen.Dim, fmt.Sprintf("%-8s", request)), a.out.Paint(kindStyle(e.Kind), text))
	return err
}

// colourOf gives every instance a colour of its own, as far as they reach.
func colourOf(instance string) screen.Style {
	colours := []screen.Style{screen.Cyan, screen.Green, screen.Magenta, screen.Blue, screen.Yellow}
	h := fnv.New32a()
	_, _ = h.Write([]byte(instance))
	return colours[h.Sum32()%uint32(len(colours))]
}

func kindStyle(kind string) screen.Style {
	switch kind {
	case hearth.LogStderr:
		return screen.Red
	case hearth.LogStart, hearth.LogEnd, hearth.LogReport:
		return screen.Dim
	case hearth.LogPlatform:
		return screen.Yellow
	}
	return screen.Plain
}

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var since string
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what has happened to instances and functions",
		Long: `Show the platform's feed of events: functions created, changed and deleted, instances
starting, ready and gone, with the reason.`,
		Example: `  # watch instances come and go
  hearth events -f

  hearth events --since 1h -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			from, err := parseSince(since, a.now())
			if err != nil {
				return err
			}
			return c.lines(cmd.Context(), "/hearth/v1/events"+query("follow", oneIf(follow), "since", from), a.eventLine)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new events until Ctrl-C")
	cmd.Flags().StringVar(&since, "since", "", "only events since this `time`: 10m (ago), or 2026-01-31T12:00:00Z")
	return cmd
}

func (a *app) eventLine(line []byte) error {
	if a.json() {
		_, err := fmt.Fprintf(a.out, "%s\n", line)
		return err
	}
	var e hearth.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return platformf("the platform's feed has an event that cannot be read: %w", err)
	}
	detail := screen.OneLine(e.Detail)
	if a.format == formatTSV {
		_, err := fmt.Fprintf(a.out, "%s\t%s\t%s\t%s\t%s\t%s\n", a.when(e.Time), e.Kind, e.Function, e.Instance, e.Reason, detail)
		return err
	}
	if e.Reason != "" {
		detail = e.Reason + reason(detail)
	}
	_, err := fmt.Fprintf(a.out, "%s %-18s %s %s %s\n", a.out.Paint(screen.Dim, e.Time.In(a.zone).Format("15:04:05.000")),
		e.Kind, a.out.Paint(screen.Bold, e.Function), a.out.Paint(colourOf(e.Instance), e.Instance), a.out.Paint(screen.Dim, detail))
	return err
}

// parseSince turns "10m" or a time into RFC 3339, as the platform wants it.
func parseSince(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC().Format(time.RFC3339Nano), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "", usagef("--since %q is neither a length of time such as 10m nor a time such as 2026-01-31T12:00:00Z", text)
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}

func oneIf(on bool) string {
	if on {
		return "1"
	}
	return ""
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
