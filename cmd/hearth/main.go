// Command hearth is the platform and everything a person types to use it.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"hearth/internal/cli"
	"hearth/internal/daemon"
	"hearth/internal/link/runtimeapi"
)

// version is set by the linker.
var version = "dev"

func main() {
	// Before anything else: it is the first thing in sandboxes of custom runtimes, and
	// each has one.
	if len(os.Args) == 2 && os.Args[1] == "init" {
		os.Exit(runtimeapi.Main())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process the hard way.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], cli.Options{Up: up, Version: version}))
}

// up runs a platform until ctx ends.
func up(ctx context.Context, c cli.UpConfig, out io.Writer) error {
	if os.Getenv("GOGC") == "" {
		// The platform's own heap is small and most of what a request allocates dies with
		// it: collecting less often gives the request path 3 % for some 20 MB under load.
		debug.SetGCPercent(400)
	}
	if c.Pprof != "" {
		stop, err := servePprof(ctx, c.Pprof, out)
		if err != nil {
			return err
		}
		defer stop()
	}
	p, err := daemon.Start(ctx, config(c))
	if err != nil {
		return err
	}
	s := p.Status()
	fmt.Fprintf(out, "Hearth %s listens on %s\n", s.Version, p.URL())
	fmt.Fprintf(out, "isolation %s, %d MB for instances, runtimes: %s\n", s.Isolation, s.MemoryMB, strings.Join(s.Runtimes, ", "))
	if addr := p.BusAddr(); addr != nil {
		fmt.Fprintf(out, "NATS takes messages for triggers at nats://%s\n", addr)
	}
	for _, w := range s.Warnings {
		fmt.Fprintf(out, "warning: %s\n", w)
	}
	if c.TLSCert != "" {
		defer reloadOnHangUp(p)()
	}
	fmt.Fprintln(out, "ready")
	failed := p.Wait(ctx)
	fmt.Fprintln(out, "stopping: invocations under way may finish")
	if err := p.Stop(); failed == nil {
		failed = err
	}
	return failed
}

// reloadOnHangUp reads the certificate anew at each SIGHUP, as those who renew it expect,
// until the function that it returns is called.
func reloadOnHangUp(p *daemon.Platform) (stop func()) {
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	var reloading sync.WaitGroup
	reloading.Go(func() {
		for range hups {
			p.ReloadCertificate()
		}
	})
	return func() {
		signal.Stop(hups)
		close(hups)
		reloading.Wait()
	}
}

func config(c cli.UpConfig) daemon.Config {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo // Validate has seen to it
	}
	return daemon.Config{
		Listen: c.Listen, AllowedHosts: c.AllowedHosts, AccessKeys: c.AccessKeys, TLSCert: c.TLSCert, TLSKey: c.TLSKey, DataDir: c.DataDir, Isolation: c.Isolation, MemoryMB: c.MemoryMB, CPUQuota: c.CPUQuota, Prewarm: c.Prewarm,
		QueueLength: c.QueueLength, QueueTimeout: c.QueueTimeout, FreezeAfter: c.FreezeAfter, Region: c.Region, Account: c.Account,
		SandboxCIDR: c.SandboxCIDR, Node: c.Node, Python: c.Python, NATSURL: c.NATSURL, NATSListen: c.NATSListen, Version: version,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
}
