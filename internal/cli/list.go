package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the functions",
		Long:    "List the functions that are deployed, with their runtime, memory and execution model.",
		Example: `  hearth list

  # names only
  hearth list | cut -f1

  # for programs
  hearth list -o json | jq -r '.functions[].name'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if a.json() {
				return a.passThrough(cmd, c, "/hearth/v1/functions")
			}
			list, err := c.functions(cmd.Context())
			if err != nil {
				return err
			}
			t := screen.NewTable("name", "runtime", "handler", ">memory", ">timeout", "model", ">instances", "changed")
			for _, f := range list {
				k := &f.Latest.Config
				t.Row(screen.Cell{Text: f.Name, Style: screen.Bold}, k.Runtime, k.Handler, screen.MB(k.MemoryMB),
					spanWords(k.Timeout), k.modelShort(), f.Instances, a.when(f.Latest.LastModified))
			}
			return a.printTable(t, "No functions yet. Deploy one with: hearth deploy DIR")
		},
	}
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show everything about a function",
		Long: `Show a function's configuration, its code, where it answers, and what its execution
model means.`,
		Example: `  hearth show hello
  hearth show hello -o json`,
		Args:              exactlyOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			f, err := c.function(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json() {
				return a.passThrough(cmd, c, functionPath(args[0]))
			}
			return a.printFields(a.describe(c, &f))
		},
	}
}

func (a *app) describe(c *client, f *function) []field {
	k := &f.Latest.Config
	fields := []field{
		{"name", a.out.Paint(screen.Bold, f.Name)},
		{"answers at", c.functionURL(f.Name)},
		{"runtime", k.Runtime},
		{"handler", k.handlerWords()},
		{"model", k.modelWords()},
		{"memory", screen.MB(k.MemoryMB)},
		{"timeout", spanWords(k.Timeout)},
		{"tmp", screen.MB(k.TmpMB)},
		{"instances", fmt.Sprint(f.Instances)},
		{"keep-alive", k.keepAliveWords()},
		{"code", fmt.Sprintf("%s, sha256 %s", screen.Bytes(f.Latest.Code.Size), f.Latest.Code.Digest)},
		{"version", f.Latest.Number},
		{"changed", a.when(f.Latest.LastModified)},
		{"created", a.when(f.Created)},
	}
	if k.Description != "" {
		fields = append(fields, field{"description", screen.OneLine(k.Description)})
	}
	if k.Freeze != nil && !*k.Freeze {
		fields = append(fields, field{"freeze", "no: idle instances go on"})
	}
	if f.Reserved != nil {
		fields = append(fields, field{"reserved", fmt.Sprintf("%d in flight at most", *f.Reserved)})
	}
	if f.State.State != "" {
		fields = append(fields, field{"state", f.State.State + reason(f.State.Reason)})
	}
	if f.Published > 0 {
		fields = append(fields, field{"published", fmt.Sprintf("up to version %d; see: hearth versions %s", f.Published, f.Name)})
	}
	for i := range f.Aliases {
		fields = append(fields, field{"alias " + f.Aliases[i].Name, routeWords(&f.Aliases[i].Route)})
	}
	for i := range f.Provisioned {
		fields = append(fields, field{"provisioned " + f.Provisioned[i].Qualifier, provisionWords(&f.Provisioned[i])})
	}
	for i := range f.Triggers {
		fields = append(fields, field{"trigger " + f.Triggers[i].Name, triggerWords(&f.Triggers[i])})
	}
	fields = append(fields, asyncFields(f.Async)...)
	for _, name := range slices.Sorted(maps.Keys(k.Env)) {
		fields = append(fields, field{"env " + name, screen.OneLine(k.Env[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tags)) {
		fields = append(fields, field{"tag " + name, screen.OneLine(f.Tags[name])})
	}
	return fields
}

// triggerWords says what makes a trigger run its function.
func triggerWords(t *hearth.Trigger) string {
	if t.NATS != nil {
		return natsWords(t)
	}
	words := screen.OneLine(t.Schedule)
	if t.Timezone != "" {
		words += ", " + t.Timezone
	}
	if t.Missed != "" {
		words += ", missed runs: " + string(t.Missed)
	}
	if t.Disabled {
		words += " (disabled)"
	}
	return words
}

func reason(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

func (a *app) instancesCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "instances [NAME]",
		Aliases: []string{"ps"},
		Short:   "List the instances, of one function or all",
		Long: `List the running instances: what they are doing, how many invocations they hold and
have held, and what they reserve and use of the machine's memory.

An instance with 3/10 in flight has room for seven invocations more. One that has been idle
for a while is frozen: it uses no processor time, and the next invocation thaws it.`,
		Example: `  hearth instances
  hearth instances hello -o json`,
		Args:              atMostOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			name := ""
			if len(args) == 1 {
				name = args[0]
				if _, err := c.function(cmd.Context(), name); err != nil {
					return err
				}
			}
			if a.json() {
				return a.passThrough(cmd, c, instancesPath(name))
			}
			list, err := c.instances(cmd, name)
			if err != nil {
				return err
			}
			return a.printTable(a.instanceTable(list), "No instances. One starts with the first invocation: hearth invoke NAME")
		},
	}
}

func instancesPath(function string) string {
	return "/hearth/v1/instances" + query("function", function)
}

func (c *client) instances(cmd *cobra.Command, function string) ([]hearth.InstanceInfo, error) {
	var list struct {
		Instances []hearth.InstanceInfo `json:"instances"`
	}
	_, err := c.call(cmd.Context(), http.MethodGet, instancesPath(function), nil, &list)
	return list.Instances, err
}

func (a *app) instanceTable(list []hearth.InstanceInfo) *screen.Table {
	t := screen.NewTable("instance", "function", "state", ">in flight", ">served", ">reserved", ">used", ">peak", ">init", "isolation", "last used")
	for _, i := range list {
		t.Row(i.ID, i.Function, screen.Cell{Text: stateWords(&i), Style: stateStyle(i.State)},
			fmt.Sprintf("%d/%d", i.InFlight, i.Slots), i.Invocations, screen.MB(i.MemoryMB), screen.MB(i.UsedMB),
			screen.MB(i.PeakMB), screen.Duration(i.Init), i.Isolation, a.when(i.LastUsed))
	}
	return t
}

// stateWords is what an instance does, and whether it is kept for that.
func stateWords(i *hearth.InstanceInfo) string {
	if i.Provisioned {
		return string(i.State) + ", provisioned"
	}
	return string(i.State)
}

func stateStyle(s hearth.State) screen.Style {
	switch s {
	case hearth.Busy:
		return screen.Green
	case hearth.Starting, hearth.Draining:
		return screen.Yellow
	case hearth.Dead:
		return screen.Red
	case hearth.Frozen:
		return screen.Blue
	}
	return screen.Plain
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the platform at a glance",
		Long: `Show what the platform is made of and how it is doing: isolation, runtimes, memory,
invocations so far, what every function has queued of asynchronous invocations, and how
triggers that listen to NATS are doing.`,
		Example: `  hearth status
  hearth status -o json | jq .reservedMB`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var s hearth.Status
			if printed, err := a.fetch(cmd, c, "/hearth/v1/status", &s); printed || err != nil {
				return err
			}
			return a.printFields(a.statusFields(c, &s))
		},
	}
}

// prewarmedWords tells which sandboxes wait for functions.
func prewarmedWords(list []hearth.PrewarmedInfo) string {
	words, used := make([]string, len(list)), 0
	for i, p := range list {
		words[i] = fmt.Sprintf("%d %s", p.Ready, p.Language)
		if p.MemoryMB > 0 {
			words[i] += " of " + screen.MB(p.MemoryMB)
		}
		used += p.UsedMB
	}
	return strings.Join(words, ", ") + "; they use " + screen.MB(used)
}

func (a *app) statusFields(c *client, s *hearth.Status) []field {
	fields := []field{
		{"endpoint", a.out.Paint(screen.Bold, c.base)},
		{"version", s.Version},
		{"up for", screen.Span(a.now().Sub(s.Started))},
		{"isolation", s.Isolation},
	}
	for _, r := range s.Runtimes {
		fields = append(fields, field{"runtime", r})
	}
	fields = append(fields,
		field{"functions", fmt.Sprint(s.Functions)},
		field{"instances", instancesWords(s)},
		field{"in flight", fmt.Sprintf("%d, and %d waiting", s.InFlight, s.Queued)},
		field{"memory", fmt.Sprintf("%s reserved of %s; Hearth itself uses %s", screen.MB(s.ReservedMB), screen.MB(s.MemoryMB), screen.MB(s.ResidentMB))},
		field{"invocations", fmt.Sprintf("%d: %d cold, %d failed", s.Invocations, s.ColdStarts, s.Failures)},
		field{"refused", fmt.Sprint(s.Throttles)},
	)
	if len(s.Prewarmed) > 0 {
		fields = append(fields, field{"prewarmed", prewarmedWords(s.Prewarmed)})
	}
	for i := range s.Async {
		b := &s.Async[i]
		fields = append(fields, field{"async " + b.Function, a.backlogWords(b)})
	}
	for i := range s.Triggers {
		t := &s.Triggers[i]
		fields = append(fields, field{"trigger " + t.Function + "/" + t.Trigger, a.triggerStatusWords(t)})
	}
	for _, w := range s.Warnings {
		fields = append(fields, field{"warning", a.out.Paint(screen.Yellow, w)})
	}
	return fields
}

func instancesWords(s *hearth.Status) string {
	if s.Frozen > 0 {
		return fmt.Sprintf("%d, %d of them frozen", s.Instances, s.Frozen)
	}
	return fmt.Sprint(s.Instances)
}

// fetch gets a resource into v. For programs it prints the platform's own JSON instead,
// and says so.
func (a *app) fetch(cmd *cobra.Command, c *client, path string, v any) (printed bool, err error) {
	if a.json() {
		return true, a.passThrough(cmd, c, path)
	}
	_, err = c.call(cmd.Context(), http.MethodGet, path, nil, v)
	return false, err
}

// passThrough prints the platform's own JSON, which is the stable form.
func (a *app) passThrough(cmd *cobra.Command, c *client, path string) error {
	var raw json.RawMessage
	if _, err := c.call(cmd.Context(), http.MethodGet, path, nil, &raw); err != nil {
		return err
	}
	return a.printJSON(raw)
}

// when prints a time: how long ago on a terminal, to the millisecond elsewhere.
func (a *app) when(t time.Time) string {
	if a.format == formatTable {
		return screen.Ago(a.now(), t)
	}
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func spanWords(s span) string {
	if d := time.Duration(s); d%time.Second != 0 {
		return d.String()
	}
	return screen.Span(time.Duration(s))
}
