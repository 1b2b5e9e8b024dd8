// Package registry keeps the functions: what they are called, which code and
// configuration they stand for. The truth is in the store; every node has all of it
// in memory, kept fresh by a watch, so that the request path reads memory only.
//
// A function is one record with all its published versions and aliases, so that every
// change of them is one conditional write: an alias never points to a version that is
// gone, and a version is never published from a configuration that has moved on.
package registry

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"

	"hearth/internal/code"
	"hearth/internal/hearth"
	"hearth/internal/store"
)

// Names in the store.
const (
	tableName  = "functions"
	bucketName = "code"
	// lastTable has the numbers of the last published versions of deleted functions.
	lastTable = "published"
)

// Config of a Registry. The zero value has the defaults.
type Config struct {
	Region  string // in ARNs; hearth.DefaultRegion when empty
	Account string // in ARNs; hearth.DefaultAccount when empty
	Logger  *slog.Logger
	// Inspect checks an archive and names it by its content; code.Inspect when nil.
	Inspect func(zip []byte) (hearth.Code, error)
	// SharedStore says that other nodes write to the same store. Code that no
	// function needs any more is then left there, since only a node that knows of
	// every write under way may remove it.
	SharedStore bool
	// Random chooses between the two versions of a weighted alias: a uniformly
	// distributed number, from many goroutines at once; math/rand/v2's when nil.
	Random func() uint64
}

func (c *Config) fill() {
	if c.Region == "" {
		c.Region = hearth.DefaultRegion
	}
	if c.Account == "" {
		c.Account = hearth.DefaultAccount
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Inspect == nil {
		c.Inspect = func(zip []byte) (hearth.Code, error) {
			info, err := code.Inspect(zip)
			return info.Code(), err
		}
	}
	if c.Random == nil {
		c.Random = rand.Uint64
	}
}

// table and blobs are what a Registry needs of the store.
type table interface {
	Get(ctx context.Context, key string) (store.Entry, error)
	Put(ctx context.Context, key string, value []byte) (uint64, error)
	Create(ctx context.Context, key string, value []byte) (uint64, error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string, revision uint64) (uint64, error)
	Watch(ctx context.Context) iter.Seq[store.Change]
}

type blobs interface {
	Put(ctx context.Context, digest string, r io.Reader) error
	Get(ctx context.Context, digest string) (io.ReadCloser, error)
	Delete(ctx context.Context, digest string) error
	List(ctx context.Context) ([]store.BlobInfo, error)
}

var (
	_ table = (*store.Table)(nil)
	_ blobs = (*store.Blobs)(nil)
)

// Registry is a node's view of all functions. Its methods may be called from many
// goroutines. Functions and versions that it hands out are never changed afterwards,
// by either side; Clone them to edit.
type Registry struct {
	cfg   Config
	table table
	last  table // see lastTable
	code  codeKeeper
	cache cache // read without a lock, written under mu

	mu sync.Mutex
	// watermark is the store's revision up to which the watch has told everything.
	watermark uint64
	// removed has functions deleted here that the watch has yet to tell of.
	removed map[string]uint64
	// waiting has, by revision, who wants to know when the watch has told it.
	waiting map[uint64]chan struct{}
	states  map[string]nodeState
	subs    subscribers

	stop    context.CancelFunc
	working sync.WaitGroup
}

// New opens the registry in s: it reads all functions, removes code that none of
// them needs, and then follows changes until Close. It blocks until everything has
// been read.
func New(ctx context.Context, s *store.Store, cfg Config) (*Registry, error) {
	t, err := s.Table(ctx, tableName)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	last, err := s.Table(ctx, lastTable)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	b, err := s.Blobs(ctx, bucketName)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return open(ctx, t, last, b, cfg)
}

func open(ctx context.Context, t, last table, b blobs, cfg Config) (*Registry, error) {
	cfg.fill()
	r := &Registry{
		cfg:     cfg,
		table:   t,
		last:    last,
		removed: map[string]uint64{},
		waiting: map[uint64]chan struct{}{},
		states:  map[string]nodeState{},
	}
	r.code.init(b, cfg.Logger, !cfg.SharedStore)
	r.cache.init()
	r.subs.init()
	follow, stop := context.WithCancel(context.Background())
	r.stop = stop
	synced := make(chan struct{})
	r.working.Go(func() { r.follow(follow, synced) })
	r.working.Go(func() { r.subs.deliver(follow) })
	select {
	case <-synced:
	case <-ctx.Done():
		r.Close()
		return nil, fmt.Errorf("registry: reading the functions: %w", ctx.Err())
	}
	r.code.collectAll(ctx)
	return r, nil
}

// Close stops following and waits until that has ended and no subscriber is being
// called. Reads still work. Closing twice is harmless. Subscribers must not call it.
func (r *Registry) Close() {
	r.stop()
	r.working.Wait()
}

// Resolve finds the version that name and qualifier stand for: hearth.Latest, a
// version's number, or an alias, which if it is weighted chooses anew every time. An
// empty qualifier is hearth.Latest. It reads memory only and neither locks nor
// allocates. The error is a *hearth.Error with ErrNotFound.
func (r *Registry) Resolve(name, qualifier string) (*hearth.Function, *hearth.Version, error) {
	l := r.cache.find(name)
	if l == nil {
		return nil, nil, r.notFound(name, qualifier)
	}
	if qualifier == "" || qualifier == hearth.Latest {
		return l.function, &l.function.Latest, nil
	}
	to := l.routes.find(qualifier)
	switch {
	case to == nil:
		return nil, nil, r.notFound(name, qualifier)
	case to.also != nil && r.cfg.Random() < to.threshold:
		return l.function, to.also, nil
	}
	return l.function, to.version, nil
}

// Get finds a function by its bare name. The error is a *hearth.Error with ErrNotFound.
func (r *Registry) Get(name string) (*hearth.Function, error) {
	if f := r.cache.get(name); f != nil {
		return f, nil
	}
	return nil, r.notFound(name, "")
}

// List returns all functions, sorted by name.
func (r *Registry) List() []*hearth.Function {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.cache.listLocked())
}

// Generation is another number after every change of any function: for those who keep
// something that they have made of List. It reads memory only and does not lock.
func (r *Registry) Generation() uint64 { return r.cache.writes.Load() }

// Len is the number of functions.
func (r *Registry) Len() int { return r.cache.len() }

// ARN is the ARN of a function, or of its version or alias if qualifier is not empty.
func (r *Registry) ARN(name, qualifier string) string {
	return hearth.FunctionARN(r.cfg.Region, r.cfg.Account, name, qualifier)
}

// OpenCode opens the archive with this digest. It stays readable until the caller
// closes it, even if its function is deleted meanwhile. The error is a *hearth.Error
// with ErrNotFound if there is no such archive.
func (r *Registry) OpenCode(ctx context.Context, digest string) (io.ReadCloser, error) {
	return r.code.open(ctx, digest)
}

func (r *Registry) notFound(name, qualifier string) *hearth.Error {
	return hearth.Errorf(hearth.ErrNotFound, "Function not found: %s", r.ARN(name, qualifier))
}

// follow keeps the cache fresh until ctx is done. It closes synced when the cache
// first has everything.
func (r *Registry) follow(ctx context.Context, synced chan<- struct{}) {
	loading := true
	for change := range r.table.Watch(ctx) {
		r.hear(change, loading)
		if change.Kind == store.Synced && loading {
			loading = false
			close(synced)
		}
	}
}

// hear takes one change from the watch. A record that cannot be read is left alone,
// and so is all code, for it may need some.
func (r *Registry) hear(change store.Change, loading bool) {
	e := change.Entry
	var f *hearth.Function
	var err error
	if change.Kind == store.Written {
		f, err = decode(e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.cfg.Logger.Error("registry: cannot read a function's record; delete the function and create it again", "function", e.Key, "error", err)
		r.code.keepEverything()
		r.removeLocked(e.Key, e.Revision)
	case change.Kind == store.Written:
		r.putLocked(f, e.Revision, loading)
	case change.Kind == store.Deleted:
		r.removeLocked(e.Key, e.Revision)
	}
	r.passLocked(e.Revision)
}

// passLocked notes that the watch has told everything up to revision, so that what
// was remembered to make up for its lag can go.
func (r *Registry) passLocked(revision uint64) {
	r.watermark = max(r.watermark, revision)
	for awaited, heard := range r.waiting {
		if awaited <= r.watermark {
			delete(r.waiting, awaited)
			close(heard)
		}
	}
	for name, removed := range r.removed {
		if removed <= r.watermark {
			delete(r.removed, name)
		}
	}
}

// putLocked makes f the cached value unless something newer is known.
func (r *Registry) putLocked(f *hearth.Function, revision uint64, loading bool) {
	old, known := r.cache.entry(f.Name)
	if revision <= known || revision <= r.removed[f.Name] {
		return
	}
	delete(r.removed, f.Name)
	r.code.refer(old, f)
	r.cache.put(f, revision)
	r.states[f.Name] = r.states[f.Name].next(old, f, loading)
	r.subs.queue(Change{Old: old, New: f})
}

// removeLocked takes a function out of the cache unless something newer is known.
func (r *Registry) removeLocked(name string, revision uint64) {
	old, known := r.cache.entry(name)
	if revision < known {
		return
	}
	if revision > r.watermark {
		r.removed[name] = max(revision, r.removed[name])
	}
	if old == nil {
		return
	}
	r.code.refer(old, nil)
	r.cache.remove(name)
	delete(r.states, name)
	r.subs.queue(Change{Old: old})
}

// applied takes what this node has written itself, ahead of the watch. A revision
// that the watch has passed is old news: the cache has it, or what came after it.
func (r *Registry) applied(name string, f *hearth.Function, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case revision <= r.watermark:
	case f == nil:
		r.removeLocked(name, revision)
	default:
		r.putLocked(f, revision, false)
	}
}
