package cli

import (
	"os"

	"github.com/spf13/cobra"
)

const upLong = `Start a platform and keep it running until Ctrl-C or SIGTERM. It then refuses new
invocations, lets those in flight finish, and removes everything it made: containers,
network namespaces, control groups, mounts, firewall rules.

Everything a platform must not forget is under the data folder. Starting again with
the same folder brings back the same functions, also after a crash.

Isolation "auto" is runc when Hearth runs as root and runc is installed. Otherwise
functions run as plain processes of yours, without walls between them; Hearth says so
and then refuses to listen where other machines could reach it.

Without access keys anybody who reaches the address may use it: signatures are accepted
unread. With keys, every request to Lambda's API and to /hearth/v1 must carry a valid
signature (AWS Signature Version 4, service "lambda", any region); /healthz and function
URLs stay open, but for those with AuthType AWS_IAM. Keys come from --access-keys-file or
$HEARTH_ACCESS_KEYS (ID:SECRET, one per line or with commas between them) rather than from
--access-key, which every user of this machine can read in the list of processes. The
other commands sign with $HEARTH_ACCESS_KEY_ID and $HEARTH_SECRET_ACCESS_KEY, else with
$AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY.

With --tls-cert and --tls-key clients speak TLS, and nothing else. HTTP/1.1 and HTTP/2 are
spoken either way. After renewing the files, send SIGHUP: connections to come get the new
certificate, those that are open go on. The other commands trust what --cacert names.`

const upExample = `  # on this machine only, data under /var/lib/hearth (root) or ~/.local/share/hearth
  hearth up

  # another port, another folder, at most 4 GB for instances
  hearth up --listen 127.0.0.1:9100 --data ./hearth-data --memory 4096

  # is it there?
  curl http://127.0.0.1:9000/healthz`

func (a *app) upCommand() *cobra.Command {
	c := DefaultUpConfig(a.Getenv, os.Geteuid())
	var keys accessKeys
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Start a platform on this machine",
		Long:    upLong,
		Example: upExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := c.Validate(); err != nil {
				return usagef("%w", err)
			}
			if c.AccessKeys, err = keys.read(a.Getenv); err != nil {
				return usagef("%w", err)
			}
			if a.Up == nil {
				return platformf("this build of hearth cannot start a platform")
			}
			if err := a.Up(cmd.Context(), c, a.Stdout); err != nil {
				return platformf("%w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Listen, "listen", c.Listen, "`host:port` to listen on")
	f.StringArrayVar(&c.AllowedHosts, "allowed-host", nil, "another `name` that callers may call this platform by, such as a reverse proxy's (repeatable)")
	f.StringArrayVar(&keys.flags, "access-key", nil, "an access key `ID:SECRET` of which callers need a signature (repeatable; others see it in ps, so rather use a file)")
	f.StringVar(&keys.file, "access-keys-file", "", "`file` of such keys, one per line (or in $"+EnvAccessKeys+")")
	f.StringVar(&c.TLSCert, "tls-cert", "", "`file` with the certificate to speak TLS with, in PEM, followed by those that vouch for it; read anew on SIGHUP")
	f.StringVar(&c.TLSKey, "tls-key", "", "`file` with the key of that certificate, in PEM")
	f.StringVar(&c.DataDir, "data", c.DataDir, "`folder` for functions, code and logs (default /var/lib/hearth as root, else $XDG_DATA_HOME/hearth or ~/.local/share/hearth)")
	f.Lookup("data").DefValue = "" // help is the same for everybody
	f.StringVar(&c.Isolation, "isolation", c.Isolation, "auto, runc or process")
	f.IntVar(&c.MemoryMB, "memory", c.MemoryMB, "`MB` that instances may reserve together; 0 = most of the machine")
	f.BoolVar(&c.CPUQuota, "cpu-quota", c.CPUQuota, "hold instances to their processor share even when others are idle")
	f.IntVar(&c.Prewarm, "prewarm", c.Prewarm, "`sandboxes` that wait per kind of function in use, so that cold starts are short; 0 = none")
	f.IntVar(&c.QueueLength, "queue-length", c.QueueLength, "`invocations` of one function that may wait for a slot")
	f.DurationVar(&c.QueueTimeout, "queue-timeout", c.QueueTimeout, "how long (a `duration`) an invocation may wait for a slot")
	f.DurationVar(&c.FreezeAfter, "freeze-after", c.FreezeAfter, "how long (a `duration`) an instance is idle before it is frozen; 0 = never")
	f.StringVar(&c.Region, "region", c.Region, "region `name` for ARNs and AWS_REGION")
	f.StringVar(&c.Account, "account", c.Account, "account `number` for ARNs")
	f.StringVar(&c.SandboxCIDR, "sandbox-cidr", c.SandboxCIDR, "IPv4 `range` for sandboxes, when the usual one is taken")
	f.StringVar(&c.Node, "node", c.Node, "`path` of node, when not the one in PATH")
	f.StringVar(&c.Python, "python", c.Python, "`path` of python3, when not the one in PATH")
	f.StringVar(&c.NATSURL, "nats", c.NATSURL, "`URL` of an external NATS with JetStream; empty = built in")
	f.StringVar(&c.NATSListen, "nats-listen", "", "`host:port` on loopback where the built-in NATS takes messages for triggers, such as 127.0.0.1:4222")
	f.StringVar(&c.Pprof, "pprof", "", "`host:port` on loopback for profiles of the platform itself")
	must(f.MarkHidden("pprof"))
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	must(cmd.RegisterFlagCompletionFunc("isolation", cobra.FixedCompletions(
		[]string{IsolationAuto, IsolationRunc, IsolationProcess}, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions(
		[]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}
