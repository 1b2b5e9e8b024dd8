package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

// BusConfig says where people's own subjects and streams are. Exactly one of Dir and
// URL is set.
type BusConfig struct {
	// Dir is the directory of an engine of their own, beside the one that has Hearth's
	// state: whoever may publish cannot read or fill that one.
	Dir string
	// URL is that of an external NATS with JetStream.
	URL string
	// Listen is where the engine in Dir takes connections, host:port; "" for none. There
	// is no encryption, so it should be loopback.
	Listen string
	// Users are those who may connect, with their passwords; anybody may if it is empty.
	Users  map[string]string
	Logger *slog.Logger
}

// Bus is NATS as people see it who publish to their own subjects. Nothing is started
// before it is needed, unless it listens. Its methods may be called from many goroutines.
type Bus struct {
	cfg BusConfig

	// changes is held while a stream or consumer is changed: the engine (2.15) has a data
	// race between the change of a stream and the making of its consumers.
	changes sync.Mutex

	mu     sync.Mutex
	srv    *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	down   chan struct{} // closed when nc is
	closed bool
}

// OpenBus makes a Bus. If cfg.Listen is set its engine runs when OpenBus returns.
func OpenBus(ctx context.Context, cfg BusConfig) (*Bus, error) {
	if (cfg.Dir == "") == (cfg.URL == "") || cfg.Listen != "" && cfg.URL != "" {
		return nil, errors.New("store: a bus has either a directory, with or without an address to listen on, or a URL")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	b := &Bus{cfg: cfg}
	if cfg.Listen == "" {
		return b, nil
	}
	if _, err := b.open(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// own tells whether the engine is ours alone.
func (b *Bus) own() bool { return b.cfg.URL == "" }

// open starts the engine, or connects, unless that is done.
func (b *Bus) open(ctx context.Context) (jetstream.JetStream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	if b.js != nil {
		return b.js, nil
	}
	options := []nats.Option{
		nats.Name("hearth triggers"), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.Timeout(callTimeout),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.cfg.Logger.Debug("store: bus", "error", err) }),
	}
	if b.own() {
		login, err := b.startLocked()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.InProcessServer(b.srv), login)
	}
	down := make(chan struct{})
	nc, err := nats.Connect(b.cfg.URL, append(options, nats.ClosedHandler(func(*nats.Conn) { close(down) }))...)
	if err != nil {
		b.stopLocked()
		return nil, fmt.Errorf("store: cannot connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(callTimeout))
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	if err != nil {
		nc.Close()
		<-down
		b.stopLocked()
		return nil, fmt.Errorf("store: NATS does not offer JetStream: %w", err)
	}
	b.nc, b.js, b.down = nc, js, down
	return js, nil
}

// startLocked starts the engine and says how we log in.
func (b *Bus) startLocked() (nats.Option, error) {
	o := serverOptions(b.cfg.Dir)
	o.ServerName, o.MaxPayload = "hearth-bus", maxBusPayload
	login := func(*nats.Options) error { return nil }
	if b.cfg.Listen != "" {
		host, port, err := net.SplitHostPort(b.cfg.Listen)
		if err == nil {
			o.Port, err = strconv.Atoi(port)
		}
		if err != nil {
			return nil, fmt.Errorf("store: %q is no address to listen on: %w", b.cfg.Listen, err)
		}
		if o.DontListen, o.Host = false, host; o.Port == 0 {
			o.Port = server.RANDOM_PORT
		}
		if len(b.cfg.Users) > 0 {
			password := rand.Text()
			for name, secret := range b.cfg.Users {
				o.Users = append(o.Users, &server.User{Username: name, Password: secret})
			}
			o.Users = append(o.Users, &server.User{Username: "hearth", Password: password})
			login = nats.UserInfo("hearth", password)
		}
	}
	if err := os.MkdirAll(b.cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: bus: %w", err)
	}
	most, err := shareOfDisk(b.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("store: bus: %w", err)
	}
	o.JetStreamMaxStore = most
	if b.srv, err = startServer(o, b.cfg.Logger); err != nil {
		return nil, err
	}
	return login, nil
}

// shareOfDisk is half of what is free and in dir: however much is published, as much is
// left for Hearth's own state.
func shareOfDisk(dir string) (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0, err
	}
	bytes := int64(disk.Bavail) * disk.Bsize
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return err
	})
	return bytes / 2, err
}

// Addr is where the engine listens; nil if it does not.
func (b *Bus) Addr() net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg.Listen == "" || b.srv == nil {
		return nil
	}
	return b.srv.Addr()
}

// Send publishes to a subject, as Store.Send does.
func (b *Bus) Send(ctx context.Context, subject string, data []byte, headers map[string]string) (stored bool, err error) {
	js, err := b.open(ctx)
	if err != nil {
		return false, err
	}
	return send(ctx, b.nc, js, subject, data, headers)
}

// Close ends the connection and the engine. Stop whatever uses the bus first. Closing
// twice is harmless.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	var err error
	if b.nc != nil {
		err = wrap(drain(ctx, b.nc, b.down), "store: bus")
	}
	b.stopLocked()
	return err
}

func (b *Bus) stopLocked() {
	if b.srv != nil {
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
		b.srv = nil
	}
}
