package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
)

// Exit codes. They are documented in docs/reference/exit-codes.md and stay as they are.
const (
	ExitOK          = 0
	ExitFunction    = 1   // the function failed
	ExitUsage       = 2   // the command, or a file or value given to it, is wrong
	ExitPlatform    = 3   // the platform cannot be reached, or failed
	ExitNotFound    = 4   // what was named does not exist
	ExitRefused     = 5   // refused for now by a limit or for lack of room
	ExitInterrupted = 130 // Ctrl-C
)

// failure is an error with the exit code it leads to.
type failure struct {
	exit int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usagef(format string, args ...any) error {
	return &failure{ExitUsage, fmt.Errorf(format, args...)}
}

func platformf(format string, args ...any) error {
	return &failure{ExitPlatform, fmt.Errorf(format, args...)}
}

// errFunction ends a command whose function failed and that has already shown how.
var errFunction = &failure{ExitFunction, errors.New("the function failed")}

// report prints err, unless it has been shown already, and returns its exit code.
func (a *app) report(err error) int {
	if err == nil {
		return ExitOK
	}
	exit := ExitUsage // what cobra itself complains about
	var f *failure
	if errors.As(err, &f) {
		exit = f.exit
	}
	if !errors.Is(err, errFunction) {
		message := strings.TrimRight(err.Error(), "\n")
		fmt.Fprintf(a.err, "%s %s\n", a.err.Paint(screen.BoldRed, "hearth:"), message)
	}
	return exit
}

// flagError says where to find the flags that do exist.
func flagError(cmd *cobra.Command, err error) error {
	return usagef("%w. See: %s --help", err, cmd.CommandPath())
}

// Checks of the number of arguments, in words.

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, but was given %q. See: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

func exactlyOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("which %s? %s", what, useLine(cmd))
		case len(args) > 1:
			return usagef("one %s at a time, please; got %s. %s", what, strings.Join(args, ", "), useLine(cmd))
		}
		return nil
	}
}

func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("which %s? %s", what, useLine(cmd))
		}
		return nil
	}
}

func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("one %s at a time, please; got %s. %s", what, strings.Join(args, ", "), useLine(cmd))
		}
		return nil
	}
}

func oneOrTwo(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 || len(args) > 2 {
			return usagef("which %s? %s", what, useLine(cmd))
		}
		return nil
	}
}

func exactly(what string, n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("give a %s. %s", what, useLine(cmd))
		}
		return nil
	}
}

func useLine(cmd *cobra.Command) string { return "Usage: " + cmd.UseLine() }

// apiError is the platform's own answer that something cannot be done.
type apiError struct {
	status  int
	code    string // a hearth.ErrorCode, or Lambda's exception name
	message string
}

func (e *apiError) Error() string { return e.message }

// exitOf sorts the platform's answers.
func (e *apiError) exit() int {
	switch {
	case e.status == 404:
		return ExitNotFound
	case e.status == 429 || e.status == 503:
		return ExitRefused
	case e.status >= 500:
		return ExitPlatform
	default:
		return ExitUsage
	}
}

// transportError puts a failed request into words: which platform, why, what to do.
func transportError(endpoint string, err error) error {
	if errors.Is(err, context.Canceled) {
		return &failure{ExitInterrupted, err}
	}
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) || strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		return platformf("what answers at %s does not speak https. Hearth does only with --tls-cert and --tls-key: write %s", endpoint, "http"+strings.TrimPrefix(endpoint, "https"))
	}
	if why := distrust(err); why != "" {
		return platformf("what answers at %s is not trusted: %s", endpoint, why)
	}
	way := "Name another with --endpoint or $" + EnvEndpoint + "."
	if u, e := url.Parse(endpoint); e == nil && loopback(u.Hostname()) {
		way = "Start it with: hearth up"
		if u.Host != DefaultListen {
			way += " --listen " + u.Host
		}
		if u.Scheme == "https" {
			way += " --tls-cert FILE --tls-key FILE, or write http://" + u.Host
		}
	}
	var dns *net.DNSError
	var netErr net.Error
	why := rootCause(err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "connection refused"
	case errors.As(err, &dns):
		why = "there is no host " + dns.Name
	case errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &netErr) && netErr.Timeout()):
		why = "no answer in time"
	case errors.Is(err, syscall.ECONNRESET) || strings.HasSuffix(why, "EOF"):
		return platformf("the Hearth at %s broke off the connection; has it been stopped?", endpoint)
	}
	return platformf("no Hearth at %s (%s). %s", endpoint, why, way)
}

// rootCause is the innermost error's text: the wrapping only repeats the URL.
func rootCause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
