package bench

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// load is one run of the load generator.
type load struct {
	URL         string
	Connections int
	Duration    time.Duration
	Script      string // in Lua, for requests that are no plain GET; "" = none
}

// measured is what one run of the load generator saw.
type measured struct {
	PerSecond float64       `json:"perSecond"`
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
	Errors    int           `json:"errors"` // socket errors and answers that were not 2xx or 3xx
	Requests  int           `json:"requests"`
	// Processor time per request in µs: of the server that answers, and of the function
	// or upstream behind it. Noise on the machine changes it far less than a rate.
	ServerCPU   float64 `json:"serverCPU"`
	FunctionCPU float64 `json:"functionCPU,omitempty"`
}

// wrk runs wrk with one thread: on a small machine the generator must not take the
// processors from what it measures.
func wrk(ctx context.Context, l load) (measured, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Duration+30*time.Second)
	defer cancel()
	seconds := max(int(l.Duration.Seconds()), 1)
	args := []string{"-t1", "-c" + strconv.Itoa(l.Connections), "-d" + strconv.Itoa(seconds) + "s", "--timeout", "10s", "--latency"}
	if l.Script != "" {
		args = append(args, "-s", l.Script)
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, l.URL)...).CombinedOutput()
	if err != nil {
		return measured{}, fmt.Errorf("wrk against %s: %w: %s", l.URL, err, out)
	}
	return parseWrk(string(out))
}

// parseWrk reads wrk's report.
func parseWrk(out string) (measured, error) {
	var m measured
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		var err error
		switch {
		case len(f) == 2 && f[0] == "50%":
			m.P50, err = time.ParseDuration(f[1])
		case len(f) == 2 && f[0] == "99%":
			m.P99, err = time.ParseDuration(f[1])
		case len(f) > 3 && f[1] == "requests" && f[2] == "in":
			m.Requests, err = strconv.Atoi(f[0])
		case len(f) == 2 && f[0] == "Requests/sec:":
			m.PerSecond, err = strconv.ParseFloat(f[1], 64)
		case strings.HasPrefix(lines.Text(), "  Socket errors:"):
			m.Errors += sumNumbers(f)
		case strings.HasPrefix(lines.Text(), "  Non-2xx or 3xx responses:"):
			m.Errors += sumNumbers(f)
		}
		if err != nil {
			return m, fmt.Errorf("wrk's report: %q: %w", lines.Text(), err)
		}
	}
	if m.PerSecond == 0 {
		return m, fmt.Errorf("wrk's report has no requests per second:\n%s", out)
	}
	return m, nil
}

func sumNumbers(fields []string) int {
	sum := 0
	for _, f := range fields {
		if n, err := strconv.Atoi(strings.Trim(f, ",")); err == nil {
			sum += n
		}
	}
	return sum
}
