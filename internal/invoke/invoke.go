// Package invoke is the data path above the worker: a name becomes a version, the
// invocation is admitted or throttled, and a worker serves it (design: a gateway's
// job). Nothing here may assume that the instance is local.
package invoke

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/hearth"
)

// DefaultAccountLimit bounds invocations in flight over all functions without
// reserved concurrency. Lambda's default is 1,000; a node of one's own may do more.
const DefaultAccountLimit = 10_000

const (
	// maxFollow bounds how long one invocation follows a function that is being updated
	// again and again while it queues.
	maxFollow = 30 * time.Second
	// followPause keeps it from following faster than anybody updates.
	followPause = 2 * time.Millisecond
)

// Resolver finds functions in memory; Resolve is on the request path.
type Resolver interface {
	Resolve(name, qualifier string) (*hearth.Function, *hearth.Version, error)
}

// Worker serves invocations of one version: it has or makes the instances. Start does
// not block. It tells done, perhaps before it returns, when the result is there, the
// invocation is refused, or its Context ends while it still queues. Until then inv and
// its payload stay as they are.
type Worker interface {
	Start(inv *hearth.Invocation, done hearth.Completion)
}

// Config of a Service. The zero value has the defaults.
type Config struct {
	AccountLimit int // DefaultAccountLimit when 0
}

// Request is one call as a client made it.
type Request struct {
	ID            string // request id; made when empty
	Function      string
	Qualifier     string // "" means hearth.Latest
	InvokedARN    string
	Payload       []byte // may be the caller's buffer: not used once the outcome is told
	ClientContext []byte
	TraceID       string
	WantLog       bool
	// WantStream has the outcome told when a streamed response begins: see Result.Stream.
	WantStream bool
	HTTP       hearth.HTTPEvent // how Payload is written if it was made of an HTTP request
	// Started, if set, is told the instance that is about to run it; it must not block.
	Started func(instance string)
}

// Stats counts since the start.
type Stats struct {
	Invocations uint64 // that reached an instance and came back
	Failures    uint64 // of those, with a function error
	Throttles   uint64 // refused: 429 and 503
	InFlight    int64
}

// Service resolves, admits and hands over. It has no lock shared between functions.
type Service struct {
	resolver Resolver
	worker   Worker
	limit    int64

	admitted sync.Map // function name → *admission

	unreserved atomic.Int64 // in flight without reserved concurrency
	inFlight   atomic.Int64
	total      atomic.Uint64
	failures   atomic.Uint64
	throttles  atomic.Uint64

	flights sync.Pool // of *flight
}

// admission counts the invocations of one function in flight, over all versions.
type admission struct{ inFlight atomic.Int64 }

// New makes a Service.
func New(resolver Resolver, worker Worker, cfg Config) *Service {
	limit := cfg.AccountLimit
	if limit == 0 {
		limit = DefaultAccountLimit
	}
	return &Service{resolver: resolver, worker: worker, limit: int64(limit)}
}

// flight is one invocation under way.
type flight struct {
	s       *Service
	request *Request
	done    hearth.Completion
	inv     hearth.Invocation
	permit  permit
	since   time.Time // of the first move
}

var _ hearth.Completion = (*flight)(nil)

// Invoke serves one synchronous invocation, and blocks until its outcome is known or ctx
// ends while it queues. Errors are *hearth.Error, or the context's; a function that
// failed is a Result (Lambda API: 200 with X-Amz-Function-Error).
func (s *Service) Invoke(ctx context.Context, r *Request) (*hearth.Result, error) {
	outcome := hearth.NewOutcome()
	f := s.flight(r, outcome)
	f.inv.Context = ctx
	f.once()
	return outcome.Wait()
}

// Start serves one synchronous invocation without blocking: done is told the outcome,
// perhaps before Start returns. The request must stay as it is until then.
func (s *Service) Start(r *Request, done hearth.Completion) { s.flight(r, done).once() }

func (s *Service) flight(r *Request, done hearth.Completion) *flight {
	if r.ID == "" {
		r.ID = hearth.NewRequestID()
	}
	f, ok := s.flights.Get().(*flight)
	if !ok {
		f = &flight{s: s}
	}
	f.request, f.done = r, done
	return f
}

// once resolves the name and hands over to the worker.
func (f *flight) once() {
	s, r := f.s, f.request
	fn, v, err := s.resolver.Resolve(r.Function, r.Qualifier)
	if err != nil {
		f.fail(err)
		return
	}
	if f.permit, err = s.admit(fn); err != nil {
		f.fail(err)
		return
	}
	f.inv = hearth.Invocation{
		ID: r.ID, Version: v, Payload: r.Payload, ClientContext: r.ClientContext,
		TraceID: r.TraceID, InvokedARN: r.InvokedARN, WantLog: r.WantLog, HTTP: r.HTTP,
		WantStream: r.WantStream, Started: r.Started, Context: f.inv.Context,
	}
	s.worker.Start(&f.inv, f)
}

// Complete is told the outcome by the worker.
func (f *flight) Complete(res *hearth.Result, err error) {
	s, permit := f.s, f.permit
	if err == nil && res.Stream != nil {
		res.Stream.OnEnd(func(end *hearth.Result) { s.streamed(permit, end) })
	} else {
		permit.done()
	}
	if err != nil {
		if hearth.CodeOf(err) != hearth.ErrMoved || !f.follow() {
			f.fail(err)
		}
		return
	}
	s.total.Add(1)
	if res.FunctionError != "" {
		s.failures.Add(1)
	}
	f.land().Complete(res, nil)
}

func (f *flight) fail(err error) {
	switch hearth.CodeOf(err) {
	case hearth.ErrReservedLimit, hearth.ErrAccountLimit, hearth.ErrCapacity:
		f.s.throttles.Add(1)
	}
	f.land().Complete(nil, err)
}

// land gives the flight back and returns who is to be told.
func (f *flight) land() hearth.Completion {
	done := f.done
	*f = flight{s: f.s}
	f.s.flights.Put(f)
	return done
}

// follow resolves the name of an invocation again whose version was replaced while it
// queued, at once the first time and after a pause from then on. It returns false when
// it has followed for too long or nobody waits any more.
func (f *flight) follow() bool {
	ctx := f.inv.Context
	switch {
	case f.since.IsZero():
		f.since = time.Now()
		f.once()
	case time.Since(f.since) > maxFollow || ctx != nil && ctx.Err() != nil:
		return false
	default:
		time.AfterFunc(followPause, f.once)
	}
	return true
}

// streamed counts a streamed invocation that has ended.
func (s *Service) streamed(p permit, end *hearth.Result) {
	p.done()
	if end.FunctionError != "" {
		s.failures.Add(1)
	}
}

// permit is what admit gave and done returns. It is a value, so that admission
// costs no allocation.
type permit struct {
	s          *Service
	a          *admission
	unreserved bool
}

func (p permit) done() {
	p.a.inFlight.Add(-1)
	p.s.inFlight.Add(-1)
	if p.unreserved {
		p.s.unreserved.Add(-1)
	}
}

// admit holds a function to its reserved concurrency, which is both its guaranteed
// share and its cap, and the others to what the account has left (Lambda API).
func (s *Service) admit(f *hearth.Function) (permit, error) {
	a := s.admission(f.Name)
	n := a.inFlight.Add(1)
	if f.Reserved != nil {
		if n > int64(*f.Reserved) {
			a.inFlight.Add(-1)
			return permit{}, hearth.Errorf(hearth.ErrReservedLimit, "Rate Exceeded.")
		}
		s.inFlight.Add(1)
		return permit{s: s, a: a}, nil
	}
	if s.unreserved.Add(1) > s.limit {
		s.unreserved.Add(-1)
		a.inFlight.Add(-1)
		return permit{}, hearth.Errorf(hearth.ErrAccountLimit, "Rate Exceeded.")
	}
	s.inFlight.Add(1)
	return permit{s: s, a: a, unreserved: true}, nil
}

func (s *Service) admission(name string) *admission {
	if a, ok := s.admitted.Load(name); ok {
		return a.(*admission)
	}
	a, _ := s.admitted.LoadOrStore(name, &admission{})
	return a.(*admission)
}

// Forget drops what is counted about a function that has been deleted.
func (s *Service) Forget(function string) {
	if a, ok := s.admitted.Load(function); ok && a.(*admission).inFlight.Load() == 0 {
		s.admitted.Delete(function)
	}
}

// InFlight is how many invocations of the function are running or queued.
func (s *Service) InFlight(function string) int {
	return int(s.admission(function).inFlight.Load())
}

// Stats reads the counters.
func (s *Service) Stats() Stats {
	return Stats{
		Invocations: s.total.Load(), Failures: s.failures.Load(),
		Throttles: s.throttles.Load(), InFlight: s.inFlight.Load(),
	}
}
