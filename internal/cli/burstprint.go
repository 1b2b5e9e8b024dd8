package cli

import (
	"fmt"
	"strings"
	"time"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
	"hearth/internal/meter"
)

// burstSummary is the sums of one burst.
type burstSummary struct {
	Calls      int     `json:"calls"`
	Failures   int     `json:"failures"`
	Instances  int     `json:"instances"`
	ColdCalls  int     `json:"coldCalls"` // that waited for an instance to start
	P50MS      float64 `json:"p50Ms"`
	MaxMS      float64 `json:"maxMs"`
	ReservedMB int     `json:"reservedMB"`
	UsedMB     int     `json:"usedMB"`
	BilledMS   float64 `json:"billedMs"`
	// Bills are by the names of meter's rules.
	Bills        map[string]meter.Bill `json:"bills"`
	p50, highest time.Duration
	billed       time.Duration
}

func (b *burst) summary() burstSummary {
	s := burstSummary{Calls: len(b.shots), Failures: b.failures(), Instances: len(b.instances()), UsedMB: b.used, Bills: b.bills}
	s.ReservedMB = s.Instances * b.function.Latest.Config.MemoryMB
	for i := range b.shots {
		if b.shots[i].Cold {
			s.ColdCalls++
		}
		s.billed += b.shots[i].Billed
	}
	s.p50, s.highest = b.shots[(len(b.shots)-1)/2].Latency, b.shots[len(b.shots)-1].Latency
	s.P50MS, s.MaxMS, s.BilledMS = milliseconds(s.p50), milliseconds(s.highest), milliseconds(s.billed)
	return s
}

// burstJSON is one function's part of burst -o json.
type burstJSON struct {
	Function string       `json:"function"`
	Model    hearth.Model `json:"executionModel"`
	Slots    int          `json:"slots"`
	Summary  burstSummary `json:"summary"`
	Calls    []shot       `json:"calls"`
}

func (a *app) printBursts(bursts []*burst, n int) error {
	switch a.format {
	case formatJSON:
		all := make([]burstJSON, 0, len(bursts))
		for _, b := range bursts {
			k := &b.function.Latest.Config
			slots := 1
			if k.Model == hearth.Concurrent {
				slots = k.MaxConcurrency
			}
			all = append(all, burstJSON{b.function.Name, k.Model, slots, b.summary(), b.shots})
		}
		return a.printJSON(map[string]any{"functions": all})
	case formatTSV:
		for _, b := range bursts {
			t := b.table(true)
			fmt.Fprint(a.out, t.TSV())
		}
		return nil
	}
	blocks := make([][]string, 0, len(bursts))
	for i, b := range bursts {
		t := b.table(false)
		t.Title = fmt.Sprintf("%s: %s at once", b.function.Name, screen.Count(n, "call"))
		blocks = append(blocks, t.Lines(a.out, i < len(bursts)-1))
	}
	a.printBlocks(blocks)
	fmt.Fprintln(a.out)
	return a.printTable(sums(bursts), "")
}

// printBlocks prints tables side by side where the terminal is wide enough, one
// below the other elsewhere.
func (a *app) printBlocks(blocks [][]string) {
	lines := screen.SideBySide(blocks...)
	if a.out.Width > 0 && screen.Widest(lines) > a.out.Width {
		lines = nil
		for i, b := range blocks {
			if i > 0 {
				lines = append(lines, "")
			}
			lines = append(lines, b...)
		}
	}
	for _, line := range lines {
		fmt.Fprintln(a.out, strings.TrimRight(line, " "))
	}
}

// table lists the calls, quickest first. named adds the function's name in front,
// for output that is cut up by programs.
func (b *burst) table(named bool) *screen.Table {
	columns := []string{"instance", ">no.", ">latency", "start", ">billed"}
	if named {
		columns = append([]string{"function"}, columns...)
	}
	t := screen.NewTable(columns...)
	for i := range b.shots {
		s := &b.shots[i]
		start := screen.Cell{Text: "warm"}
		switch {
		case s.Error != "":
			start = screen.Cell{Text: s.Error, Style: screen.Red}
		case s.Cold:
			start = screen.Cell{Text: "cold", Style: screen.Yellow}
		}
		number := "?"
		if s.Number > 0 {
			number = fmt.Sprint(s.Number)
		}
		row := []any{screen.Cell{Text: s.Instance, Style: colourOf(s.Instance)}, number,
			screen.Duration(s.Latency), start, screen.Duration(s.Billed)}
		if named {
			row = append([]any{b.function.Name}, row...)
		}
		t.Row(row...)
	}
	return t
}

// sums compares the bursts, one column each.
func sums(bursts []*burst) *screen.Table {
	t := &screen.Table{Columns: []screen.Column{{}}}
	all := make([]burstSummary, 0, len(bursts))
	for _, b := range bursts {
		t.Columns = append(t.Columns, screen.Column{Name: b.function.Name, Right: true})
		all = append(all, b.summary())
	}
	row := func(name string, cell func(i int, s *burstSummary) string) {
		fields := []any{name}
		for i := range all {
			fields = append(fields, cell(i, &all[i]))
		}
		t.Row(fields...)
	}
	row("execution model", func(i int, _ *burstSummary) string { return bursts[i].function.Latest.Config.modelShort() })
	row("instances", func(_ int, s *burstSummary) string { return fmt.Sprint(s.Instances) })
	row("calls that were cold", func(_ int, s *burstSummary) string { return fmt.Sprint(s.ColdCalls) })
	row("latency p50", func(_ int, s *burstSummary) string { return screen.Duration(s.p50) })
	row("latency max", func(_ int, s *burstSummary) string { return screen.Duration(s.highest) })
	row("memory reserved", func(_ int, s *burstSummary) string { return screen.MB(s.ReservedMB) })
	row("memory used", func(_ int, s *burstSummary) string { return screen.MB(s.UsedMB) })
	for _, rule := range billedRules() {
		row("bill, "+rule, func(_ int, s *burstSummary) string { return fmt.Sprintf("%.2f GB-s", s.Bills[rule].GBSeconds) })
	}
	row("billed time, sum", func(_ int, s *burstSummary) string { return screen.Duration(s.billed) })
	for _, s := range all {
		if s.Failures > 0 {
			row("failed", func(_ int, s *burstSummary) string { return fmt.Sprint(s.Failures) })
			break
		}
	}
	return t
}
