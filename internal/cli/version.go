package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show which hearth this is",
		Long:  "Show the version of this program. The platform's own is in hearth status.",
		Example: `  hearth version
  hearth version -o json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json() {
				return a.printJSON(map[string]string{"version": a.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			_, err := fmt.Fprintf(a.out, "hearth %s (%s, %s/%s)\n", a.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// manCommand is for packagers.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write manual pages into a folder",
		Hidden:  true,
		Example: "  hearth man /usr/local/share/man/man1",
		Args:    exactlyOne("folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return usagef("%w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			header := &doc.GenManHeader{Title: "HEARTH", Section: "1", Source: "Hearth " + a.Version, Manual: "Hearth"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return usagef("%w", err)
			}
			pages, err := filepath.Glob(filepath.Join(args[0], "hearth*.1"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%d pages written to %s\n", len(pages), args[0])
			return err
		},
	}
}
