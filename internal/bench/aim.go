package bench

import (
	"fmt"
	"time"
)

// Verdict says whether a figure is as good as it should be.
type Verdict string

// The verdicts.
const (
	Met         Verdict = "met"
	Missed      Verdict = "missed"
	NotMeasured Verdict = "not measured"
)

// Measure says what of a row is held against its aim.
type Measure string

// What can be held against an aim.
const (
	Ratio      Measure = "ratio"      // Hearth's figure over the other's
	Difference Measure = "difference" // Hearth's figure less the other's
	Absolute   Measure = "absolute"   // Hearth's figure
)

// Aim is a limit and the side of it that is good.
type Aim struct {
	Of      Measure `json:"of"`
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"atLeast"` // else at most
}

func atLeast(ratio float64) Aim { return Aim{Of: Ratio, Limit: ratio, AtLeast: true} }
func atMost(ratio float64) Aim  { return Aim{Of: Ratio, Limit: ratio} }
func within(more float64) Aim   { return Aim{Of: Difference, Limit: more} }
func below(limit float64) Aim   { return Aim{Of: Absolute, Limit: limit} }

// Row is one line of the table of aims.
type Row struct {
	ID      string  `json:"id"`
	Figure  string  `json:"figure"`
	Against string  `json:"against,omitempty"`
	Unit    string  `json:"unit"`
	Aim     Aim     `json:"aim"`
	Hearth  float64 `json:"hearth"`
	Other   float64 `json:"other,omitempty"`
	Value   float64 `json:"value"` // what the aim is about
	Verdict Verdict `json:"verdict"`
	Note    string  `json:"note,omitempty"` // how to read it, or why it is missing
}

// judge sets the verdict, and the value unless it was measured round by round already: a
// median of ratios is not a ratio of medians.
func (r *Row) judge() {
	switch {
	case r.Aim.Of == Absolute:
		r.Value = r.Hearth
	case r.Value != 0:
	case r.Aim.Of == Difference:
		r.Value = r.Hearth - r.Other
	case r.Other != 0:
		r.Value = r.Hearth / r.Other
	}
	r.Verdict = Missed
	if r.Aim.AtLeast && r.Value >= r.Aim.Limit || !r.Aim.AtLeast && r.Value <= r.Aim.Limit {
		r.Verdict = Met
	}
}

// goal is the aim in words.
func (r *Row) goal() string {
	sign := "≤"
	if r.Aim.AtLeast {
		sign = "≥"
	}
	switch r.Aim.Of {
	case Difference:
		return fmt.Sprintf("%s +%g %s", sign, r.Aim.Limit, r.Unit)
	case Absolute:
		return fmt.Sprintf("%s %g %s", sign, r.Aim.Limit, r.Unit)
	}
	return fmt.Sprintf("%s %g", sign, r.Aim.Limit)
}

// value is what the aim is about, in words.
func (r *Row) value() string {
	switch {
	case r.Verdict == NotMeasured:
		return "–"
	case r.Aim.Of == Difference:
		return fmt.Sprintf("%+.0f %s", r.Value, r.Unit)
	case r.Aim.Of == Absolute:
		return quantity(r.Value, r.Unit)
	}
	return fmt.Sprintf("%.2f", r.Value)
}

// quantity writes a figure with its unit, as precisely as it means anything.
func quantity(v float64, unit string) string {
	switch {
	case v == 0:
		return "–"
	case unit == "req/s" && v >= 10_000:
		return fmt.Sprintf("%.1f k/s", v/1000)
	case unit == "req/s" && v < 100:
		return fmt.Sprintf("%.1f/s", v)
	case unit == "req/s":
		return fmt.Sprintf("%.0f/s", v)
	case v < 100:
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
