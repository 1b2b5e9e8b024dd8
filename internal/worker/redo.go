package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/pool"
)

// An init may take 10 s. On Lambda one that takes longer is stopped, and done again as a
// part of the first invocation, with the function's own time-out as its limit (recorded
// behaviour). So a function whose init needs 15 s works if its time-out is long enough.
// Provisioned instances, for which nobody waits, have 130 s, or the function's time-out if
// that is longer, and no second try.

// provisionedInits is how many times the usual limit a provisioned instance has.
const provisionedInits = 13

// lateInit is an init that took longer than its limit.
type lateInit struct{ limit time.Duration }

func (e *lateInit) Error() string {
	return fmt.Sprintf("Init timed out after %.2f seconds", e.limit.Seconds())
}

func late(err error) bool {
	var l *lateInit
	return errors.As(err, &l)
}

// initLimit is how long the first init of an instance may take. Whoever waits for it all
// the same is not refused before.
func (w *Worker) initLimit(inst *instance) time.Duration {
	if !inst.pooled.Provisioned() {
		return w.cfg.InitTimeout
	}
	limit := max(provisionedInits*w.cfg.InitTimeout, inst.version.Config.Timeout)
	inst.pooled.Prolong(time.Now().Add(limit + destroyTimeout))
	return limit
}

// initTimedOut is the failure of an init that took too long; words tell of the limits.
func initTimedOut(v *hearth.Version, words string) error {
	words += ". Do less outside the handler, or give the function a longer timeout."
	if language, err := hearth.Language(v.Config.Runtime); err == nil && language == hearth.LangCustom {
		words += " The init of a bootstrap ends when it calls /2018-06-01/runtime/invocation/next, and every extension /2020-01-01/extension/event/next."
	}
	return &initFailure{doc: encode(hearth.FailureDoc{ErrorType: hearth.TypeTimedOut, ErrorMessage: words}), err: errors.New(words)}
}

// redo does an init again that took too long, in a new sandbox, unless nobody wants the
// instance any more.
func (w *Worker) redo(ctx context.Context, inst *instance, first error) error {
	inst.reportInit(inst.initTook, "init", "timeout")
	if inst.pooled.Provisioned() {
		return initTimedOut(inst.version, first.Error())
	}
	limit := inst.version.Config.Timeout
	began := time.Now()
	failed := initTimedOut(inst.version, fmt.Sprintf("Error: Task timed out after %.2f seconds. %v before that, and was begun again as part of the invocation", limit.Seconds(), first))
	if !inst.pooled.Prolong(began.Add(limit + destroyTimeout)) {
		return failed
	}
	inst.shown.Store(nil)
	inst.remove(w)
	inst.conn, inst.sb, inst.releaseCode, inst.outputRead = nil, nil, nil, make(chan struct{})
	if err := w.makeSandbox(ctx, inst); err != nil {
		return err
	}
	err := w.initialise(ctx, inst, limit-time.Since(began))
	inst.redone = time.Since(began)
	inst.initTook = inst.redone
	if late(err) {
		inst.reportInit(inst.redone, "invoke", "timeout")
		return failed
	}
	return err
}

// reportInit writes Lambda's line about an init that is not told of by a REPORT line.
func (inst *instance) reportInit(took time.Duration, phase, status string) {
	inst.log.Platform(time.Now(), fmt.Sprintf("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s",
		float64(took.Microseconds())/1000, phase, status))
}

// initReport is the init duration of an instance's first REPORT line: none if the init
// was done again, since that is part of the duration.
func (inst *instance) initReport() time.Duration {
	if inst.redone > 0 {
		return 0
	}
	return inst.initTook
}

// chargedFrom is when an invocation that has waited until now begins: where its instance
// did the init again, that is a part of the first invocation.
func (inst *instance) chargedFrom(lease pool.Lease, arrived, now time.Time) time.Time {
	if lease.Seq != 1 || inst.redone == 0 {
		return now
	}
	if began := now.Add(-inst.redone); began.After(arrived) {
		return began
	}
	return arrived
}
