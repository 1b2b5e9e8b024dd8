package logs

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Config.
const (
	DefaultPerFunctionBytes = 8 << 20
	DefaultTotalBytes       = 128 << 20
	DefaultFlushEvery       = time.Second
	// idleAfter is how long a function is silent before its memory, once in the sink,
	// is given back.
	idleAfter = time.Minute
)

// Config of a Logs. Zero fields take their defaults.
type Config struct {
	PerFunctionBytes int // memory for one function's records; default 8 MiB
	TotalBytes       int // memory for all; then every function keeps but little; default 128 MiB
	// Sink keeps what memory cannot; nil keeps nothing.
	Sink       Sink
	FlushEvery time.Duration // default 1 s
	Logger     *slog.Logger  // hears of sinks that fail; default slog.Default
}

// Sink keeps batches of records, which it need not understand. Its methods may be
// called from several goroutines, but Append for one function from one at a time.
type Sink interface {
	// Append keeps a batch after all earlier ones. It may drop the oldest ones to bound
	// its space, and must not hold on to the slice.
	Append(ctx context.Context, function string, batch []byte) error
	// Load yields the batches that are kept, newest first. If older ones have been
	// dropped, it ends with ErrDropped. A batch is the caller's.
	Load(function string) iter.Seq2[[]byte, error]
	// Functions names the functions that it keeps batches of.
	Functions() ([]string, error)
	// Drop forgets a function. Unknown ones are no error.
	Drop(function string) error
}

// Logs is bounded storage for the logs of all functions of a node.
type Logs struct {
	cfg   Config
	bytes atomic.Int64 // memory of all chunks

	followers atomic.Pointer[[]*follower] // copied on write, under mu

	mu       sync.RWMutex
	journals map[string]*journal

	closeOnce sync.Once
	stop      chan struct{}
	flusher   sync.WaitGroup
}

// New starts a log storage. With a sink it owns one goroutine, which Close ends.
func New(cfg Config) *Logs {
	if cfg.PerFunctionBytes == 0 {
		cfg.PerFunctionBytes = DefaultPerFunctionBytes
	}
	if cfg.TotalBytes == 0 {
		cfg.TotalBytes = DefaultTotalBytes
	}
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = DefaultFlushEvery
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	l := &Logs{cfg: cfg, journals: map[string]*journal{}, stop: make(chan struct{})}
	l.followers.Store(&[]*follower{})
	if cfg.Sink != nil {
		l.flusher.Go(l.flushLoop)
	}
	return l
}

// Close ends all followers and hands what is left to the sink; it blocks until that is
// done. Streams stay usable, but what they write from now on is kept in memory only.
// Closing twice is harmless.
func (l *Logs) Close() {
	l.closeOnce.Do(func() { close(l.stop) })
	l.flusher.Wait()
}

// Open returns the log stream of one instance. Streams hold no resources of their own.
func (l *Logs) Open(function, instance string) *Stream {
	return &Stream{journal: l.journal(function), instance: clip(instance)}
}

// Drop forgets a function's logs, in memory and in the sink. What its remaining
// streams still write is lost.
func (l *Logs) Drop(function string) error {
	l.mu.Lock()
	j := l.journals[function]
	delete(l.journals, function)
	l.mu.Unlock()
	if j != nil {
		j.drop()
	}
	if l.cfg.Sink == nil {
		return nil
	}
	return l.cfg.Sink.Drop(function)
}

// lookup returns a function's journal, or nil.
func (l *Logs) lookup(function string) *journal {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.journals[function]
}

// journal returns a function's journal, a new one if need be.
func (l *Logs) journal(function string) *journal {
	if j := l.lookup(function); j != nil {
		return j
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.journals[function]
	if j == nil {
		j = &journal{logs: l, function: function}
		l.journals[function] = j
	}
	return j
}

// all returns the journals, by name.
func (l *Logs) all() []*journal {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.SortedFunc(maps.Values(l.journals), func(a, b *journal) int {
		return strings.Compare(a.function, b.function)
	})
}
