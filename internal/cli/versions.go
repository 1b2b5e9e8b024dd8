package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

// publishedVersion is one line of GET /hearth/v1/functions/NAME/versions.
type publishedVersion struct {
	version
	Aliases   []string `json:"aliases"`
	Instances int      `json:"instances"`
}

type versionList struct {
	Versions    []publishedVersion `json:"versions"`    // newest first, $LATEST before all
	Unpublished bool               `json:"unpublished"` // $LATEST is not what was published last
}

func versionsPath(name string) string { return functionPath(name) + "/versions" }

// lambdaPath is a function in Lambda's API.
func lambdaPath(name string) string { return "/2015-03-31/functions/" + url.PathEscape(name) }

func (c *client) versions(ctx context.Context, name string) (versionList, error) {
	var list versionList
	_, err := c.call(ctx, http.MethodGet, versionsPath(name), nil, &list)
	return list, c.explainMissing(ctx, name, err)
}

// publishJSON is publish -o json.
type publishJSON struct {
	Function string `json:"function"`
	Version  string `json:"version"`
	New      bool   `json:"new"` // false: nothing had changed since this version
}

func (a *app) publishCommand() *cobra.Command {
	var description string
	cmd := &cobra.Command{
		Use:   "publish NAME",
		Short: "Publish what a function is now as a version",
		Long: `Make a version of a function's code and configuration as they are now. A version never
changes, and its instances stay warm whatever is deployed afterwards. Versions are
numbered 1, 2, 3…; a number is never used again.

If nothing has changed since the last version was published, there is no new one. The
number goes to standard output when that is a pipe.`,
		Example: `  hearth publish hello
  hearth publish hello --description "with the new prices"

  # deploy, publish, switch
  hearth deploy hello && hearth alias set hello prod=$(hearth publish hello)`,
		Args:              exactlyOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			before, err := c.versions(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			in := map[string]string{}
			if cmd.Flags().Changed("description") {
				in["Description"] = description
			}
			var made struct{ Version string }
			if _, err := c.call(cmd.Context(), http.MethodPost, lambdaPath(args[0])+"/versions", in, &made); err != nil {
				return err
			}
			out := publishJSON{Function: args[0], Version: made.Version, New: true}
			for _, v := range before.Versions {
				out.New = out.New && v.Number != made.Version
			}
			return a.printPublished(out)
		},
	}
	cmd.Flags().StringVar(&description, "description", "", "`text` that says what is new")
	return cmd
}

func (a *app) printPublished(out publishJSON) error {
	switch {
	case a.json():
		return a.printJSON(out)
	case a.format == formatTSV:
		fmt.Fprintln(a.out, out.Version)
	case out.New:
		fmt.Fprintf(a.out, "%s version %s published\n", a.out.Paint(screen.Bold, out.Function), out.Version)
	default:
		fmt.Fprintf(a.out, "%s: nothing has changed since version %s\n", a.out.Paint(screen.Bold, out.Function), out.Version)
	}
	return nil
}

func (a *app) versionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "versions NAME",
		Short: "List the versions of a function",
		Long: `List the versions of a function, newest first, with the aliases that lead to each and
the instances that are warm. $LATEST is what was deployed last. A version that no alias
leads to can be deleted: hearth delete NAME:VERSION.`,
		Example: `  hearth versions hello
  hearth versions hello -o json | jq -r '.versions[].number'`,
		Args:              exactlyOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var list versionList
			if printed, err := a.fetch(cmd, c, versionsPath(args[0]), &list); printed || err != nil {
				return c.explainMissing(cmd.Context(), args[0], err)
			}
			t := screen.NewTable("version", "aliases", ">instances", ">size", "code", "description", "changed")
			for _, v := range list.Versions {
				t.Row(screen.Cell{Text: v.Number, Style: screen.Bold}, dash(strings.Join(v.Aliases, ", ")), v.Instances,
					screen.Bytes(v.Code.Size), short(v.Code.Digest), v.Config.Description, a.when(v.LastModified))
			}
			return a.printTable(t, "")
		},
	}
}

// short is enough of a digest to tell it from others.
func short(digest string) string { return digest[:min(len(digest), 12)] }

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func (a *app) rollbackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback NAME [ALIAS]",
		Short: "Lead an alias back to where it led before",
		Long: `Undo the last change of where an alias leads: to the version before, or to the version
without the second one that was being tried. The old version's instances are used at
once if they are still warm. Rolled back twice, the alias is where it was.

Without ALIAS the function's only alias is meant. NAME:ALIAS, as callers write it, will
do as well.`,
		Example: `  hearth rollback hello
  hearth rollback hello prod`,
		Args:              oneOrTwo("function and alias"),
		ValidArgsFunction: a.completeAliases,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if name, alias, ok := strings.Cut(args[0], ":"); ok && len(args) == 1 {
				args = []string{name, alias}
			}
			before, err := c.pickAlias(cmd.Context(), args)
			if err != nil {
				return err
			}
			var after hearth.Alias
			path := aliasesPath(args[0]) + "/" + url.PathEscape(before.Name) + "/rollback"
			if _, err := c.call(cmd.Context(), http.MethodPost, path, map[string]string{"revision": before.Revision}, &after); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(after)
			}
			fmt.Fprintf(a.out, "%s → %s (was %s)\n", a.out.Paint(screen.Bold, args[0]+":"+after.Name), routeWords(&after.Route), routeWords(&before.Route))
			return nil
		},
	}
}

// pickAlias finds the alias that args name, or the only one.
func (c *client) pickAlias(ctx context.Context, args []string) (hearth.Alias, error) {
	list, err := c.aliases(ctx, args[0])
	if err != nil {
		return hearth.Alias{}, err
	}
	if len(args) > 1 {
		return findAlias(args[0], args[1], list)
	}
	switch len(list) {
	case 1:
		return list[0], nil
	case 0:
		return hearth.Alias{}, usagef("function %s has no alias that could be rolled back. Make one of a version that works: hearth alias set %s prod=VERSION", args[0], args[0])
	}
	return hearth.Alias{}, usagef("which alias? Function %s has %s", args[0], strings.Join(aliasNames(list), ", "))
}
