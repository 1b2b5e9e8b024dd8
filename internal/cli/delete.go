package cli

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"hearth/internal/hearth"
)

func (a *app) deleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "delete NAME[:VERSION]...",
		Aliases: []string{"rm"},
		Short:   "Delete functions",
		Long: `Delete functions, with their versions, code and logs; or, as NAME:VERSION, one version
that no alias leads to. Invocations in flight are finished; then the instances go. On a
terminal it asks first; --yes answers for you.`,
		Example: `  hearth delete hello
  hearth delete hello:3
  hearth delete hello-concurrent hello-exclusive --yes`,
		Args:              atLeastOne("function"),
		ValidArgsFunction: a.completeFunctions(0),
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			// All names are checked first, so that a slip in one deletes none.
			for _, name := range names {
				bare, number, versioned := strings.Cut(name, ":")
				if versioned && !hearth.IsVersionNumber(number) {
					return usagef("%q is not NAME:VERSION, such as hello:3. To delete an alias: hearth alias delete NAME ALIAS", name)
				}
				if _, err := c.function(cmd.Context(), bare); err != nil {
					return err
				}
			}
			if !yes && !a.confirm("Delete "+strings.Join(names, ", ")+"?") {
				return usagef("nothing was deleted")
			}
			for _, name := range names {
				if _, err := c.call(cmd.Context(), http.MethodDelete, deletePath(name), nil, nil); err != nil {
					return err
				}
				if !a.json() {
					fmt.Fprintf(a.out, "%s deleted\n", name)
				}
			}
			if a.json() {
				return a.printJSON(map[string][]string{"deleted": names})
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// deletePath is what to delete: a function, or a version of it.
func deletePath(name string) string {
	bare, number, versioned := strings.Cut(name, ":")
	if !versioned {
		return functionPath(name)
	}
	return lambdaPath(bare) + query("Qualifier", number)
}

// confirm asks a question on the terminal; where nobody could answer, it is a yes.
func (a *app) confirm(question string) bool {
	if !a.stdinTTY || !a.err.TTY {
		return true
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(a.Stdin).ReadString('\n')
	if err != nil {
		return false
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
