package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/hearth"
	"hearth/internal/meter"
)

// maxBurst bounds a burst: beyond it the machine's own limits would be measured.
const maxBurst = 1000

const burstLong = `Call a function many times at once and show what each call met: which instance served
it and as its how-manyeth, how long it took, whether it had to wait for an instance to
start, and what was billed. Then the sums: instances, latency, memory, bills.

Given several functions, it bursts one after the other and shows them side by side:
the same code under two execution models, for instance.

The number is how many invocations the instance had accepted. A concurrent function
shows one instance with the numbers 1 to N; an exclusive one N instances with 1 each.
Bills are for this burst alone, in GB-seconds, under the rules of several vendors:
"lambda" charges every call for its own time, "azure-consumption" and "binaris" charge
the time in which an instance runs anything at all.`

const burstExample = `  hearth burst hello -n 50

  # one instance for all, against one for each
  hearth burst hello-concurrent hello-exclusive -n 10

  hearth burst hello -n 20 -d '{"n": 3}' -o json | jq .functions[0].summary`

func (a *app) burstCommand() *cobra.Command {
	var n int
	var data, file string
	cmd := &cobra.Command{
		Use:               "burst NAME...",
		Short:             "Call a function many times at once and compare",
		Long:              burstLong,
		Example:           burstExample,
		Args:              atLeastOne("function"),
		ValidArgsFunction: a.completeFunctions(0),
		RunE: func(cmd *cobra.Command, names []string) error {
			if n < 1 || n > maxBurst {
				return usagef("-n %d must be from 1 to %d", n, maxBurst)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			payload, err := a.event(cmd, data, file)
			if err != nil {
				return err
			}
			return a.bursts(cmd, c, names, n, payload)
		},
	}
	cmd.Flags().IntVarP(&n, "calls", "n", 10, "how many `calls` at once")
	cmd.Flags().StringVarP(&data, "data", "d", "", "the event of every call, as `JSON`")
	cmd.Flags().StringVarP(&file, "file", "f", "", "read the event from this `file`")
	return cmd
}

// shot is one call of a burst.
type shot struct {
	Instance   string        `json:"instance,omitempty"`
	Number     int           `json:"number,omitempty"` // of this call within the instance; 0 = not known
	Begin      time.Duration `json:"-"`                // since the burst began
	Latency    time.Duration `json:"-"`
	Duration   time.Duration `json:"-"` // of the handler, as the platform measured it
	Billed     time.Duration `json:"-"`
	Init       time.Duration `json:"-"`    // of the instance, if this was its first call
	Cold       bool          `json:"cold"` // it waited for an instance to start
	MemoryMB   int           `json:"memoryMB,omitempty"`
	MaxUsedMB  int           `json:"maxUsedMB,omitempty"`
	Error      string        `json:"error,omitempty"` // of the function or the platform, in a few words
	LatencyMS  float64       `json:"latencyMs"`
	DurationMS float64       `json:"durationMs"`
	BilledMS   float64       `json:"billedMs"`
	RequestID  string        `json:"requestId,omitempty"`
}

// burst is what came of one function's calls.
type burst struct {
	function function
	shots    []shot // quickest first
	errs     []error
	// used is what the instances that served it used right after, in MB.
	used int
	// bills are what the burst costs, by rule.
	bills map[string]meter.Bill
}

func (a *app) bursts(cmd *cobra.Command, c *client, names []string, n int, payload []byte) error {
	bursts := make([]*burst, 0, len(names))
	for _, name := range names {
		f, err := c.function(cmd.Context(), name)
		if err != nil {
			return err
		}
		bursts = append(bursts, &burst{function: f})
	}
	for _, b := range bursts {
		b.fire(cmd.Context(), c, n, payload)
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		list, err := c.instances(cmd, b.function.Name)
		if err != nil {
			return err
		}
		b.measure(list)
	}
	if err := a.printBursts(bursts, n); err != nil {
		return err
	}
	for _, b := range bursts {
		for _, err := range b.errs {
			return err
		}
	}
	return nil
}

// fire makes n calls at the same moment and waits for all of them.
func (b *burst) fire(ctx context.Context, c *client, n int, payload []byte) {
	b.shots = make([]shot, n)
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	var begin time.Time
	for i := range n {
		wg.Go(func() {
			<-start
			b.shots[i].Begin = time.Since(begin)
			answer, err := c.invoke(ctx, b.function.Name, payload, true)
			errs[i] = b.shots[i].record(answer, err, time.Since(begin))
		})
	}
	begin = time.Now()
	close(start)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			b.errs = append(b.errs, err)
		}
	}
	slices.SortStableFunc(b.shots, func(x, y shot) int { return cmp.Compare(x.Latency, y.Latency) })
}

// record notes what came of one call. The error says which exit code it is worth.
func (s *shot) record(r *answer, err error, end time.Duration) error {
	if err != nil {
		s.Latency = end - s.Begin
		s.LatencyMS = milliseconds(s.Latency)
		s.Error = shortly(err)
		return err
	}
	s.Latency = r.latency
	s.RequestID = r.requestID
	s.Instance = r.header.Get("X-Hearth-Instance")
	s.Number, _ = strconv.Atoi(r.header.Get("X-Hearth-Invocation"))
	s.Cold = r.header.Get("X-Hearth-Cold") != ""
	s.readReport(string(r.logTail))
	s.LatencyMS, s.DurationMS, s.BilledMS = milliseconds(s.Latency), milliseconds(s.Duration), milliseconds(s.Billed)
	if r.functionError == "" {
		return nil
	}
	var doc hearth.FailureDoc
	if json.Unmarshal(r.payload, &doc) != nil || doc.ErrorType == "" {
		doc.ErrorType = r.functionError
	}
	s.Error = doc.ErrorType
	return &failure{ExitFunction, &callFailed{s.Error, doc.ErrorMessage}}
}

// shortly is the kind of a platform's refusal, for one field of a table.
func shortly(err error) string {
	switch status := statusOf(err); {
	case status == http.StatusTooManyRequests:
		return "throttled"
	case status == http.StatusServiceUnavailable:
		return "no room"
	case status != 0:
		return fmt.Sprintf("refused (%d)", status)
	}
	return "broken off"
}

// callFailed is a function's failure in one call of a burst.
type callFailed struct{ kind, message string }

func (e *callFailed) Error() string { return "a call failed: " + e.kind + ": " + e.message }

// reportField finds the fields of a REPORT line (Lambda's recorded form).
var reportField = regexp.MustCompile(`(Billed Duration|Init Duration|Duration|Memory Size|Max Memory Used): ([0-9.]+) (?:ms|MB)`)

// readReport takes what was measured and billed from the log's REPORT line.
func (s *shot) readReport(log string) {
	for _, m := range reportField.FindAllStringSubmatch(log, -1) {
		value, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			continue
		}
		length := time.Duration(value * float64(time.Millisecond))
		switch m[1] {
		case "Duration":
			s.Duration = length
		case "Billed Duration":
			s.Billed = length
		case "Init Duration":
			s.Init = length
		case "Memory Size":
			s.MemoryMB = int(value)
		case "Max Memory Used":
			s.MaxUsedMB = int(value)
		}
	}
}

// measure adds up what the instances that served the burst use now, and what the
// burst alone would cost.
func (b *burst) measure(list []hearth.InstanceInfo) {
	b.bills = map[string]meter.Bill{}
	for _, id := range b.instances() {
		var peak int
		for _, i := range list {
			if i.ID == id {
				b.used += i.UsedMB
				peak = i.PeakMB
			}
		}
		usage := b.usage(id, peak)
		for _, rule := range billedRules() {
			r, _ := meter.Find(rule)
			b.bills[rule] = b.bills[rule].Add(r.Bill(usage))
		}
	}
}

// billedRules are the rules by which a burst is billed: one that counts every call,
// one that merges what overlaps in an instance, and one that is flat besides.
func billedRules() []string { return []string{"lambda", "azure-consumption", "binaris"} }

// usage meters one instance's calls. The platform tells how long each ran, and the
// call ended when its answer came.
func (b *burst) usage(id string, peakMB int) meter.Usage {
	var epoch time.Time
	var init time.Duration
	var all []meter.Execution
	for i := range b.shots {
		s := &b.shots[i]
		if s.Instance == id {
			end := epoch.Add(s.Begin + s.Latency)
			all = append(all, meter.Execution{Start: end.Add(-s.Duration), End: end})
			init = max(init, s.Init)
		}
	}
	m := meter.NewInstance(b.function.Latest.Config.MemoryMB, epoch, init)
	m.Replay(all)
	return m.Usage(epoch, meter.Reading{PeakMB: peakMB})
}

// instances are the ids of the instances that served the burst.
func (b *burst) instances() []string {
	var ids []string
	for i := range b.shots {
		if id := b.shots[i].Instance; id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// failures counts the calls that did not succeed.
func (b *burst) failures() int {
	n := 0
	for i := range b.shots {
		if b.shots[i].Error != "" {
			n++
		}
	}
	return n
}
