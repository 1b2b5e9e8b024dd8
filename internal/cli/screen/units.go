package screen

import (
	"fmt"
	"time"
)

// Duration prints d as a person would write it, with three digits that matter: 850 µs, 12.3 ms,
// 2.05 s, 15m.
func Duration(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", ms(d))
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", ms(d))
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", ms(d))
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return Span(d)
	}
}

// Span prints a setting or an age: 3s, 15m, 1h30m, 4d.
func Span(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd", int(d/(24*time.Hour)))
	}
	d = d.Round(time.Second)
	h, m, s := int(d/time.Hour), int(d%time.Hour/time.Minute), int(d%time.Minute/time.Second)
	text := ""
	if h > 0 {
		text += fmt.Sprintf("%dh", h)
	}
	if m > 0 {
		text += fmt.Sprintf("%dm", m)
	}
	if (s > 0 && h == 0) || text == "" {
		text += fmt.Sprintf("%ds", s)
	}
	return text
}

// Ago prints how long before now t was.
func Ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	if d < time.Second {
		return "just now"
	}
	return Span(d) + " ago"
}

// MB prints mebibytes: 128 MB, 1.5 GB.
func MB(n int) string {
	if n >= 10*1024 || (n >= 1024 && n%1024 == 0) {
		return fmt.Sprintf("%.4g GB", float64(n)/1024)
	}
	return fmt.Sprintf("%d MB", n)
}

// Bytes prints a size in bytes: 812 bytes, 4.2 KB, 13 MB.
func Bytes(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.3g KB", float64(n)/1000)
	default:
		return fmt.Sprintf("%.3g MB", float64(n)/1e6)
	}
}

// Count prints "1 instance", "2 instances".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
