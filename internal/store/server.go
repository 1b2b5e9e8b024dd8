package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds the start of the embedded engine. It reads all of its files
// when its last end was not a clean one.
const startTimeout = 60 * time.Second

// maxPayload is that of the embedded engine: an event of 1 MB with all that is known of
// it, or the record of its end, which holds the event and its answer.
const maxPayload = 4 << 20

// serverOptions are for one process that talks to itself: no listener, no
// monitoring, no system account, no signals, and a small memory store, which holds
// nothing but the state of the watches.
func serverOptions(dir string) *server.Options {
	return &server.Options{
		ServerName: "hearth",
		DontListen: true,
		NoSigs:     true,
		MaxPayload: maxPayload,

		JetStream:              true,
		StoreDir:               dir,
		SyncAlways:             true,
		JetStreamMaxMemory:     16 << 20,
		JetStreamMaxStore:      1 << 50, // the disk is the limit: see space.go
		DisableJetStreamBanner: true,
		NoSystemAccount:        true,
	}
}

// startServer blocks until the engine is ready. On an error nothing runs.
func startServer(options *server.Options, logger *slog.Logger) (*server.Server, error) {
	srv, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("store: engine: %w", err)
	}
	words := &serverLog{logger: logger}
	srv.SetLoggerV2(words, logger.Enabled(context.Background(), slog.LevelDebug), false, false)
	srv.Start() // returns when it has begun to listen, if it does
	err = words.fatal()
	if err == nil && !srv.ReadyForConnections(startTimeout) {
		err = fmt.Errorf("not ready after %s", startTimeout)
	}
	if err == nil && !srv.JetStreamEnabled() {
		err = errors.New("JetStream did not start")
	}
	if err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("store: the engine in %s does not start: %w", options.StoreDir, err)
	}
	return srv, nil
}

// serverLog passes the engine's words on to slog. They are about the engine's own
// life, hence one level lower than the engine thinks.
type serverLog struct {
	logger *slog.Logger

	mu    sync.Mutex
	first error // the first fatal word
}

var _ server.Logger = (*serverLog)(nil)

func (l *serverLog) log(level slog.Level, format string, args []any) {
	if l.logger.Enabled(context.Background(), level) {
		l.logger.Log(context.Background(), level, "store: engine: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (l *serverLog) Noticef(format string, args ...any) { l.log(slog.LevelDebug, format, args) }
func (l *serverLog) Debugf(format string, args ...any)  { l.log(slog.LevelDebug-4, format, args) }
func (l *serverLog) Tracef(format string, args ...any)  { l.log(slog.LevelDebug-4, format, args) }
func (l *serverLog) Warnf(format string, args ...any)   { l.log(slog.LevelWarn, format, args) }
func (l *serverLog) Errorf(format string, args ...any)  { l.log(slog.LevelError, format, args) }

// Fatalf is remembered: the engine expects the process to end, and it does not.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.log(slog.LevelError, format, args)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = fmt.Errorf(format, args...)
	}
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// redact leaves passwords and tokens out of a list of URLs.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil {
			parts[i] = "(unreadable URL)"
			continue
		}
		if u.User != nil {
			u.User = url.User("xxxxx")
		}
		parts[i] = u.String()
	}
	return strings.Join(parts, ",")
}
