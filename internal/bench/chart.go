package bench

import (
	"fmt"
	"html"
	"strings"
)

// Sizes of the chart, in SVG's units.
const (
	chartWidth = 860
	labelWidth = 320
	barHeight  = 26
	barGap     = 10
	chartTop   = 64
)

// Chart draws requests per second of the hello function with 64 connections, Hearth and
// everything that was measured beside it, as SVG. It is "" when that was not measured.
func (r *Report) Chart() string {
	var c *Contest
	for i := range r.Contests {
		if x := &r.Contests[i]; x.Connections == 64 && x.entry(byURL) != nil && x.entry(inNode) != nil {
			c = x
			break
		}
	}
	if c == nil {
		return ""
	}
	most := 1.0
	for _, e := range c.Entries {
		most = max(most, e.PerSecond)
	}
	height := chartTop + len(c.Entries)*(barHeight+barGap) + 34
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="system-ui, sans-serif" font-size="14">`+"\n",
		chartWidth, height, chartWidth, height)
	b.WriteString(`<title>Requests per second of a hello function</title>` + "\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="#ffffff"/>`+"\n", chartWidth, height)
	fmt.Fprintf(&b, `<text x="20" y="30" font-size="17" font-weight="600" fill="#1f2328">Requests per second, %s, %d connections</text>`+"\n", html.EscapeString(c.Title), c.Connections)
	b.WriteString(`<text x="20" y="50" font-size="12" fill="#59636e">in brackets: against the same handler in plain Node; longer is better</text>` + "\n")
	for i, e := range c.Entries {
		y := chartTop + i*(barHeight+barGap)
		middle := y + barHeight/2 + 5
		width := e.PerSecond / most * (chartWidth - labelWidth - 150)
		colour := "#8c959f"
		if strings.HasPrefix(e.Name, "Hearth") {
			colour = "#d1571f"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#1f2328">%s</text>`+"\n", labelWidth-10, middle, html.EscapeString(e.Name))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="3" fill="%s"/>`+"\n", labelWidth, y, max(width, 1), barHeight, colour)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="#1f2328">%s (%.2f)</text>`+"\n", float64(labelWidth)+width+8, middle, quantity(e.PerSecond, "req/s"), e.Ratio)
	}
	fmt.Fprintf(&b, `<text x="20" y="%d" font-size="12" fill="#59636e">%s; %s; %s at %s</text>`+"\n", height-12,
		html.EscapeString(r.Machine), html.EscapeString(r.Generator), r.Date, html.EscapeString(r.Version))
	b.WriteString("</svg>\n")
	return b.String()
}
