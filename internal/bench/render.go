package bench

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Table is the table of aims for a terminal.
func (r *Report) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; isolation %s; load generator %s; medians of %d interleaved rounds of %g s\n\n",
		r.Machine, r.Isolation, r.Generator, r.Rounds, r.Seconds)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tAGAINST\tHEARTH\tOTHER\tVALUE\tAIM\tVERDICT\t")
	for _, x := range r.Rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", plain(x.Figure), plain(x.Against), quantity(x.Hearth, x.Unit),
			quantity(x.Other, x.Unit), x.value(), x.goal(), x.Verdict, x.Note)
	}
	_ = w.Flush() // a strings.Builder takes everything
	met, measured := r.count()
	fmt.Fprintf(&b, "\n%d of %d aims met", met, measured)
	if left := len(r.Rows) - measured; left > 0 {
		fmt.Fprintf(&b, ", %d not measured", left)
	}
	b.WriteString("\n")
	if len(r.Contests) > 0 {
		b.WriteString("\n")
		fmt.Fprintln(w, "CONTEST\tREQ/S\tRATIO\tP50\tP99\tCPU/REQUEST\tBEHIND IT\tERRORS\t")
	}
	for _, c := range r.Contests {
		for _, e := range c.Entries {
			fmt.Fprintf(w, "%s, c=%d: %s\t%.0f\t%.2f\t%v\t%v\t%.1f µs\t%.1f µs\t%d\t\n", c.Title, c.Connections, e.Name, e.PerSecond,
				e.Ratio, e.P50, e.P99, e.ServerCPU, e.FunctionCPU, e.Errors)
		}
	}
	_ = w.Flush()
	return b.String()
}

func plain(s string) string { return strings.ReplaceAll(s, "`", "") }

func (r *Report) count() (met, measured int) {
	for _, x := range r.Rows {
		switch x.Verdict {
		case Met:
			met++
			measured++
		case Missed:
			measured++
		}
	}
	return met, measured
}

// Markdown renders the report for docs/benchmarks.md.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s at %s. Machine: %s; isolation `%s`; load generator `%s`; medians of %d interleaved rounds of %g s.\n\n",
		r.Date, r.Version, r.Machine, r.Isolation, r.Generator, r.Rounds, r.Seconds)
	b.WriteString("| figure | against | Hearth | other | value | aim | verdict |\n|---|---|---|---|---|---|---|\n")
	for _, x := range r.Rows {
		verdict := string(x.Verdict)
		if x.Note != "" {
			verdict += " (" + x.Note + ")"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", x.Figure, x.Against, quantity(x.Hearth, x.Unit),
			quantity(x.Other, x.Unit), x.value(), x.goal(), verdict)
	}
	met, measured := r.count()
	fmt.Fprintf(&b, "\n%d of %d aims are met.\n", met, measured)
	for _, c := range r.Contests {
		c.markdown(&b)
	}
	if len(r.Bursts) > 0 {
		b.WriteString("\n| ten calls at once, 2 s of waiting each | instances | p50 | slowest | memory used | memory reserved |\n|---|---|---|---|---|---|\n")
	}
	for _, x := range r.Bursts {
		fmt.Fprintf(&b, "| `%s` | %d | %v | %v | %d MB | %d MB |\n", x.Model, x.Instances,
			x.P50.Round(time.Millisecond), x.Max.Round(time.Millisecond), x.UsedMB, x.Reserved)
	}
	if r.Async != nil {
		b.WriteString(r.Async.Markdown())
	}
	return b.String()
}

func (c *Contest) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n| %s, c=%d | req/s | ratio to %s | p50 | p99 | CPU per request | of what is behind it | errors |\n|---|---|---|---|---|---|---|---|\n",
		c.Title, c.Connections, c.Reference)
	for _, e := range c.Entries {
		function := "–"
		if e.FunctionCPU > 0 {
			function = fmt.Sprintf("%.1f µs", e.FunctionCPU)
		}
		fmt.Fprintf(b, "| %s | %.0f | %.2f | %v | %v | %.1f µs | %s | %d |\n", e.Name, e.PerSecond, e.Ratio, e.P50, e.P99,
			e.ServerCPU, function, e.Errors)
	}
}

// Readme is the short table for the README: the first rows, and how many aims are met.
func (r *Report) Readme(chart string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "![Requests per second of a hello function](%s)\n\n", chart)
	b.WriteString("| | Hearth | the other | value | aim |\n|---|---|---|---|---|\n")
	for _, x := range r.Rows {
		if !inReadme(x.ID) || x.Verdict == NotMeasured {
			continue
		}
		figure := x.Figure
		if x.Against != "" {
			figure += ", against " + x.Against
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s, %s |\n", figure, quantity(x.Hearth, x.Unit),
			quantity(x.Other, x.Unit), x.value(), x.goal(), x.Verdict)
	}
	met, measured := r.count()
	fmt.Fprintf(&b, "\n%d of %d aims are met. %s, isolation `%s`, `%s`, medians of %d interleaved rounds, %s at %s.\n", met, measured,
		r.Machine, r.Isolation, r.Generator, r.Rounds, r.Date, r.Version)
	return b.String()
}

// inReadme picks the rows that say most.
func inReadme(id string) bool {
	switch id {
	case "hello-url-64", "hello-url-256", "hello-invoke-64", "latency-p50", "python-64", "payload-url-100k",
		"cold-node", "cold-none", "idle-memory", "idle-instance", "idle-ready":
		return true
	}
	return false
}
