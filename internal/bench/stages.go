package bench

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Stage is one part of the way of a request through Hearth.
type Stage struct {
	Name   string  `json:"name"`
	Micros float64 `json:"micros"`
	Share  float64 `json:"share"` // of the processor time of Hearth's process
}

// sample is a stack that was seen, innermost function first, and for how long.
type sample struct {
	micros float64
	stack  []string
}

// The stages, in the order of a request's way.
const (
	stageRead    = "read"
	stageParse   = "parse"
	stageRoute   = "route"
	stageLookup  = "lookup"
	stageAdmit   = "admit"
	stageSlot    = "slot"
	stageEncode  = "encode"
	stageWrite   = "write"
	stageWake    = "wake"
	stageBack    = "back"
	stageAccount = "account"
	stageAnswer  = "answer"
	stageSend    = "send"
	stageCollect = "collect garbage"
	stageOther   = "other"
)

// stageWords say what belongs to a stage, in the order of the table.
func stageWords() [][2]string {
	return [][2]string{
		{stageRead, "take the request off the client's socket"},
		{stageParse, "HTTP: request line, headers, body"},
		{stageRoute, "path or host to a function; what the api itself does"},
		{stageLookup, "name and qualifier to a version"},
		{stageAdmit, "limits; the request id"},
		{stageSlot, "a slot of an instance, and giving it back"},
		{stageEncode, "the event (payload format 2.0) and the frame"},
		{stageWrite, "the frame to the instance's socket"},
		{stageWake, "Go's scheduler, timers and epoll: whoever waits is woken"},
		{stageBack, "the answer's frame off the instance's socket, to its caller"},
		{stageAccount, "duration, log, bill"},
		{stageAnswer, "the function's result to an HTTP response"},
		{stageSend, "the response to the client's socket"},
		{stageCollect, "garbage collection"},
		{stageOther, "anything else in the process"},
	}
}

// rule gives what matches to a stage.
type rule struct {
	stage string
	match *regexp.Regexp
}

// stageRules tell the stage of a function. A stack belongs to the first function, from
// the innermost on, that any rule knows; so what the runtime and the libraries do counts
// for whoever asked for it. Within a function the first rule decides.
func stageRules() []rule {
	var rules []rule
	for _, r := range [][2]string{
		{stageCollect, `^runtime\.(gcBgMark|gcAssist|gcDrain|bgsweep|bgscavenge|gcStart|sweepone|gcMark|markroot)`},
		{stageWake, `^runtime\.(mcall|park_m|schedule|findRunnable|gopark|goparkunlock|goready|ready|readyWithTime|wakep|startm|stopm|futex|notewakeup|notesleep|netpoll|execute|gosched_m|goschedImpl|resetspinning|injectglist|newproc|mstart|sysmon|checkTimers|exitsyscall|entersyscallWakeSysmon|usleep|semrelease1|semacquire1|selectgo|chansend|chanrecv)\d*(\.func\d+)?$`},
		{stageWake, `^(runtime|time)\.(\(\*timers?\)|\(\*Timer\)|resetTimer|stopTimer|newTimer)`},
		{stageWake, `internal/loop\.\(\*Loop\)\.(wait|poll)$|internal/loop\.\(\*spinner\)`},

		{stageLookup, `^hearth/internal/registry\.`},
		{stageAdmit, `^hearth/internal/invoke\.|hearth\.NewRequestID|^crypto/rand\.`},
		{stageAccount, `^hearth/internal/(logs|meter|events)\.|^hearth/internal/worker\..*(?i:finish|record|account|usage)`},
		{stageSlot, `^hearth/internal/(pool|policy|worker)\.`},

		{stageWrite, `^hearth/internal/link\..*(?i:write|flush|rawWrite|\.try)`},
		{stageEncode, `^hearth/internal/link\..*(?i:send|encode|append|put)`},
		{stageBack, `^hearth/internal/link\.`},

		{stageSend, `^hearth/internal/api(/front)?\..*(\(\*conn\)\.(Write|flush|send)|(?i:flush)$)|^bufio\.\(\*Writer\)\.Flush$`},
		{stageRead, `^hearth/internal/api(/front)?\..*\(\*conn\)\.(Read|read|fill)|^bufio\.\(\*Reader\)\.fill$`},
		{stageParse, `^hearth/internal/api(/front)?\..*(?i:parse|header.*read|readHead|request\))`},
		{stageEncode, `^hearth/internal/hearth/packed\.|^hearth/internal/api(/front)?\..*(\(\*call\)\.(build|pack)|(?i:event))`},
		{stageAnswer, `^hearth/internal/api(/front)?\..*(?i:answer|response|eachMember|unquote|reply|result|quick|usual|append(Head|Header|Instance|Canonical)$)`},
		{stageRoute, `^hearth/internal/api(/front)?\.`},

		{stageAnswer, `fasthttp\..*(Response|writeResponse|releaseWriter|acquireWriter)`},
		{stageParse, `fasthttp\.`},
		{stageWake, `^hearth/internal/loop\.\(\*Loop\)`},
	} {
		rules = append(rules, rule{r[0], regexp.MustCompile(r[1])})
	}
	return rules
}

// stagesOf sorts samples into stages and scales them to the processor time of a request.
func stagesOf(samples []sample, cpu float64) []Stage {
	rules, sums, total := stageRules(), map[string]float64{}, 0.0
	for _, s := range samples {
		sums[stageOf(rules, s.stack)] += s.micros
		total += s.micros
	}
	var stages []Stage
	for _, w := range stageWords() {
		share := sums[w[0]] / max(total, 1)
		stages = append(stages, Stage{Name: w[0], Micros: share * cpu, Share: share})
	}
	return stages
}

func stageOf(rules []rule, stack []string) string {
	for _, function := range stack {
		for _, r := range rules {
			if r.match.MatchString(function) {
				return r.stage
			}
		}
	}
	return stageOther
}

// parseTraces reads what `go tool pprof -traces -unit=us` prints.
func parseTraces(text string) ([]sample, error) {
	var samples []sample
	_, text, found := strings.Cut(text, "-----------+")
	if !found {
		return nil, fmt.Errorf("the profile has no samples: %.200s", text)
	}
	for part := range strings.SplitSeq(text, "-----------+") {
		var s sample
		for i, line := range strings.Split(part, "\n") {
			line = strings.TrimSpace(line)
			if i == 0 || line == "" {
				continue // the rest of the line between two stacks
			}
			if len(s.stack) == 0 {
				value, rest, _ := strings.Cut(line, " ")
				micros, err := strconv.ParseFloat(strings.TrimSuffix(value, "us"), 64)
				if err != nil {
					continue // a label
				}
				s.micros, line = micros, strings.TrimSpace(rest)
			}
			s.stack = append(s.stack, strings.TrimSuffix(line, " (inline)"))
		}
		if len(s.stack) > 0 {
			samples = append(samples, s)
		}
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("the profile has no samples")
	}
	return samples, nil
}

// Markdown renders the profile for docs/performance.md.
func (r *Profile) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s at %s. %s; isolation `%s`.\n\n", r.Date, r.Version, r.Machine, r.Isolation)
	head := func(first string) {
		b.WriteString("| " + first)
		for _, c := range r.Cases {
			fmt.Fprintf(&b, " | %s, c=%d", strings.TrimPrefix(c.Name, "Hearth, "), c.Connections)
		}
		b.WriteString(" |\n|---" + strings.Repeat("|---", len(r.Cases)) + "|\n")
	}
	row := func(first string, value func(c *ProfileCase) string) {
		b.WriteString("| " + first)
		for i := range r.Cases {
			b.WriteString(" | " + value(&r.Cases[i]))
		}
		b.WriteString(" |\n")
	}
	head("µs of processor time per request")
	for i, w := range stageWords() {
		row("**"+w[0]+"**: "+w[1], func(c *ProfileCase) string { return fmt.Sprintf("%.2f", c.Stages[i].Micros) })
	}
	row("Hearth's process", func(c *ProfileCase) string { return fmt.Sprintf("%.1f", c.CPU) })
	row("**shim**: frames in and out, the event, logs; Node's own", func(c *ProfileCase) string {
		return fmt.Sprintf("%.2f", max(c.FunctionCPU-c.KernelCPU-r.Handler, 0))
	})
	row("in the kernel, for the function's processes: wake, read, write", func(c *ProfileCase) string { return fmt.Sprintf("%.2f", c.KernelCPU) })
	row("**handler**, by itself in a loop", func(*ProfileCase) string { return fmt.Sprintf("%.2f", r.Handler) })
	row("the function's processes", func(c *ProfileCase) string { return fmt.Sprintf("%.1f", c.FunctionCPU) })
	row("requests per second", func(c *ProfileCase) string { return fmt.Sprintf("%.0f", c.PerSecond) })
	row("p50 of a request, µs", func(c *ProfileCase) string { return fmt.Sprintf("%.0f", micros(c.P50)) })
	b.WriteString("\n")
	head("counts per request, Hearth's process")
	for i := range r.Cases[0].Counts {
		row(r.Cases[0].Counts[i].Name, func(c *ProfileCase) string { return fmt.Sprintf("%.2f", c.Counts[i].N) })
	}
	b.WriteString("\n")
	head("system calls per request, under strace")
	row("Hearth's process", func(c *ProfileCase) string { return calls(c.Syscalls) })
	row("the function's processes", func(c *ProfileCase) string { return calls(c.FunctionSys) })
	return b.String()
}

func calls(list []Count) string {
	var words []string
	for _, c := range list {
		words = append(words, fmt.Sprintf("%s %.2f", c.Name, c.N))
	}
	if len(words) == 0 {
		return "–"
	}
	return strings.Join(words, ", ")
}

// WriteProfile writes the profile's figures between the marks of a page.
func (r *Profile) WriteProfile(page string) error { return spliceFile(page, r.Markdown()) }
