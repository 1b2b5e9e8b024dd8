package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

// EnvEndpoint names the environment variable that says where the platform is.
const EnvEndpoint = "HEARTH_ENDPOINT"

// Options is what the commands need of the world. Zero fields mean the process's own.
type Options struct {
	// Up runs a platform until ctx is done, drains it, and returns. It prints
	// where it listens, and "ready", on out.
	Up func(ctx context.Context, config UpConfig, out io.Writer) error
	// Version is what hearth version says, such as "v0.1.0-3-gabc1234".
	Version string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Getenv  func(string) string
}

// app is one run of one command.
type app struct {
	Options
	out, err *screen.Screen
	http     *http.Client
	endpoint string
	cacert   string
	format   string
	// stdinTTY says that a person could be typing.
	stdinTTY bool
	now      func() time.Time
	zone     *time.Location // in which a person reads times
}

// Main runs the command line args (without the program's name), prints what went
// wrong, if anything, on o.Stderr, and returns the exit code.
func Main(ctx context.Context, args []string, o Options) int { return newApp(o).main(ctx, args) }

func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	return a.report(err)
}

// New is the command hearth with all its subcommands. Main is the usual way to run
// it; New is for those who want to look at it (reference pages, shell completion).
func New(o Options) *cobra.Command { return newApp(o).root() }

func newApp(o Options) *app {
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	return &app{
		Options:  o,
		out:      screen.New(o.Stdout, o.Getenv),
		err:      screen.New(o.Stderr, o.Getenv),
		http:     httpClient(),
		stdinTTY: screen.IsTerminal(o.Stdin),
		now:      time.Now,
		zone:     time.Local,
	}
}

// httpClient has no limit of time for an answer: a function may take its 15 minutes.
func httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment, // never for this machine itself
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: maxBurst,
		DisableCompression:  true, // payloads are passed on byte for byte
	}}
}

const rootLong = `Hearth keeps functions warm on a machine of your own, and lets each function choose
whether many invocations share one instance or each has an instance to itself.

Start a platform with "hearth up", give it a function with "hearth deploy", and call
it with "hearth invoke" or over HTTP. Any client of AWS Lambda works too: point it
at the same address.

The commands look for the platform at --endpoint, else at $HEARTH_ENDPOINT, else at
http://127.0.0.1:9000. On a terminal they print tables; into a pipe they print
tab-separated values without a header; -o json prints JSON for programs.

Exit codes: 0 success; 1 the function failed; 2 the command, or what it was given, is
wrong; 3 the platform cannot be reached or failed; 4 what was named does not exist;
5 refused for now (limit or capacity), try again; 130 interrupted.`

const rootExample = `  # a platform, a function, a call
  hearth up &
  hearth deploy examples/quick
  hearth invoke quick -d '{"name":"you"}'

  # the same over HTTP
  curl http://127.0.0.1:9000/fn/quick/`

// root builds the whole tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "hearth",
		Short:         "A function platform of your own that keeps functions warm",
		Long:          rootLong,
		Example:       rootExample,
		Version:       a.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          a.noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetVersionTemplate("hearth {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	flags := root.PersistentFlags()
	flags.StringVar(&a.endpoint, "endpoint", "",
		"where the platform is: a URL or host:port (default $"+EnvEndpoint+", else http://"+DefaultListen+")")
	flags.StringVar(&a.cacert, "cacert", "",
		"`file` with certificates to trust beside this machine's own, in PEM, where the platform speaks TLS (default $"+EnvCACert+")")
	flags.StringVarP(&a.format, "output", "o", formatAuto,
		"auto, table, tsv or json; auto is a table on a terminal, tsv otherwise")
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp)))
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.checkFormat() }
	root.AddGroup(
		&cobra.Group{ID: groupPlatform, Title: "The platform:"},
		&cobra.Group{ID: groupFunctions, Title: "Functions:"},
		&cobra.Group{ID: groupVersions, Title: "Versions and aliases:"},
		&cobra.Group{ID: groupLook, Title: "Looking inside:"},
	)
	root.AddCommand(a.commands()...)
	return root
}

// Groups of commands in the help of hearth itself.
const (
	groupPlatform  = "platform"
	groupFunctions = "functions"
	groupVersions  = "versions"
	groupLook      = "look"
)

func (a *app) commands() []*cobra.Command {
	grouped := func(id string, cmds ...*cobra.Command) []*cobra.Command {
		for _, c := range cmds {
			c.GroupID = id
		}
		return cmds
	}
	all := grouped(groupPlatform, a.upCommand(), a.statusCommand(), a.backupCommand(), a.restoreCommand())
	all = append(all, grouped(groupFunctions, a.deployCommand(), a.runCommand(), a.invokeCommand(), a.eventCommand(), a.burstCommand(),
		a.listCommand(), a.showCommand(), a.deleteCommand())...)
	all = append(all, grouped(groupVersions, a.publishCommand(), a.versionsCommand(), a.aliasCommand(), a.rollbackCommand(), a.provisionCommand())...)
	all = append(all, grouped(groupLook, a.logsCommand(), a.instancesCommand(), a.triggersCommand(), a.eventsCommand(),
		a.eventStatusCommand(), a.deadLettersCommand())...)
	return append(all, a.versionCommand(), a.manCommand())
}

// noSuchCommand answers a word that is no command with the nearest one.
func (a *app) noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	if m := hearth.Nearest(args[0], names); m != "" {
		return usagef("there is no command %q. Did you mean: %s %s?", args[0], cmd.CommandPath(), m)
	}
	return usagef("there is no command %q. See: %s --help", args[0], cmd.CommandPath())
}

// must is for mistakes in this package's own tables of flags, which every start of
// the program would show.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
