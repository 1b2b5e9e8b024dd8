package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

func aliasesPath(name string) string { return functionPath(name) + "/aliases" }

func (c *client) aliases(ctx context.Context, name string) ([]hearth.Alias, error) {
	var list struct {
		Aliases []hearth.Alias `json:"aliases"`
	}
	_, err := c.call(ctx, http.MethodGet, aliasesPath(name), nil, &list)
	return list.Aliases, c.explainMissing(ctx, name, err)
}

func aliasNames(list []hearth.Alias) []string {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return names
}

// findAlias explains what is missing.
func findAlias(function, name string, list []hearth.Alias) (hearth.Alias, error) {
	for _, a := range list {
		if a.Name == name {
			return a, nil
		}
	}
	way := "Make it with: hearth alias set " + function + " " + name + "=VERSION"
	if n := hearth.Nearest(name, aliasNames(list)); n != "" {
		way = "Did you mean " + n + "?"
	}
	return hearth.Alias{}, &failure{ExitNotFound, fmt.Errorf("function %s has no alias %q. %s", function, name, way)}
}

// routeWords says where an alias leads.
func routeWords(r *hearth.Route) string {
	if r.Also == "" {
		return "version " + r.Version
	}
	return fmt.Sprintf("version %s, and %s for %s", r.Version, r.Also, percent(r.Weight))
}

func percent(share float64) string {
	return strconv.FormatFloat(share*100, 'g', 6, 64) + "%"
}

func (a *app) aliasCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alias",
		Short: "Point names to versions of a function",
		Long: `An alias is a name such as prod that leads to a version of a function. Callers use
NAME:ALIAS, and need not know when it is pointed to another version: invocations under
way finish where they are, new ones go to the new version, and none is lost.`,
		Example: `  hearth alias set hello prod=3
  hearth alias list hello
  hearth invoke hello:prod`,
		Args: a.noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.aliasSetCommand(), a.aliasListCommand(), a.aliasDeleteCommand())
	return cmd
}

func (a *app) aliasSetCommand() *cobra.Command {
	var also, description string
	cmd := &cobra.Command{
		Use:   "set NAME ALIAS=VERSION",
		Short: "Make an alias, or point it to another version",
		Long: `Make an alias of a function, or point it to another version. With --also a second
version gets a share of the invocations: so a new version can be tried on a few before
all go to it. Without --also all of them go to VERSION.`,
		Example: `  hearth alias set hello prod=3

  # try version 4 on every tenth invocation, then use it for all
  hearth alias set hello prod=3 --also 4=10%
  hearth alias set hello prod=4

  # what was deployed last
  hearth alias set hello dev=latest`,
		Args:              exactly("function and one ALIAS=VERSION", 2),
		ValidArgsFunction: a.completeAliases,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, route, err := parseRoute(args[1], also)
			if err != nil {
				return err
			}
			in := map[string]any{"FunctionVersion": route.Version, "RoutingConfig": routing(&route)}
			if cmd.Flags().Changed("description") {
				in["Description"] = description
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.setAlias(cmd.Context(), c, args[0], name, in)
		},
	}
	cmd.Flags().StringVar(&also, "also", "", "a second version and its share, such as `4=10%`")
	cmd.Flags().StringVar(&description, "description", "", "`text` that says what the alias is for")
	return cmd
}

// routing is the route's second half in Lambda's words.
func routing(r *hearth.Route) any {
	weights := map[string]float64{}
	if r.Also != "" {
		weights[r.Also] = r.Weight
	}
	return map[string]any{"AdditionalVersionWeights": weights}
}

// setAlias makes the alias or changes it, and shows what it is then.
func (a *app) setAlias(ctx context.Context, c *client, function, name string, in map[string]any) error {
	list, err := c.aliases(ctx, function)
	if err != nil {
		return err
	}
	method, path := http.MethodPost, lambdaPath(function)+"/aliases"
	if _, err := findAlias(function, name, list); err == nil {
		method, path = http.MethodPut, path+"/"+url.PathEscape(name)
	} else {
		in["Name"] = name
	}
	if _, err := c.call(ctx, method, path, in, nil); err != nil {
		return c.explainVersion(ctx, function, err)
	}
	if list, err = c.aliases(ctx, function); err != nil {
		return err
	}
	alias, err := findAlias(function, name, list)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(alias)
	}
	fmt.Fprintf(a.out, "%s → %s\n", a.out.Paint(screen.Bold, function+":"+name), routeWords(&alias.Route))
	return nil
}

// explainVersion adds to the platform's 404 which versions there are.
func (c *client) explainVersion(ctx context.Context, function string, err error) error {
	if statusOf(err) != http.StatusNotFound {
		return err
	}
	list, listErr := c.versions(ctx, function)
	if listErr != nil {
		return err
	}
	way := "No version is published yet. Publish one with: hearth publish " + function
	if n := len(list.Versions); n > 1 {
		way = fmt.Sprintf("There are %d, the newest is %s. See: hearth versions %s", n-1, list.Versions[1].Number, function)
	}
	return &failure{ExitNotFound, fmt.Errorf("function %s has no such version. %s", function, way)}
}

// parseRoute reads ALIAS=VERSION and VERSION=SHARE.
func parseRoute(target, also string) (name string, r hearth.Route, err error) {
	name, number, ok := strings.Cut(target, "=")
	if !ok || name == "" || number == "" {
		return "", r, usagef("%q is not ALIAS=VERSION, such as prod=3", target)
	}
	if strings.EqualFold(number, "latest") {
		number = hearth.Latest
	}
	r.Version = number
	if err := hearth.ValidateAliasName(name); err != nil {
		return "", r, usagef("%q is no name for an alias: use letters, digits, - and _, and not digits only", name)
	}
	if also != "" {
		var share string
		r.Also, share, _ = strings.Cut(also, "=")
		if r.Weight, ok = parseShare(share); !ok || r.Also == "" {
			return "", r, usagef("--also %q is not VERSION=SHARE, such as 4=10%% or 4=0.1", also)
		}
	}
	if err := r.Validate(); err != nil {
		return "", r, usagef("%s", err.Error())
	}
	return name, r, nil
}

// parseShare reads 10% or 0.1.
func parseShare(text string) (float64, bool) {
	number, isPercent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	if isPercent {
		share /= 100
	}
	return share, err == nil && share >= 0 && share <= 1
}

func (a *app) aliasListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list NAME",
		Aliases: []string{"ls"},
		Short:   "List the aliases of a function",
		Long:    "List the aliases of a function: where each leads, and where it led before.",
		Example: `  hearth alias list hello
  hearth alias list hello -o json`,
		Args:              exactlyOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.aliases(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string][]hearth.Alias{"aliases": list})
			}
			t := screen.NewTable("alias", ">version", "also", ">share", "before", "description", "changed")
			for i := range list {
				l := &list[i]
				share, before := "-", "-"
				if l.Also != "" {
					share = percent(l.Weight)
				}
				if l.Previous != nil {
					before = routeWords(l.Previous)
				}
				t.Row(screen.Cell{Text: l.Name, Style: screen.Bold}, l.Version, dash(l.Also), share, before, l.Description, a.when(l.LastModified))
			}
			return a.printTable(t, "No aliases yet. Make one with: hearth alias set "+args[0]+" prod=VERSION")
		},
	}
}

func (a *app) aliasDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "delete NAME ALIAS",
		Aliases:           []string{"rm"},
		Short:             "Delete an alias; the version stays",
		Long:              "Delete an alias of a function. The version that it leads to stays.",
		Example:           "  hearth alias delete hello beta",
		Args:              exactly("function and one alias", 2),
		ValidArgsFunction: a.completeAliases,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if _, err := c.pickAlias(cmd.Context(), args); err != nil {
				return err
			}
			if _, err := c.call(cmd.Context(), http.MethodDelete, lambdaPath(args[0])+"/aliases/"+url.PathEscape(args[1]), nil, nil); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]string{"deleted": args[0] + ":" + args[1]})
			}
			fmt.Fprintf(a.out, "%s:%s deleted\n", args[0], args[1])
			return nil
		},
	}
}

// completeAliases offers functions, then the aliases of the one that was chosen.
func (a *app) completeAliases(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeFunctions(1)(cmd, args, word)
	}
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	list, err := c.aliases(ctx, args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for i := range list {
		names = append(names, cobra.CompletionWithDesc(list[i].Name, routeWords(&list[i].Route)))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
