package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"hearth/internal/api"
	"hearth/internal/async"
	"hearth/internal/code"
	"hearth/internal/events"
	"hearth/internal/hearth"
	"hearth/internal/invoke"
	"hearth/internal/logs"
	"hearth/internal/loop"
	"hearth/internal/registry"
	"hearth/internal/sandbox"
	"hearth/internal/sandbox/rootfs"
	"hearth/internal/store"
	"hearth/internal/trigger/subject"
	"hearth/internal/worker"
)

// Platform is a running Hearth.
type Platform struct {
	cfg      Config
	started  time.Time
	runtimes []rootfs.Runtime
	warnings []string

	listener    net.Listener
	certificate *certificate // nil: no TLS
	loops       *loop.Group
	store       *store.Store
	registry    *registry.Registry
	cache       *code.Cache
	logs        *logs.Logs
	events      *events.Ring
	driver      sandbox.Driver
	worker      *worker.Worker
	follower    *follower
	invoke      *invoke.Service
	async       *async.Service
	bus         *store.Bus
	subjects    *subject.Service
	triggers    triggers
	backups     *backups
	server      *api.Server

	// stops undoes what has been started, last first.
	stops  []stop
	served chan error
}

type stop struct {
	what string
	do   func(ctx context.Context) error
	// drains: it waits for invocations.
	drains bool
}

// closeTimeout is what a room gets to close in when the drain timeout has been used up.
const closeTimeout = 10 * time.Second

// run undoes one thing. Invocations share the drain timeout; what has to be put away
// after them has some time in any case.
func (s stop) run(drain context.Context) error {
	if drain.Err() == nil || s.drains {
		return s.do(drain)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(drain), closeTimeout)
	defer cancel()
	return s.do(ctx)
}

func (p *Platform) onStop(what string, do func(context.Context) error) {
	p.stops = append(p.stops, stop{what: what, do: do})
}

// Start builds a platform and opens its doors. It blocks until the platform is ready.
// What it has started is stopped again if it fails.
func Start(ctx context.Context, cfg Config) (*Platform, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	p := &Platform{cfg: cfg, started: time.Now(), served: make(chan error, 1)}
	for _, step := range []func(context.Context) error{
		p.listen, p.openLoops, p.openStore, p.openSandboxes, p.openRegistry, p.awaitAsync, p.openWorker, p.openAsync, p.openTriggers, p.openBackups, p.serve,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, p.Stop())
		}
	}
	p.follower.provisionAll() // these two come last: nobody waits for them
	p.worker.Prewarm()
	return p, nil
}

// listen comes first: a port in use is the most common mistake, and costs nothing to
// find out.
func (p *Platform) listen(ctx context.Context) error {
	certificate, err := loadCertificate(p.cfg.TLSCert, p.cfg.TLSKey)
	if err != nil {
		return err
	}
	p.certificate = certificate
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", p.cfg.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; choose another address with --listen", p.cfg.Listen, err)
	}
	p.listener = l
	p.onStop("listener", func(context.Context) error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

// processorsPerLoop: what a loop reads makes work for the processors beside its own.
const processorsPerLoop = 4

func (p *Platform) openLoops(context.Context) (err error) {
	p.loops, err = loop.NewGroup(max(1, runtime.GOMAXPROCS(0)/processorsPerLoop))
	if err != nil {
		return err
	}
	p.onStop("loops", func(context.Context) error { p.loops.Close(); return nil })
	return nil
}

func (p *Platform) openStore(ctx context.Context) error {
	if err := os.MkdirAll(p.cfg.DataDir, 0o711); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	conf := store.Config{Dir: p.cfg.path("store"), Logger: p.cfg.Log}
	if p.cfg.NATSURL != "" {
		conf = store.Config{URL: p.cfg.NATSURL, Logger: p.cfg.Log}
	}
	s, err := store.Open(ctx, conf)
	if err != nil {
		return err
	}
	p.store = s
	p.onStop("store", s.Close)
	if err := p.openBus(ctx); err != nil {
		return err
	}
	sink, err := logs.OpenDir(p.cfg.path("logs"), 0)
	if err != nil {
		return err
	}
	p.logs = logs.New(logs.Config{Sink: sink, Logger: p.cfg.Log})
	p.onStop("logs", func(context.Context) error { p.logs.Close(); return nil })
	p.events = events.New()
	return nil
}

// openSandboxes chooses the isolation and removes what a killed platform left behind.
func (p *Platform) openSandboxes(ctx context.Context) error {
	p.runtimes = p.cfg.runtimes(ctx)
	driver, warnings, err := p.cfg.driver(p.runtimes)
	if err != nil {
		return err
	}
	p.driver = driver
	p.warnings = slices.Concat(p.cfg.cautions(p.listener.Addr(), machineMB()), warnings, driver.Isolation().Missing())
	if words := p.certificate.caution(time.Now()); words != "" {
		p.warnings = append(p.warnings, words)
	}
	p.onStop("sandboxes", func(context.Context) error { return driver.Close() })
	if !driver.Isolation().FileSystem && !loopback(p.listener.Addr()) {
		return fmt.Errorf("isolation %q is refused on %s: functions would run as plain processes for whoever can reach it. "+
			"Listen on 127.0.0.1, or run as root with runc installed", driver.Name(), p.listener.Addr())
	}
	n, err := driver.Recover(ctx)
	if err != nil {
		return fmt.Errorf("remove what an earlier platform left behind: %w", err)
	}
	if n > 0 {
		p.cfg.Log.Info("removed sandboxes of a platform that was killed", "count", n)
	}
	return nil
}

func (p *Platform) openRegistry(ctx context.Context) error {
	r, err := registry.New(ctx, p.store, registry.Config{Region: p.cfg.Region, Account: p.cfg.Account,
		Logger: p.cfg.Log, SharedStore: p.cfg.NATSURL != ""})
	if err != nil {
		return err
	}
	p.registry = r
	p.onStop("registry", func(context.Context) error { r.Close(); return nil })
	cache, err := code.NewCache(p.cfg.path("code"), p.fetch, code.Options{Log: p.cfg.Log})
	if err != nil {
		return err
	}
	p.cache = cache
	p.onStop("code cache", func(context.Context) error { cache.Close(); return nil })
	return nil
}

// fetch brings an archive from the store for the code cache.
func (p *Platform) fetch(ctx context.Context, digest string, w io.Writer) error {
	r, err := p.registry.OpenCode(ctx, digest)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

func (p *Platform) openWorker(context.Context) error {
	interpreters := map[string]string{}
	for _, r := range p.runtimes {
		interpreters[r.Name] = r.Path
	}
	w, err := worker.New(worker.Config{
		MemoryMB: p.cfg.MemoryMB, QueueLength: p.cfg.QueueLength, QueueTimeout: p.cfg.QueueTimeout, FreezeAfter: p.cfg.FreezeAfter,
		Region: p.cfg.Region, Account: p.cfg.Account, ShimDir: p.cfg.path("runtime"),
		Interpreters: interpreters, Driver: p.driver, Loops: p.loops, Code: p.cache, Logs: p.logs, Events: p.events, Log: p.cfg.Log,
		InUse: p.inUse, Prewarming: worker.Prewarming{Floor: p.cfg.Prewarm, Deployed: p.deployed},
	})
	if err != nil {
		return err
	}
	p.worker = w
	p.stops = append(p.stops, stop{what: "worker", do: w.Close, drains: true})
	p.invoke = invoke.New(p.registry, w, invoke.Config{})
	f := follow(p.registry, w, p.invoke, p.logs, p.events, p.cfg.Log)
	p.follower = f
	p.onStop("follower", func(context.Context) error { f.close(); return nil })
	return nil
}

// inUse tells whether a name still stands for a version.
func (p *Platform) inUse(v *hearth.Version) bool {
	f, err := p.registry.Get(v.Function)
	return err == nil && f.Has(v.ID())
}

// deployed lists the versions that a name stands for.
func (p *Platform) deployed() iter.Seq[*hearth.Version] {
	return func(yield func(*hearth.Version) bool) {
		for _, f := range p.registry.List() {
			for _, v := range append(f.Versions[:len(f.Versions):len(f.Versions)], &f.Latest) {
				if !yield(v) {
					return
				}
			}
		}
	}
}

func (p *Platform) serve(context.Context) error {
	p.server = api.New(api.Config{Loops: p.loops, Region: p.cfg.Region, Account: p.cfg.Account,
		CheckHost: p.cfg.checksHost(p.listener.Addr()), AllowedHosts: p.cfg.AllowedHosts, AccessKeys: p.cfg.AccessKeys,
		TLS: p.certificate.config(), AccountLimit: invoke.DefaultAccountLimit, Log: p.cfg.Log}, api.Deps{
		Functions: p.registry, Invoker: p.invoke, Async: p.async, Platform: p, Logs: p.logs, Events: p.events, Backups: p.backups,
		Triggers: p.triggers,
	})
	go func() { p.served <- p.server.Serve(p.listener) }()
	p.stops = append(p.stops, stop{what: "server", drains: true, do: func(ctx context.Context) error {
		err := p.server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil // the callers were cut off; the worker says so to each function
		}
		return errors.Join(err, <-p.served)
	}})
	return nil
}

// Addr is where the platform listens.
func (p *Platform) Addr() net.Addr { return p.listener.Addr() }

// BusAddr is where the built-in NATS takes messages for triggers; nil if it does not.
func (p *Platform) BusAddr() net.Addr { return p.bus.Addr() }

// Wait blocks until ctx ends or the server fails by itself.
func (p *Platform) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.served:
		p.served <- err // Stop takes it again
		return err
	}
}

// Stop refuses new invocations, lets those under way finish within the drain timeout,
// and removes everything the platform made, last made first. Stopping again is
// harmless.
func (p *Platform) Stop() error {
	drain, cancel := context.WithTimeout(context.Background(), p.cfg.DrainTimeout)
	defer cancel()
	if p.async != nil {
		p.async.Pause() // what is queued can wait, while the server's callers cannot
	}
	if p.subjects != nil {
		p.subjects.Pause()
	}
	var errs []error
	for i := len(p.stops) - 1; i >= 0; i-- {
		if err := p.stops[i].run(drain); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", p.stops[i].what, err))
		}
	}
	p.stops = nil
	return errors.Join(errs...)
}

var _ api.Platform = (*Platform)(nil)

// Provisioned implements api.Platform.
func (p *Platform) Provisioned(v *hearth.Version) hearth.ProvisionState {
	return p.worker.Provisioned(v)
}

// Instances implements api.Platform.
func (p *Platform) Instances(function string) []hearth.InstanceInfo {
	list := p.worker.Instances(function)
	for i := range list {
		list[i].Isolation = p.driver.Name()
	}
	return list
}
