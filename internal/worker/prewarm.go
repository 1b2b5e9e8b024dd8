package worker

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/policy"
	"hearth/internal/sandbox"
)

// Prewarming says which sandboxes wait for functions.
type Prewarming struct {
	// Floor is how many wait per kind of function that is in use; more after bursts of
	// cold starts. 0: none.
	Floor int
	// Deployed lists the versions that a name stands for; nil means none. It may take
	// long, and is called from one goroutine.
	Deployed func() iter.Seq[*hearth.Version]
	// Busy tells whether the node's processors are, which may take some time; nil asks
	// the kernel.
	Busy func(context.Context) bool
}

const (
	// budgetPart is the part of the node's memory that waiting sandboxes may use.
	budgetPart = 8
	// firstGuessMB is what a waiting sandbox is taken to use before one was measured. Node
	// uses 7 MB and Python 4, for most of an interpreter is its file, which all share.
	firstGuessMB = 16
	// measureEvery is how old the charge of a waiting sandbox may be.
	measureEvery = 5 * time.Second
)

// blanks keeps sandboxes that wait for functions. Its goroutine, run, makes them one at
// a time and removes those that are too many.
type blanks struct {
	w      *Worker
	driver sandbox.Preparer // nil: there never are any
	cfg    Prewarming
	wake   chan struct{}

	mu      sync.Mutex
	policy  *policy.Prewarm
	waiting map[policy.Kind][]*blank // the oldest, which has surely loaded all, is first
	sizes   map[policy.Kind]int      // MiB that one uses, as last seen
	changed bool                     // which functions are deployed
	known   map[string]bool          // those that were, by version ID; run's alone
	closed  bool
}

func newBlanks(w *Worker, cfg Prewarming) *blanks {
	if cfg.Busy == nil {
		cfg.Busy = processorsBusy
	}
	b := &blanks{
		w: w, cfg: cfg, wake: make(chan struct{}, 1),
		waiting: map[policy.Kind][]*blank{}, sizes: map[policy.Kind]int{}, changed: true,
		policy: policy.NewPrewarm(policy.PrewarmConfig{Floor: cfg.Floor, BudgetMB: w.cfg.MemoryMB / budgetPart}),
	}
	if cfg.Floor > 0 {
		b.driver, _ = w.cfg.Driver.(sandbox.Preparer)
	}
	return b
}

// Prewarm starts to keep sandboxes ready, in the background, until Close. Call it once,
// when the node is ready for invocations.
func (w *Worker) Prewarm() {
	if w.blanks.driver != nil {
		w.tasks.Go(w.blanks.run)
	}
}

// Redeployed tells that Prewarming.Deployed has something new to say. It does not wait.
func (w *Worker) Redeployed() {
	b := w.blanks
	b.mu.Lock()
	b.changed = true
	b.mu.Unlock()
	b.poke()
}

// Prewarmed describes the sandboxes that wait.
func (w *Worker) Prewarmed() []hearth.PrewarmedInfo {
	b := w.blanks
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []hearth.PrewarmedInfo
	for kind, waiting := range b.waiting {
		if n := len(waiting); n > 0 {
			list = append(list, hearth.PrewarmedInfo{
				Language: kind.Language, MemoryMB: kind.MemoryMB, Ready: n, UsedMB: n * b.sizeLocked(kind),
			})
		}
	}
	slices.SortFunc(list, func(a, b hearth.PrewarmedInfo) int {
		return cmp.Or(cmp.Compare(a.Language, b.Language), cmp.Compare(a.MemoryMB, b.MemoryMB))
	})
	return list
}

func (b *blanks) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns a sandbox that may become an instance of v, or nil if none waits.
func (b *blanks) take(v *hearth.Version) *blank {
	kind, ok := kindOf(v)
	if b.driver == nil || !ok {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.waiting[kind]
	for i, one := range list {
		if !one.ended() {
			b.waiting[kind] = slices.Delete(slices.Clone(list), i, i+1)
			return one
		}
	}
	return nil
}

// wanted tells of a cold start of v, whether or not a sandbox was there for it.
func (b *blanks) wanted(v *hearth.Version) {
	kind, ok := kindOf(v)
	if b.driver == nil || !ok {
		return
	}
	b.mu.Lock()
	b.policy.Wanted(time.Now(), kind)
	b.mu.Unlock()
	b.poke()
}

// give takes back a sandbox that was taken in vain.
func (b *blanks) give(one *blank) {
	if one == nil {
		return
	}
	b.mu.Lock()
	wanted := !b.closed && !one.doomed
	if wanted {
		b.waiting[one.kind] = append(b.waiting[one.kind], one)
	}
	b.mu.Unlock()
	if !wanted {
		b.remove(one)
	}
}

// evict removes a sandbox that has to make room, whether it waits or is just being made,
// and waits until it is gone.
func (b *blanks) evict(one *blank) {
	b.mu.Lock()
	one.doomed = true
	b.dropLocked(one)
	b.mu.Unlock()
	one.cancel()
	<-one.made
	b.remove(one)
}

// popLocked takes out the youngest.
func (b *blanks) popLocked(kind policy.Kind) (one *blank) {
	list := b.waiting[kind]
	if len(list) == 0 {
		return nil
	}
	last := len(list) - 1
	b.waiting[kind] = slices.Clone(list[:last])
	return list[last]
}

func (b *blanks) remove(one *blank) {
	if err := one.destroy(); err != nil {
		b.w.cfg.Log.Error("prewarmed sandbox not removed cleanly", "sandbox", one.id, "err", err)
	}
}

// run keeps as many waiting as the policy wants, until the worker's context ends.
func (b *blanks) run() {
	defer b.close()
	ctx := b.w.ctx
	timer := time.NewTimer(0)
	defer timer.Stop()
	var measured time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-timer.C:
		}
		if time.Since(measured) >= measureEvery {
			measured = time.Now()
			b.measure()
		}
		rest := b.rest()
		for ctx.Err() == nil {
			again, idle := b.step(ctx)
			if idle {
				if !again.IsZero() {
					rest = min(rest, max(time.Until(again), time.Millisecond))
				}
				break
			}
		}
		timer.Reset(rest)
	}
}

// rest is when to look again if nothing happens: an idle platform does not wake up
// often, and one without waiting sandboxes hardly ever.
func (b *blanks) rest() time.Duration {
	if len(b.all()) == 0 {
		return time.Minute
	}
	return measureEvery
}

// step does one thing that the policy wants. When there is nothing to do it tells when
// to ask again.
func (b *blanks) step(ctx context.Context) (again time.Time, idle bool) {
	plan := b.plan()
	if plan.Make != nil {
		if again, wait := b.putOff(b.cfg.Busy(ctx)); wait {
			return again, true
		}
		plan = b.plan() // that took its time
	}
	switch {
	case plan.Stop != nil:
		b.mu.Lock()
		one := b.popLocked(*plan.Stop)
		b.mu.Unlock()
		if one != nil {
			b.remove(one)
		}
	case plan.Make != nil:
		b.make(ctx, *plan.Make)
	default:
		return plan.Again, true
	}
	return again, false
}

func (b *blanks) putOff(busy bool) (again time.Time, wait bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.policy.PutOff(time.Now(), busy)
}

func (b *blanks) plan() policy.Plan {
	if b.w.closing.Load() {
		return policy.Plan{}
	}
	b.learn()
	free := b.w.pool.FreeMB()
	b.mu.Lock()
	defer b.mu.Unlock()
	node := policy.Node{Have: map[policy.Kind]int{}, NextMB: b.sizeLocked, FreeMB: free}
	for kind, list := range b.waiting {
		if len(list) > 0 {
			node.Have[kind] = len(list)
			node.UsedMB += len(list) * b.sizeLocked(kind)
		}
	}
	return b.policy.Plan(time.Now(), node)
}

func (b *blanks) sizeLocked(kind policy.Kind) int { return cmp.Or(b.sizes[kind], firstGuessMB) }

// learn tells the policy which kinds of functions there are, if that has changed.
func (b *blanks) learn() {
	b.mu.Lock()
	changed := b.changed
	b.changed = false
	b.mu.Unlock()
	if !changed || b.cfg.Deployed == nil {
		return
	}
	kinds, known := map[policy.Kind]bool{}, map[string]bool{}
	var fresh []policy.Kind
	for v := range b.cfg.Deployed() {
		kind, ok := kindOf(v)
		if !ok {
			continue
		}
		kinds[kind], known[v.ID()] = true, true
		if b.known != nil && !b.known[v.ID()] {
			fresh = append(fresh, kind)
		}
	}
	b.known = known
	b.mu.Lock()
	defer b.mu.Unlock()
	b.policy.Deployed(slices.Collect(maps.Keys(kinds)))
	for _, kind := range fresh {
		b.policy.Expected(time.Now(), kind)
	}
}

// errNoSpare: a sandbox that nobody waits for takes no room from anybody.
var errNoSpare = errors.New("there is not enough memory or disk free for another")

// make adds one sandbox.
func (b *blanks) make(ctx context.Context, kind policy.Kind) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	one := &blank{id: hearth.NewInstanceID(), kind: kind, since: time.Now(), cancel: cancel, made: make(chan struct{})}
	defer close(one.made)
	err := b.begin(ctx, one)
	switch {
	case errors.Is(err, sandbox.ErrNoBlanks):
		b.w.cfg.Log.Info("no sandboxes are prewarmed", "why", err)
	case errors.Is(err, errNoSpare) || hearth.CodeOf(err) == hearth.ErrCapacity:
		b.w.cfg.Log.Debug("no more sandboxes are prewarmed", "why", err)
	case err != nil && ctx.Err() == nil:
		b.w.cfg.Log.Warn("a sandbox could not be prewarmed", "language", kind.Language, "err", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.policy.Failed(time.Now())
		return
	}
	if one.doomed {
		return // who wants its room removes it
	}
	b.waiting[kind] = append(b.waiting[kind], one)
	b.w.cfg.Log.Debug("sandbox prewarmed", "sandbox", one.id, "language", kind.Language, "took", time.Since(one.since))
}

// begin reserves room for a sandbox and makes it.
func (b *blanks) begin(ctx context.Context, one *blank) error {
	disk, err := b.w.disk(hearth.DefaultTmpMB)
	if err != nil {
		return err
	}
	b.mu.Lock()
	mb := b.sizeLocked(one.kind)
	b.mu.Unlock()
	var ok bool
	if one.spare, ok = b.w.pool.Spare(mb, disk, one.kind, one); !ok {
		return errNoSpare
	}
	err = b.w.fillBlank(ctx, b.driver, one)
	if err != nil {
		one.spare.Release()
	}
	return err
}

// measure charges every sandbox that waits for what it uses, and removes those that
// have ended.
func (b *blanks) measure() {
	for _, one := range b.all() {
		if one.ended() {
			if b.drop(one) {
				b.w.cfg.Log.Warn("a prewarmed sandbox has ended", "sandbox", one.id, "exit", one.sb.Exit())
				b.remove(one)
			}
			continue
		}
		if used := one.charge(); used > 0 {
			b.mu.Lock()
			if time.Since(one.since) > measureEvery { // the shim has been loaded
				b.sizes[one.kind] = used
			}
			b.mu.Unlock()
		}
	}
}

// all lists the sandboxes that wait.
func (b *blanks) all() []*blank {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Concat(slices.Collect(maps.Values(b.waiting))...)
}

// drop takes one out of those that wait; false if somebody else has.
func (b *blanks) drop(one *blank) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropLocked(one)
}

func (b *blanks) dropLocked(one *blank) bool {
	i := slices.Index(b.waiting[one.kind], one)
	if i >= 0 {
		b.waiting[one.kind] = slices.Delete(slices.Clone(b.waiting[one.kind]), i, i+1)
	}
	return i >= 0
}

// close destroys what waits; what is given back later goes at once.
func (b *blanks) close() {
	b.mu.Lock()
	b.closed = true
	left := slices.Concat(slices.Collect(maps.Values(b.waiting))...)
	clear(b.waiting)
	b.mu.Unlock()
	for _, one := range left {
		b.remove(one)
	}
}
