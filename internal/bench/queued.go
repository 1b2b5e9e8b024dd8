package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/async"
	"hearth/internal/hearth"
	"hearth/internal/store"
)

// AsyncQueued is what a long queue costs.
type AsyncQueued struct {
	Events   int           `json:"events"`
	Took     time.Duration `json:"took"`     // to accept them all
	GrowthMB int           `json:"growthMB"` // of the process that accepted them
	BeforeMB int           `json:"beforeMB"` // resident memory of a platform with an empty queue
	AfterMB  int           `json:"afterMB"`  // and of one that was started with them all
	Ready    time.Duration `json:"ready"`    // start of that one to its first healthy answer
	Status   time.Duration `json:"status"`   // to tell where one event is; the median
	AskedMB  int           `json:"askedMB"`  // resident memory after many of these questions, all over the queue
}

// queuedStatuses are asked of the long queue.
const queuedStatuses = 100

// queuedFunction has the long queue.
const queuedFunction = "queued"

// sharedMemory is a file system on which a sync costs nothing.
const sharedMemory = "/dev/shm"

// queuedFolder is where the queue is: in memory if there is room, for what is measured
// has nothing to do with the disk's speed.
func queuedFolder(events int) (string, error) {
	var fs unix.Statfs_t
	need := uint64(events) * 3 * asyncEventBytes
	if err := unix.Statfs(sharedMemory, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) > need+1<<30 {
		return os.MkdirTemp(sharedMemory, "hearth-bench-")
	}
	return os.MkdirTemp("", "hearth-bench-")
}

// measureQueued fills a queue, not by HTTP but by the service itself, and has a platform
// start with it.
func measureQueued(ctx context.Context, cfg Config, events int) (q AsyncQueued, err error) {
	q.Events = events
	dir, err := queuedFolder(events)
	if err != nil {
		return q, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	empty, _, err := withPlatform(ctx, cfg, data, func(p *platform) error { return p.deployHold(queuedFunction) })
	if err != nil {
		return q, err
	}
	q.BeforeMB = empty
	ids, err := fill(ctx, cfg, data, &q)
	if err != nil {
		return q, err
	}
	q.AskedMB, q.Ready, err = withPlatform(ctx, cfg, data, func(p *platform) error {
		status, err := p.status()
		if err != nil {
			return err
		}
		q.AfterMB = status.ResidentMB
		var times []float64
		for _, id := range ids {
			begin := time.Now()
			if _, err := p.call("/hearth/v1/async/events/" + id); err != nil {
				return fmt.Errorf("the status of a queued event: %w", err)
			}
			times = append(times, float64(time.Since(begin)))
		}
		q.Status = time.Duration(median(times))
		return nil
	})
	return q, err
}

// withPlatform does something with a platform on a data directory, and says how much
// memory it had then, and how long it took to start.
func withPlatform(ctx context.Context, cfg Config, data string, do func(*platform) error) (residentMB int, ready time.Duration, err error) {
	p, err := startPlatform(ctx, cfg.Binary, data, cfg.Args...)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := do(p); err != nil {
		return 0, 0, err
	}
	status, err := p.status()
	if err != nil {
		return 0, 0, err
	}
	return status.ResidentMB, p.Ready, nil
}

// fill accepts events as a platform does, and returns the ids of some.
func fill(ctx context.Context, cfg Config, data string, q *AsyncQueued) (ids []string, err error) {
	quiet := slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, store.Config{Dir: filepath.Join(data, "store"), Logger: quiet})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close(ctx)) }()
	service, err := async.New(ctx, st, async.Config{StatusFile: filepath.Join(data, "events"), Log: quiet}, async.Deps{Functions: anyFunction{}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, service.Close(ctx)) }()
	before, err := ownMB()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(cfg.Progress, "queueing %d events\n", q.Events)
	begin := time.Now()
	if ids, err = submitMany(ctx, service, q.Events); err != nil {
		return nil, err
	}
	q.Took = time.Since(begin)
	after, err := ownMB()
	q.GrowthMB = after - before
	return ids, err
}

// submitMany submits n events from many goroutines at once.
func submitMany(ctx context.Context, service *async.Service, n int) (ids []string, err error) {
	const writers = 64
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	payload := []byte(asyncPayload())
	every := max(n/queuedStatuses, 1)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := i; j < n && ctx.Err() == nil; j += writers {
				id := hearth.NewRequestID()
				if err := service.Submit(ctx, async.Event{ID: id, Function: queuedFunction, Payload: payload}); err != nil {
					cancel(err)
				}
				if j%every == 0 {
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return ids, context.Cause(ctx)
}

// anyFunction stands for the platform's functions: every name is one.
type anyFunction struct{}

// Resolve implements async.Functions.
func (anyFunction) Resolve(name, _ string) (*hearth.Function, *hearth.Version, error) {
	f := &hearth.Function{Name: name}
	f.Latest.Config.Normalize()
	return f, &f.Latest, nil
}

// ownMB is the resident memory of this process, without what it has no use for.
func ownMB() (int, error) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm: %q", text)
	}
	pages, err := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize() >> 20, err
}
