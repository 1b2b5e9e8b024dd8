package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/internal/api/front"
	"hearth/internal/hearth"
	"hearth/internal/loop"
	"hearth/internal/sigv4"
)

// Config of a Server. Zero fields have the defaults that are given.
type Config struct {
	Region  string // in ARNs; hearth.DefaultRegion
	Account string // in ARNs, twelve digits; hearth.DefaultAccount
	// AccountLimit is the concurrency that GetAccountSettings tells; 0 leaves it out.
	AccountLimit int
	// HideErrors keeps function URLs from telling callers why a function failed, as
	// is wise where strangers call.
	HideErrors bool
	// CheckHost refuses requests that call this server by a name other than this
	// machine's own or one of AllowedHosts (without port). It belongs on every listener
	// that browsers of this machine reach and that has no other guard.
	CheckHost    bool
	AllowedHosts []string
	// AccessKeys, if there are any, are those of which Lambda's API and /hearth/v1 want
	// a signature. Without, signatures are accepted unread.
	AccessKeys []sigv4.Key

	// Loops, if there are any, serve the hot paths. Without, and where the listener is not
	// a plain TCP socket, each connection has a goroutine.
	Loops *loop.Group

	Log *slog.Logger // one line per request at debug; slog.Default()

	// TLS, if it is set, has clients speak TLS: HTTP/1.1 or HTTP/2, as they choose. It
	// needs a certificate. Without, both are spoken in the clear.
	TLS *tls.Config

	MaxHeaderBytes int           // request line and headers together; 16 KiB
	HeaderTimeout  time.Duration // to receive the headers of a request; 10 s
	BodyTimeout    time.Duration // to receive the body of an invocation; 60 s, uploads get five times that
	WriteTimeout   time.Duration // to write an answer, or one line of a stream; 60 s
	IdleTimeout    time.Duration // between requests of one connection; 2 min
	Heartbeat      time.Duration // an empty line in a silent stream; 15 s
	DrainGrace     time.Duration // for requests half received when Shutdown begins; 2 s
}

func (c Config) withDefaults() Config {
	orDefault(&c.Region, hearth.DefaultRegion)
	orDefault(&c.Account, hearth.DefaultAccount)
	c.AllowedHosts = hostNames(c.AllowedHosts)
	orDefault(&c.Log, slog.Default())
	orDefault(&c.MaxHeaderBytes, 16<<10)
	orDefault(&c.HeaderTimeout, 10*time.Second)
	orDefault(&c.BodyTimeout, time.Minute)
	orDefault(&c.WriteTimeout, time.Minute)
	orDefault(&c.IdleTimeout, 2*time.Minute)
	orDefault(&c.Heartbeat, 15*time.Second)
	orDefault(&c.DrainGrace, 2*time.Second)
	return c
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server serves Hearth over HTTP. Make it with New; its methods may be called from
// many goroutines.
type Server struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	auth  *authenticator // nil: no keys, nothing to check
	http  *fasthttp.Server
	http2 *http2
	tls   *tls.Config // nil: in the clear
	// front has the listener, if there are loops, and hands over what is not for it.
	front  *front.Front
	handed *handed
	beside sync.WaitGroup // work that is too long for a loop

	routes  []route
	targets targets
	router  httpRouter
	calls   sync.Pool // of *call

	// work ends when Shutdown's patience does: it is the context of all calls below.
	work      context.Context
	abandon   context.CancelFunc
	streaming context.Context // ends when Shutdown begins
	endStream context.CancelFunc

	draining atomic.Int64 // unix nanoseconds after which nothing more is read; 0 = serving
	mu       sync.Mutex
	conns    map[*conn]struct{}

	now   func() time.Time // both are replaced in tests only
	newID func() string
}

// New makes a Server. It starts nothing.
func New(cfg Config, deps Deps) *Server {
	s := &Server{
		cfg: cfg.withDefaults(), deps: deps,
		conns: make(map[*conn]struct{}),
		now:   time.Now, newID: hearth.NewRequestID,
	}
	s.log = s.cfg.Log
	s.auth = newAuthenticator(s.cfg.AccessKeys, s.cfg.Region)
	if s.deps.Async == nil {
		s.deps.Async = noAsync{}
	}
	if s.deps.Backups == nil {
		s.deps.Backups = noBackups{}
	}
	s.routes = append(s.lambdaRoutes(), s.hearthRoutes()...)
	s.calls.New = func() any { return new(call) }
	s.work, s.abandon = context.WithCancel(context.Background())
	s.streaming, s.endStream = context.WithCancel(s.work)
	s.http = &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.badRequest,
		HeaderReceived:               s.admitBody,
		ExpectHandler:                s.expect,
		Logger:                       quiet{s.log},
		ReadBufferSize:               s.cfg.MaxHeaderBytes,
		ReadTimeout:                  s.cfg.HeaderTimeout,
		WriteTimeout:                 s.cfg.WriteTimeout,
		IdleTimeout:                  s.cfg.IdleTimeout,
		MaxRequestBodySize:           maxOtherBody,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
	}
	s.http2, s.tls = newHTTP2(s), serverTLS(s.cfg.TLS)
	s.http.NextProto(protocolHTTP2, s.serveHTTP2)
	return s
}

// Serve accepts connections on l until Shutdown, and then returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.openFront(l); err == nil {
		l = s.handed
	}
	return s.http.Serve(&listener{Listener: l, s: s})
}

// openFront lets the loops have a listener, if they can.
func (s *Server) openFront(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Loops == nil || s.tls != nil || s.draining.Load() != 0 {
		return errors.ErrUnsupported
	}
	s.handed = newHanded(l.Addr())
	f, err := front.New(l, front.Config{
		Loops: s.cfg.Loops, Handler: hotPaths{s}, HandOver: s.handOver,
		MaxHeaderBytes: s.cfg.MaxHeaderBytes, MaxBodyBytes: hearth.MaxPayloadBytes,
		HeaderTimeout: s.cfg.HeaderTimeout, BodyTimeout: s.cfg.BodyTimeout, WriteTimeout: s.cfg.WriteTimeout,
		IdleTimeout: s.cfg.IdleTimeout, DrainGrace: s.cfg.DrainGrace,
	})
	s.front = f
	return err
}

// closeFront lets the front finish, until ctx ends.
func (s *Server) closeFront(ctx context.Context) {
	s.mu.Lock()
	f := s.front
	s.mu.Unlock()
	if f == nil {
		return
	}
	f.Drain()
	select {
	case <-f.Empty():
	case <-ctx.Done():
	}
	f.Close()
}

// Shutdown stops accepting, ends the streams, lets requests in flight finish and
// closes their connections. When ctx ends first, it cancels what is still running,
// closes all connections and returns ctx's error. The Server cannot be used again.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.abandon()
	s.drain()
	var ending, fronts sync.WaitGroup
	defer ending.Wait()
	ending.Go(func() { s.http2.shutdown(ctx) })
	fronts.Go(func() { s.closeFront(ctx) })
	err := s.http.ShutdownWithContext(ctx)
	fronts.Wait()
	if ctx.Err() != nil {
		err = ctx.Err()
		s.abandon()
		s.closeAll()
	}
	s.beside.Wait()
	return err
}

// handle serves one request. Whatever panics below costs that request alone.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer s.recovered(ctx)
	if status, words := misreadable(ctx); status != 0 {
		s.failUnknown(ctx, s.newID(), hearth.ErrInvalid, "%s", words)
		ctx.SetStatusCode(status)
		ctx.SetConnectionClose()
		return
	}
	if !s.log.Enabled(s.work, slog.LevelDebug) {
		s.route(ctx)
		return
	}
	begin := time.Now()
	s.route(ctx)
	s.log.Debug("request",
		slog.String("method", string(ctx.Method())), slog.String("uri", string(ctx.Request.Header.RequestURI())),
		slog.Int("status", ctx.Response.StatusCode()), slog.String("from", ctx.RemoteAddr().String()),
		slog.Duration("took", time.Since(begin)))
}

func (s *Server) recovered(ctx *fasthttp.RequestCtx) {
	p := recover()
	if p == nil {
		return
	}
	id := s.newID()
	s.log.Error("panic while serving a request", slog.String("request", id), slog.Any("panic", p),
		slog.String("uri", string(ctx.Request.Header.RequestURI())), slog.String("stack", string(debug.Stack())))
	ctx.Response.Reset()
	path, _ := target(ctx)
	s.fail(ctx, string(path), id, unforeseen(id))
}

func unforeseen(id string) error {
	return hearth.Errorf(hearth.ErrInternal,
		"The platform failed in a way it did not foresee. Its log has the reason under request id %s.", id)
}

// tooLate answers a client who did not send its request in time.
func (s *Server) tooLate(ctx *fasthttp.RequestCtx) {
	s.failUnknown(ctx, s.newID(), hearth.ErrInvalid, "The request did not arrive in time.")
	ctx.SetStatusCode(fasthttp.StatusRequestTimeout)
}

// badRequest answers a request that could not be read. The connection closes after.
func (s *Server) badRequest(ctx *fasthttp.RequestCtx, err error) {
	if c, ok := ctx.Conn().(*conn); ok {
		c.linger.Store(true)
	}
	path, _ := target(ctx)
	id := s.newID()
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge) && len(path) > 1 && s.hopeless(&ctx.Request.Header) != nil:
		s.refuse(ctx, string(path), id, s.hopeless(&ctx.Request.Header))
	case errors.Is(err, fasthttp.ErrBodyTooLarge) && len(path) > 1:
		s.fail(ctx, string(path), id, tooLarge(ctx.Request.Header.Method(), path))
	case errors.Is(err, fasthttp.ErrBodyTooLarge): // fasthttp has forgotten the path
		s.failUnknown(ctx, id, hearth.ErrTooLarge, "The body is too large: an invocation may have %d bytes, an upload %d, and anything else %d.",
			hearth.MaxPayloadBytes, maxUploadBody, maxOtherBody)
	case errors.As(err, &small):
		s.failUnknown(ctx, id, hearth.ErrInvalid, "The request line and headers have more than %d bytes.", s.cfg.MaxHeaderBytes)
		ctx.SetStatusCode(fasthttp.StatusRequestHeaderFieldsTooLarge)
	case errors.As(err, &timeout) && timeout.Timeout():
		s.tooLate(ctx)
	default:
		s.log.Debug("bad request", slog.Any("error", err))
		s.failUnknown(ctx, id, hearth.ErrInvalid, "The request is not HTTP/1.1 as it should be: a header or the body is malformed.")
	}
}

// quiet sends what fasthttp has to say to the log, at debug: it is about clients
// that went away or sent nonsense.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("http: " + sprintf(format, args))
}
