package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

// provisionList is GET and PUT /hearth/v1/functions/NAME/provisioned.
type provisionList struct {
	Provisioned []hearth.ProvisionInfo `json:"provisioned"`
}

func provisionPath(function string) string { return functionPath(function) + "/provisioned" }

func (a *app) provisionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "provision NAME[:QUALIFIER] [N]",
		Short: "Keep instances of a function ready",
		Long: `Keep room for N invocations at once initialised and ready: provisioned concurrency.
Instances are started at once, and again when they die or the platform restarts; they
outlive their keep-alive and are the last to make room for other functions. 0 keeps none
any more. Without N, show how things stand.

The qualifier is an alias or the number of a version. Instances follow an alias when it is
pointed elsewhere. Without one it is what was deployed last, and hearth.yml has a key for
it: provisionedConcurrency. deploy sets it to what the file says.

An instance that several invocations share counts for all of them: with 10 sharing one, 25
are three instances.`,
		Example: `  hearth provision hello:prod 5
  hearth provision hello 1
  hearth provision hello
  hearth provision hello:prod 0`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("give a function, and how many invocations at once. %s", useLine(cmd))
			}
			return nil
		},
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, qualifier, _ := strings.Cut(args[0], ":")
			c, err := a.client()
			if err != nil {
				return err
			}
			var list provisionList
			if len(args) == 1 {
				list, err = c.provisioned(cmd.Context(), name)
			} else {
				list, err = c.provision(cmd.Context(), name, qualifier, args[1])
			}
			if err != nil {
				return err
			}
			return a.printProvisioned(name, qualifier, list.Provisioned)
		},
	}
}

func (c *client) provisioned(ctx context.Context, name string) (list provisionList, err error) {
	_, err = c.call(ctx, http.MethodGet, provisionPath(name), nil, &list)
	return list, c.explainMissing(ctx, name, err)
}

func (c *client) provision(ctx context.Context, name, qualifier, number string) (list provisionList, err error) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return list, usagef("%q is not a number of invocations, from 0 up", number)
	}
	if strings.EqualFold(qualifier, "latest") {
		qualifier = hearth.Latest
	}
	body := map[string]any{"qualifier": qualifier, "executions": n}
	_, err = c.call(ctx, http.MethodPut, provisionPath(name), body, &list)
	return list, c.explainMissing(ctx, name, err)
}

// printProvisioned shows what is provisioned, of one qualifier if it is not empty.
func (a *app) printProvisioned(function, qualifier string, list []hearth.ProvisionInfo) error {
	shown := make([]hearth.ProvisionInfo, 0, len(list))
	for _, p := range list {
		if qualifier == "" || p.Qualifier == qualifier {
			shown = append(shown, p)
		}
	}
	if a.json() {
		return a.printJSON(provisionList{shown})
	}
	t := screen.NewTable("function", "qualifier", ">provisioned", ">ready", ">allocated", "status", "changed")
	for _, p := range shown {
		t.Row(function, screen.Cell{Text: p.Qualifier, Style: screen.Bold}, p.Executions, p.Available, p.Allocated,
			screen.Cell{Text: p.Status + reason(screen.OneLine(p.Reason)), Style: provisionStyle(p.Status)}, a.when(p.LastModified))
	}
	return a.printTable(t, "Nothing is provisioned. Keep instances ready with: hearth provision "+function+" N")
}

func provisionStyle(status string) screen.Style {
	switch status {
	case hearth.ProvisionReady:
		return screen.Green
	case hearth.ProvisionFailed:
		return screen.Red
	}
	return screen.Yellow
}

// provisionWords tells of provisioned concurrency in a line.
func provisionWords(p *hearth.ProvisionInfo) string {
	return fmt.Sprintf("%d, %d ready: %s%s", p.Executions, p.Available, p.Status, reason(screen.OneLine(p.Reason)))
}
