package pool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"hearth/internal/hearth"
)

// The golden files under testdata hold pictures over virtual time. Commands:
//
//	node memory=MB [disk=MB] [queue=N] [wait=D] [order=queue] [freeze=D]     a new, empty node
//	function name=F [model=concurrent] [slots=N] [memory=MB] [disk=MB] [keepalive=D] [init=D] [fails=N] [nofreeze]
//	run until=D step=D [log]                            one line of input per row of invocations:
//	    F at=D [n=N] [every=D] [for=D] [timeout=D]
//	    provision F at=D n=N                            or a promise of N instances
//	    crash F/N at=D                                  or the end of an instance by itself
//
// run draws a line per instance, a character per step: s starting, - idle (= if
// provisioned), z frozen (Z if provisioned), digits invocations in flight, d draining,
// and at the end why it ended. With log it tells what became of each invocation.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "node":
				w = newWorld(t, d)
			case "function":
				w.function(d)
			case "run":
				return w.run(d)
			default:
				t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			}
			return ""
		})
	})
}

// world plays clients, sandboxes and clock around a pool.
type world struct {
	t      *testing.T
	p      *Pool
	now    time.Time
	events []event
	seq    int
	fns    map[string]*function
	diskMB int
	rows   []*row
	log    []string

	said     string // last
	repeated int
}

type event struct {
	at  time.Time
	seq int
	do  func()
}

type function struct {
	*Group
	disk  int
	init  time.Duration
	fails int
	calls int
}

type row struct {
	inst    *Instance
	picture strings.Builder
	gone    bool
}

type request struct {
	Waiter
	name          string
	fn            *function
	took, timeout time.Duration
}

func newWorld(t *testing.T, d *datadriven.TestData) *world {
	cfg := Config{
		MemoryMB:     number(t, d, "memory", 0),
		QueueLength:  number(t, d, "queue", 0),
		QueueTimeout: span(t, d, "wait", 0),
		FreezeAfter:  span(t, d, "freeze", 0),
	}
	if word(t, d, "order", "stack") == "queue" {
		cfg.Order = Queue
	}
	return &world{t: t, p: New(cfg), now: epoch, fns: map[string]*function{}, diskMB: number(t, d, "disk", 0)}
}

func (w *world) function(d *datadriven.TestData) {
	name := word(w.t, d, "name", "f")
	v := version(name, hearth.Model(word(w.t, d, "model", "exclusive")), number(w.t, d, "slots", 10), number(w.t, d, "memory", 128))
	v.Config.KeepAlive = span(w.t, d, "keepalive", hearth.DefaultKeepAlive)
	v.Config.NoFreeze = d.HasArg("nofreeze")
	w.fns[name] = &function{Group: w.p.Group(v), disk: number(w.t, d, "disk", 0), init: span(w.t, d, "init", time.Second), fails: number(w.t, d, "fails", 0)}
}

func (w *world) at(at time.Time, do func()) {
	w.seq++
	w.events = append(w.events, event{at, w.seq, do})
}

func (w *world) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if text == w.said {
		w.repeated++
		return
	}
	w.pause()
	w.log = append(w.log, fmt.Sprintf("%6s %s", w.now.Sub(epoch), text))
	w.said = text
}

// pause notes how often the last words were repeated.
func (w *world) pause() {
	if w.repeated > 0 {
		w.log = append(w.log, fmt.Sprintf("       … and %d times more", w.repeated))
	}
	w.repeated = 0
}

func (w *world) run(d *datadriven.TestData) string {
	end := epoch.Add(span(w.t, d, "until", 0))
	step := span(w.t, d, "step", time.Second)
	for line := range strings.Lines(d.Input) {
		w.schedule(strings.TrimSpace(line), end)
	}
	for tick := w.now; !tick.After(end); tick = tick.Add(step) {
		w.advance(tick)
		for _, r := range w.rows {
			r.draw()
		}
	}
	var out strings.Builder
	if w.pause(); d.HasArg("log") {
		fmt.Fprintln(&out, strings.Join(w.log, "\n"))
	}
	for _, r := range w.rows {
		fmt.Fprintf(&out, "%-8s %s\n", r.inst.ID, strings.TrimRight(r.picture.String(), " "))
	}
	stats := w.p.Stats()
	fmt.Fprintf(&out, "%d MB reserved, %d starts, %d refused, %d reaped, %d evicted\n",
		stats.ReservedMB, stats.Starts, stats.Refused, stats.Reaped, stats.Evicted)
	return out.String()
}

// advance lets everything happen that does until then, in order.
func (w *world) advance(until time.Time) {
	for {
		slices.SortFunc(w.events, func(a, b event) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq)) })
		look, ok := w.p.NextExpiry()
		ok = ok && !look.After(until)
		switch {
		case len(w.events) > 0 && !w.events[0].at.After(until) && (!ok || !look.Before(w.events[0].at)):
			e := w.events[0]
			w.events = w.events[1:]
			w.now = e.at
			e.do()
		case ok:
			w.now = look
			w.expire()
		default:
			w.now = until
			return
		}
	}
}

func (w *world) expire() {
	exp := w.p.Expire(w.now)
	for _, inst := range exp.Reaped {
		w.destroy(inst)
	}
	for _, inst := range exp.Frozen {
		w.say("%s is frozen", inst.ID)
	}
	for _, r := range exp.Refused {
		w.refused(r.Waiter.Value.(*request), r.Err)
	}
	for _, g := range exp.Start {
		w.start(w.fns[g.version.Function])
	}
}

func (w *world) schedule(line string, end time.Time) {
	words := strings.Fields(line)
	verb := words[0]
	if verb == "provision" || verb == "crash" {
		words = words[1:]
	}
	fn := w.fns[words[0]]
	args := map[string]string{}
	for _, a := range words[1:] {
		k, v, _ := strings.Cut(a, "=")
		args[k] = v
	}
	get := func(key, or string) time.Duration {
		v, err := time.ParseDuration(cmp.Or(args[key], or))
		if err != nil {
			w.t.Fatal(err)
		}
		return v
	}
	n := 1
	if args["n"] != "" {
		fmt.Sscan(args["n"], &n)
	}
	switch verb {
	case "provision":
		w.at(epoch.Add(get("at", "0s")), func() { w.provision(fn, n) })
		return
	case "crash":
		w.at(epoch.Add(get("at", "0s")), func() { w.crash(words[0]) })
		return
	}
	for at := epoch.Add(get("at", "0s")); !at.After(end); at = at.Add(get("every", "9999h")) {
		for range n {
			w.at(at, func() { w.invoke(fn, get("for", "1s"), get("timeout", "15m")) })
		}
	}
}

func (w *world) provision(fn *function, n int) {
	w.say("%s: %d provisioned", fn.version.Function, n)
	for range fn.Provision(w.now, n) {
		w.start(fn)
	}
}

// crash ends an instance that must be warm then.
func (w *world) crash(id string) {
	for _, r := range w.rows {
		if r.inst.ID == id && r.inst.Reason() == "" {
			w.carryOut(w.fns[r.inst.group.version.Function], r.inst, r.inst.Lost(w.now, hearth.EndCrashed))
			return
		}
	}
	w.t.Fatalf("%s cannot crash", id)
}

func (w *world) invoke(fn *function, took, timeout time.Duration) {
	fn.calls++
	r := &request{name: fmt.Sprintf("%s#%d", fn.version.Function, fn.calls), fn: fn, took: took, timeout: timeout}
	r.Value = r
	lease, start, err := fn.Acquire(w.now, &r.Waiter)
	switch {
	case err != nil:
		w.refused(r, err)
	case lease.Instance != nil:
		w.serve(r, lease)
	case start:
		w.say("%s waits, an instance is started", r.name)
		w.start(fn)
	default:
		w.say("%s waits", r.name)
	}
}

func (w *world) refused(r *request, err error) { w.say("%s refused: %v", r.name, err) }

func (w *world) serve(r *request, lease Lease) {
	how := "warm"
	switch {
	case lease.Cold:
		how = "cold"
	case lease.Thaw:
		how = "thawed"
	}
	w.say("%s runs on %s, its number %d, %s", r.name, lease.Instance.ID, lease.Seq, how)
	ends := w.now.Add(min(r.took, r.timeout))
	if r.took > r.timeout {
		w.at(ends, func() {
			w.say("%s timed out on %s", r.name, lease.Instance.ID)
			w.carryOut(r.fn, lease.Instance, lease.Instance.Retire(w.now, hearth.EndTimedOut))
		})
	}
	w.at(ends, func() {
		next, destroy := lease.Release(w.now)
		if next.Waiter != nil {
			w.serve(next.Waiter.Value.(*request), next.Lease)
		}
		if destroy {
			w.destroy(lease.Instance)
		}
	})
}

func (w *world) start(fn *function) {
	res, victims, err := w.p.Reserve(fn.Group, Disk{NeedMB: fn.disk, TotalMB: w.diskMB, Full: errDiskFull})
	if err != nil {
		w.say("%s: start refused", fn.version.Function)
		w.carryOut(fn, nil, fn.StartAborted(w.now, err))
		return
	}
	for _, v := range victims.Instances {
		w.destroy(v)
	}
	inst := fn.Starting(w.now, fmt.Sprintf("%s/%d", fn.version.Function, fn.made+1), nil, res)
	w.rows = append(w.rows, &row{inst: inst})
	r := w.rows[len(w.rows)-1]
	var past int // the steps before it existed
	if len(w.rows) > 1 {
		past = len([]rune(w.rows[0].picture.String()))
	}
	r.picture.WriteString(strings.Repeat(" ", past))
	w.at(w.now.Add(fn.init), func() {
		if fn.fails > 0 {
			fn.fails--
			w.say("%s failed to start", inst.ID)
			w.carryOut(fn, inst, inst.StartFailed(w.now, Failure{Err: errors.New("module not found")}))
			return
		}
		w.carryOut(fn, inst, inst.Ready(w.now))
	})
}

func (w *world) carryOut(fn *function, inst *Instance, out Outcome) {
	for _, g := range out.Grants {
		w.serve(g.Waiter.Value.(*request), g.Lease)
	}
	for _, f := range out.Fail {
		w.refused(f.Value.(*request), out.Err)
	}
	if out.Destroy {
		w.destroy(inst)
	}
	for range out.Start {
		w.start(fn)
	}
}

func (w *world) destroy(inst *Instance) {
	w.say("%s %s", inst.ID, inst.Reason())
	inst.Reservation().Release()
	fn := w.fns[inst.group.version.Function]
	for range fn.Refill(w.now) {
		w.start(fn)
	}
}

func (r *row) draw() {
	if r.gone {
		r.picture.WriteByte(' ')
		return
	}
	info := r.inst.Info()
	switch info.State {
	case hearth.Starting:
		r.picture.WriteByte('s')
	case hearth.Idle:
		r.picture.WriteByte(mark(info.Provisioned, '-', '='))
	case hearth.Frozen:
		r.picture.WriteByte(mark(info.Provisioned, 'z', 'Z'))
	case hearth.Busy:
		r.picture.WriteString(fmt.Sprintf("%x", info.InFlight))
	case hearth.Draining:
		r.picture.WriteByte('d')
	case hearth.Dead:
		r.gone = true
		r.picture.WriteString(" " + r.inst.Reason())
	}
}

func mark(provisioned bool, ordinary, promised byte) byte {
	if provisioned {
		return promised
	}
	return ordinary
}

func word(t *testing.T, d *datadriven.TestData, key, or string) string {
	t.Helper()
	if d.HasArg(key) {
		d.ScanArgs(t, key, &or)
	}
	return or
}

func number(t *testing.T, d *datadriven.TestData, key string, or int) int {
	t.Helper()
	if d.HasArg(key) {
		d.ScanArgs(t, key, &or)
	}
	return or
}

func span(t *testing.T, d *datadriven.TestData, key string, or time.Duration) time.Duration {
	t.Helper()
	got, err := time.ParseDuration(word(t, d, key, or.String()))
	if err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	return got
}
