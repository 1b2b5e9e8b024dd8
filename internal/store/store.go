// Package store keeps Hearth's state in NATS JetStream: tables are key-value
// buckets, blobs are object-store buckets. The engine runs embedded in the process,
// without a listener of any kind, or is an external cluster given by its URL; above
// the connection both are one code path.
//
// A write that has returned is on disk: the embedded server syncs every write before
// it acknowledges it. So neither kill -9 nor a power cut loses anything acknowledged. An
// external server does so if it is configured to (sync_interval: always), which nobody
// can ask it: Open warns.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// callTimeout bounds one call of the engine when the caller's context has no
// deadline of its own.
const callTimeout = 10 * time.Second

// reconnectWait is between two tries to reach an external engine that went away.
const reconnectWait = 500 * time.Millisecond

// Config says where the state is. Exactly one of Dir and URL is set.
type Config struct {
	// Dir is the directory of the embedded engine; Open makes it if need be. It
	// belongs to the store alone, and to one process at a time.
	Dir string
	// URL is that of an external NATS cluster with JetStream, for example
	// nats://10.0.0.1:4222. Several URLs are separated by commas.
	URL string
	// Logger takes the engine's words; nil means slog.Default. What the engine calls
	// a notice is logged at debug level.
	Logger *slog.Logger
}

func (c *Config) check() error {
	if (c.Dir == "") == (c.URL == "") {
		return errors.New("store: set either Dir, for the embedded engine, or URL, for an external one")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// Store is an open store. Its methods may be called from many goroutines.
type Store struct {
	cfg  Config
	lock *dirLock       // nil with an external engine
	srv  *server.Server // nil with an external engine
	nc   *nats.Conn
	js   jetstream.JetStream

	closed chan struct{} // closed when the connection is

	// removals is locked for reading while a message is removed from a queue, and for
	// writing while nothing may be.
	removals sync.RWMutex

	bus atomic.Pointer[Bus] // takes what is sent to people's subjects

	mu        sync.Mutex
	tables    map[string]*Table
	blobs     map[string]*Blobs
	reconnect chan struct{} // closed, and replaced, when the connection was lost and is back
	closing   bool
}

// Open starts the embedded engine, or connects to the external one. It blocks until
// the store can be used, some milliseconds for an embedded one. If another process
// has Dir open the error wraps ErrLocked and names that process. The caller must
// Close the store.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Store{
		cfg:       cfg,
		closed:    make(chan struct{}),
		reconnect: make(chan struct{}),
		tables:    map[string]*Table{},
		blobs:     map[string]*Blobs{},
	}
	defer func() {
		if err != nil {
			s.stopServer()
		}
	}()
	if cfg.Dir != "" {
		if s.lock, err = lockDir(cfg.Dir); err != nil {
			return nil, err
		}
		if s.srv, err = startServer(serverOptions(cfg.Dir), cfg.Logger); err != nil {
			return nil, err
		}
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) connect(ctx context.Context) error {
	options := []nats.Option{
		nats.Name("hearth"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectHandler(func(*nats.Conn) { s.reconnected() }),
		nats.ClosedHandler(func(*nats.Conn) { close(s.closed) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			s.cfg.Logger.Warn("store: engine connection", "error", err)
		}),
	}
	if s.srv != nil {
		options = append(options, nats.InProcessServer(s.srv))
	}
	if deadline, ok := ctx.Deadline(); ok {
		options = append(options, nats.Timeout(max(time.Until(deadline), time.Millisecond)))
	}
	nc, err := nats.Connect(s.cfg.URL, options...)
	if err != nil {
		return fmt.Errorf("store: cannot connect to %s: %w", s.where(), err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(callTimeout))
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	if err != nil {
		nc.Close()
		<-s.closed
		return fmt.Errorf("store: %s does not offer JetStream: %w", s.where(), err)
	}
	s.nc, s.js = nc, js
	if s.srv == nil {
		// No client can ask a server for this setting.
		s.cfg.Logger.Warn("store: an external NATS by itself syncs to disk every two minutes, and a power cut loses what it acknowledged since: "+
			"set sync_interval: always in the jetstream block of its configuration; then this warning can be ignored", "nats", redact(s.cfg.URL))
	}
	return nil
}

// where names the engine, without any password that its URL may hold.
func (s *Store) where() string {
	if s.srv != nil {
		return "the embedded engine in " + s.cfg.Dir
	}
	return "the engine at " + redact(s.cfg.URL)
}

// reconnected wakes the watches: they read everything afresh, since a delete marker
// may have come and gone while the connection was down.
func (s *Store) reconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.reconnect)
	s.reconnect = make(chan struct{})
}

func (s *Store) reconnection() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reconnect
}

// Close drains the connection, so that what was sent is answered, and then stops
// the embedded engine and waits for it. Stop whatever uses the store first. When ctx
// ends, Close no longer waits for the drain. Closing twice is harmless.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	if again {
		<-s.closed
		return nil
	}
	err := wrap(drain(ctx, s.nc, s.closed), "store")
	s.stopServer()
	return err
}

// drain sends what is waiting to be sent, at most until ctx ends, and closes a connection
// that closes down when it has ended.
func drain(ctx context.Context, nc *nats.Conn, down <-chan struct{}) error {
	if nc.Drain() != nil {
		nc.Close()
	}
	select {
	case <-down:
		return nil
	case <-ctx.Done():
		nc.Close()
		<-down
		return fmt.Errorf("drain cut short: %w", ctx.Err())
	}
}

// stopServer stops the embedded engine, if there is one, and gives up the directory.
func (s *Store) stopServer() {
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
	}
	if s.lock != nil {
		s.lock.release()
	}
}
