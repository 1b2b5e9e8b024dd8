// Command run measures a hearth binary and writes the figures of docs/benchmarks.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"hearth/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	binary := flags.String("binary", "bin/hearth", "the hearth to measure")
	rounds := flags.Int("rounds", 3, "interleaved rounds per figure")
	duration := flags.Duration("duration", 3*time.Second, "length of one measurement")
	asJSON := flags.Bool("json", false, "print JSON instead of tables")
	events := flags.Int("async-events", 1_000_000, "events to queue for the figure on memory; 0 leaves asynchronous invocation out")
	only := flags.Bool("async-only", false, "measure nothing but asynchronous invocation")
	up := flags.String("up", "", "more arguments for hearth up, separated by spaces")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg := bench.Config{Binary: *binary, Rounds: *rounds, Duration: *duration,
		Args: strings.Fields(*up), Progress: os.Stderr}
	var all struct {
		*bench.Report
		Async *bench.AsyncReport `json:"async,omitempty"`
	}
	var err error
	if !*only {
		if all.Report, err = bench.Run(ctx, cfg); err != nil {
			return err
		}
	}
	if *events > 0 {
		if all.Async, err = bench.RunAsync(ctx, cfg, *events); err != nil {
			return err
		}
	}
	if *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(&all)
	}
	if all.Report != nil {
		fmt.Print(all.Report.Markdown())
	}
	if all.Async != nil {
		fmt.Print(all.Async.Markdown())
	}
	return nil
}
