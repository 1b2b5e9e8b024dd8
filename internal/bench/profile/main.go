// Command profile says where the time of a request through Hearth goes, and writes it to
// docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"hearth/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("profile", flag.ContinueOnError)
	cfg := bench.Config{Progress: os.Stderr}
	flags.StringVar(&cfg.Binary, "binary", "bin/hearth", "the hearth to profile")
	flags.StringVar(&cfg.Version, "version", "dev", "what is profiled, for the page")
	flags.DurationVar(&cfg.Duration, "duration", 0, "length of a measurement (default 2s)")
	up := flags.String("up", "", "more arguments for hearth up, separated by spaces")
	page := flags.String("write", "", "write the figures between the marks of this page")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg.Args = strings.Fields(*up)
	p, err := bench.RunProfile(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Print(p.Markdown())
	if *page == "" {
		return nil
	}
	return p.WriteProfile(*page)
}
