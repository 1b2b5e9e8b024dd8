package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

const deadLettersPath = "/hearth/v1/dead-letters"

// deadLetter is a dead letter with its payload as it is: JSON.
type deadLetter struct {
	hearth.DeadLetter
	Payload json.RawMessage `json:"payload"`
}

type deadLetterPage struct {
	DeadLetters []hearth.DeadLetter `json:"deadLetters"`
	Next        uint64              `json:"next"`
}

// eachDeadLetter calls fn for those of a function, of all if it is "", page by page.
func (c *client) eachDeadLetter(ctx context.Context, function string, fn func(hearth.DeadLetter) error) error {
	for after := uint64(0); ; {
		var page deadLetterPage
		path := deadLettersPath + query("function", function, "after", strconv.FormatUint(after, 10), "limit", "1000")
		if _, err := c.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return err
		}
		for _, l := range page.DeadLetters {
			if err := fn(l); err != nil {
				return err
			}
		}
		if after = page.Next; after == 0 {
			return nil
		}
	}
}

func (c *client) replay(ctx context.Context, key uint64) (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	_, err := c.call(ctx, http.MethodPost, deadLettersPath+"/"+strconv.FormatUint(key, 10)+"/replay", nil, &out)
	return out.ID, err
}

func (a *app) deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Read, replay and purge dead letters",
		Long: `A dead letter is an asynchronous invocation that was given up: its function failed too
often, it grew too old, or it could never run. Unless the function names another place
for them, Hearth keeps dead letters here, with the event and what went wrong, until
somebody replays or purges them.`,
		Example: `  hearth dlq list
  hearth dlq show 17
  hearth dlq replay 17`,
		Args: a.noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.dlqListCommand(), a.dlqShowCommand(), a.dlqReplayCommand(), a.dlqPurgeCommand())
	return cmd
}

func (a *app) dlqListCommand() *cobra.Command {
	limit := 100
	cmd := &cobra.Command{
		Use:     "list [NAME]",
		Aliases: []string{"ls"},
		Short:   "List the dead letters, of one function or all",
		Long:    "List the dead letters, oldest first: which function, why it was given up, and when.",
		Example: `  hearth dlq list
  hearth dlq list orders -o json | jq -r '.deadLetters[].error'`,
		Args:              atMostOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 1000 {
				return usagef("--limit %d is not a number from 1 to 1000", limit)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			path := deadLettersPath + query("function", first(args), "limit", strconv.Itoa(limit))
			var page deadLetterPage
			if printed, err := a.fetch(cmd, c, path, &page); printed || err != nil {
				return err
			}
			return a.printDeadLetters(page)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many, up to 1000")
	return cmd
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (a *app) printDeadLetters(page deadLetterPage) error {
	t := screen.NewTable(">key", "function", "why", ">attempts", "error", ">size", "died", "request")
	for _, l := range page.DeadLetters {
		name := l.Function
		if l.Qualifier != "" {
			name += ":" + l.Qualifier
		}
		t.Row(l.Key, name, l.Condition, l.Attempts, dash(l.ErrorType+reason(l.Error)), screen.Bytes(int64(l.Size)), a.when(l.Died), l.ID)
	}
	if err := a.printTable(t, "No dead letters."); err != nil {
		return err
	}
	if page.Next > 0 && a.format == formatTable {
		fmt.Fprintln(a.err, a.err.Paint(screen.Dim, "there may be more: --limit 1000"))
	}
	return nil
}

func (a *app) dlqShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show KEY",
		Short: "Show a dead letter with its event",
		Long: `Show a dead letter and the event that the function could not handle. KEY is what
"hearth dlq list" shows first.`,
		Example: `  hearth dlq show 17
  hearth dlq show 17 -o json | jq .payload | hearth invoke orders`,
		Args: exactlyOne("dead letter"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			path := deadLettersPath + "/" + url.PathEscape(args[0])
			var l deadLetter
			if printed, err := a.fetch(cmd, c, path, &l); printed || err != nil {
				return err
			}
			return a.printDeadLetter(&l)
		},
	}
}

func (a *app) printDeadLetter(l *deadLetter) error {
	name := l.Function
	if l.Qualifier != "" {
		name += ":" + l.Qualifier
	}
	payload := string(l.Payload)
	var b bytes.Buffer
	if a.format == formatTable && json.Indent(&b, l.Payload, "", "  ") == nil {
		payload = b.String()
	}
	return a.printFields([]field{
		{"key", fmt.Sprint(l.Key)}, {"request", l.ID}, {"function", a.out.Paint(screen.Bold, name)},
		{"why", l.Condition}, {"error", screen.OneLine(dash(l.ErrorType + reason(l.Error)))}, {"attempts", fmt.Sprint(l.Attempts)},
		{"accepted", a.when(l.Accepted)}, {"died", a.when(l.Died)}, {"event", payload},
	})
}

// replayJSON is one line of dlq replay.
type replayJSON struct {
	Key       uint64 `json:"key"`
	RequestID string `json:"requestId"`
}

func (a *app) dlqReplayCommand() *cobra.Command {
	var function string
	var all bool
	cmd := &cobra.Command{
		Use:   "replay KEY...",
		Short: "Have dead letters invoked again",
		Long: `Submit dead letters again, under the request ids that they had, which are printed. Each is
removed once it is queued on disk. --function replays those of one function, --all every
one.`,
		Example: `  hearth dlq replay 17 18
  hearth dlq replay --function orders`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := count(len(args) > 0, function != "", all); n != 1 {
				return usagef("which dead letters? Give their keys, --function NAME, or --all. %s", useLine(cmd))
			}
			keys, err := parseKeys(args)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if len(keys) == 0 { // all are read first: what fails again comes back under a new key
				if err := c.eachDeadLetter(cmd.Context(), function, func(l hearth.DeadLetter) error {
					keys = append(keys, l.Key)
					return nil
				}); err != nil {
					return err
				}
			}
			return a.replayAll(cmd.Context(), c, keys)
		},
	}
	cmd.Flags().StringVar(&function, "function", "", "all dead letters of the function `NAME`")
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	must(cmd.RegisterFlagCompletionFunc("function", a.completeFunctions(0)))
	return cmd
}

func (a *app) replayAll(ctx context.Context, c *client, keys []uint64) error {
	done := []replayJSON{}
	for _, key := range keys {
		id, err := c.replay(ctx, key)
		if err != nil {
			if len(done) > 0 {
				fmt.Fprintf(a.err, "%d of %d replayed\n", len(done), len(keys))
			}
			return err
		}
		done = append(done, replayJSON{key, id})
		if !a.json() {
			fmt.Fprintf(a.out, "%d\t%s\n", key, id)
		}
	}
	if a.json() {
		return a.printJSON(map[string][]replayJSON{"replayed": done})
	}
	return nil
}

func count(conditions ...bool) int {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

func parseKeys(args []string) ([]uint64, error) {
	var keys []uint64
	for _, arg := range args {
		key, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, usagef("%q is no dead letter: its key is a number, see: hearth dlq list", arg)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (a *app) dlqPurgeCommand() *cobra.Command {
	var function string
	var all, yes bool
	cmd := &cobra.Command{
		Use:   "purge KEY...",
		Short: "Delete dead letters for good",
		Long: `Delete dead letters with their events, for good. --function deletes those of one
function, --all every one. On a terminal it asks first; --yes answers for you.`,
		Example: `  hearth dlq purge 17
  hearth dlq purge --function orders --yes`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := count(len(args) > 0, function != "", all); n != 1 {
				return usagef("which dead letters? Give their keys, --function NAME, or --all. %s", useLine(cmd))
			}
			keys, err := parseKeys(args)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if !yes && !a.confirm("Delete "+purgeWords(keys, function)+" for good?") {
				return usagef("nothing was deleted")
			}
			n, err := c.purge(cmd.Context(), keys, function)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]int{"purged": n})
			}
			fmt.Fprintf(a.out, "%d purged\n", n)
			return nil
		},
	}
	cmd.Flags().StringVar(&function, "function", "", "all dead letters of the function `NAME`")
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	must(cmd.RegisterFlagCompletionFunc("function", a.completeFunctions(0)))
	return cmd
}

func purgeWords(keys []uint64, function string) string {
	switch {
	case len(keys) == 1:
		return fmt.Sprintf("dead letter %d", keys[0])
	case len(keys) > 1:
		return fmt.Sprintf("%d dead letters", len(keys))
	case function != "":
		return "all dead letters of " + function
	}
	return "all dead letters of all functions"
}

// purge deletes the keys, or, without keys, those of a function or all.
func (c *client) purge(ctx context.Context, keys []uint64, function string) (int, error) {
	for i, key := range keys {
		if _, err := c.call(ctx, http.MethodDelete, deadLettersPath+"/"+strconv.FormatUint(key, 10), nil, nil); err != nil {
			return i, err
		}
	}
	if len(keys) > 0 {
		return len(keys), nil
	}
	filter := query("function", function)
	if function == "" {
		filter = query("all", "1")
	}
	var out struct {
		Purged int `json:"purged"`
	}
	_, err := c.call(ctx, http.MethodDelete, deadLettersPath+filter, nil, &out)
	return out.Purged, err
}
