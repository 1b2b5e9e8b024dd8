package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hearth/internal/cli/sample"
)

func (a *app) eventCommand() *cobra.Command {
	var settings []string
	var names, lines []string
	for _, s := range sample.Sources() {
		names = append(names, cobra.CompletionWithDesc(s.Name, s.Short))
		var words []string
		for word := range s.Words {
			words = append(words, word)
		}
		slices.Sort(words)
		lines = append(lines, fmt.Sprintf("  %-14s %s\n  %-14s   short names: %s", s.Name, s.Short, "", strings.Join(words, ", ")))
	}
	cmd := &cobra.Command{
		Use:   "event SOURCE",
		Short: "Print an event of another cloud, to try a function with",
		Long: `Print a payload as a source of events sends it, with ids and times of now:

` + strings.Join(lines, "\n") + `

--set replaces a value: by a short name, or by its place, keys with dots between.
A value that is JSON is taken as such, but where there was text it stays text.`,
		Example: `  # try a function with it
  hearth event s3 | hearth invoke thumbnail

  hearth event s3 --set bucket=pictures --set key=holiday/beach.jpg

  hearth event apigateway-v2 --set method=GET --set path=/users/7 --set headers.x-key=abc`,
		Args:              exactlyOne("event"),
		ValidArgsFunction: cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(_ *cobra.Command, args []string) error {
			var set []sample.Setting
			if err := pairs("--set", settings, func(k, v string) { set = append(set, sample.Setting{Key: k, Value: v}) }); err != nil {
				return err
			}
			payload, err := sample.Payload(args[0], a.now(), set)
			if err != nil {
				return usagef("%w", err)
			}
			_, err = fmt.Fprintf(a.out, "%s\n", strings.TrimSpace(string(payload)))
			return err
		},
	}
	cmd.Flags().StringArrayVar(&settings, "set", nil, "replace a value, `K=V`; may be repeated")
	return cmd
}
