// Command run measures a hearth binary against what it is compared with, and writes what
// the documentation shows of it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"hearth/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var cfg bench.Config
	flags.StringVar(&cfg.Binary, "binary", "bin/hearth", "the hearth to measure")
	flags.StringVar(&cfg.Version, "version", "dev", "what is measured, for the report")
	flags.IntVar(&cfg.Rounds, "rounds", 3, "interleaved rounds per figure")
	flags.DurationVar(&cfg.Duration, "duration", 0, "length of one measurement (default 2s, with -quick 1s)")
	flags.BoolVar(&cfg.Quick, "quick", false, "only requests per second, latency and Python: under a minute")
	flags.IntVar(&cfg.Functions, "functions", 1000, "functions that are called in turn")
	flags.IntVar(&cfg.Burst, "burst", 100, "cold functions that are called at once")
	flags.StringVar(&cfg.Peers, "peers", "", "folder of the peers that scripts/install.sh --bench installed")
	only := flags.String("only", "", "only these sections, with commas between them")
	up := flags.String("up", "", "more arguments for hearth up, separated by spaces")
	events := flags.Int("async-events", 0, "measure asynchronous invocation too, and queue so many events for its figure on memory")
	asyncOnly := flags.Bool("async-only", false, "measure nothing but asynchronous invocation")
	from := flags.String("from", "", "measure nothing, read this JSON file instead; with -only, what is measured replaces what the file says of it")
	docs := flags.String("write", "", "write the JSON, the chart, and the pages below this folder, a checkout of Hearth")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg.Args, cfg.Progress = strings.Fields(*up), os.Stderr
	if *only != "" {
		cfg.Only = strings.Split(*only, ",")
	}
	begin := time.Now()
	report, err := measure(ctx, cfg, *from, *events, *asyncOnly)
	if err != nil {
		return err
	}
	if *from == "" {
		fmt.Fprintf(os.Stderr, "measured in %v\n", time.Since(begin).Round(time.Second))
	}
	if len(report.Rows) > 0 {
		fmt.Fprint(out, report.Table())
	}
	if report.Async != nil {
		fmt.Fprint(out, report.Async.Markdown())
	}
	if *docs == "" {
		return nil
	}
	return report.WriteDocs(*docs)
}

func measure(ctx context.Context, cfg bench.Config, from string, events int, asyncOnly bool) (report *bench.Report, err error) {
	if from == "" {
		return fresh(ctx, cfg, events, asyncOnly)
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return nil, err
	}
	report = new(bench.Report)
	if err := json.Unmarshal(text, report); err != nil || len(cfg.Only) == 0 {
		return report, err
	}
	later, err := fresh(ctx, cfg, events, asyncOnly)
	if err == nil {
		report.Merge(later)
	}
	return report, err
}

// fresh measures.
func fresh(ctx context.Context, cfg bench.Config, events int, asyncOnly bool) (report *bench.Report, err error) {
	report = &bench.Report{Version: cfg.Version}
	if !asyncOnly {
		if report, err = bench.Run(ctx, cfg); err != nil {
			return nil, err
		}
	}
	if events > 0 {
		if cfg.Duration == 0 {
			cfg.Duration = time.Second
		}
		report.Async, err = bench.RunAsync(ctx, cfg, events)
	}
	return report, err
}
