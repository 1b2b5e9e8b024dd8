package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ring calls servers in turn, each over connections that stay open. wrk cannot: it talks
// to one address.
type ring struct {
	servers []*station
	next    atomic.Uint64
}

// station is one server of a ring, and its connections that nobody uses right now.
type station struct {
	addr string

	mu   sync.Mutex
	idle []*line
}

type line struct {
	net.Conn
	r *bufio.Reader
}

func newRing(addrs []string) *ring {
	r := &ring{}
	for _, addr := range addrs {
		r.servers = append(r.servers, &station{addr: addr})
	}
	return r
}

// close closes the connections; none may be in use.
func (r *ring) close() {
	for _, s := range r.servers {
		for _, l := range s.idle {
			l.Close()
		}
		s.idle = nil
	}
}

// drive has as many callers as l has connections call the servers in turn for a while.
func (r *ring) drive(ctx context.Context, l load) (measured, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Duration+30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	took, errs := make([][]time.Duration, l.Connections), make([]error, l.Connections)
	began := time.Now()
	for i := range l.Connections {
		wg.Go(func() {
			for errs[i] == nil && time.Since(began) < l.Duration {
				t := time.Now()
				errs[i] = r.servers[r.next.Add(1)%uint64(len(r.servers))].call(ctx)
				took[i] = append(took[i], time.Since(t))
			}
		})
	}
	wg.Wait()
	all, passed := slices.Concat(took...), time.Since(began)
	slices.Sort(all)
	return measured{PerSecond: float64(len(all)) / passed.Seconds(), Requests: len(all),
		P50: all[len(all)/2].Round(time.Microsecond), P99: all[len(all)*99/100].Round(time.Microsecond)}, errors.Join(errs...)
}

// call sends one GET and reads the answer, which must be 200.
func (s *station) call(ctx context.Context) error {
	l, err := s.take(ctx)
	if err != nil {
		return err
	}
	if err := l.get(ctx); err != nil {
		l.Close()
		return fmt.Errorf("GET http://%s/: %w", s.addr, err)
	}
	s.mu.Lock()
	s.idle = append(s.idle, l)
	s.mu.Unlock()
	return nil
}

func (s *station) take(ctx context.Context) (*line, error) {
	s.mu.Lock()
	if last := len(s.idle) - 1; last >= 0 {
		l := s.idle[last]
		s.idle = s.idle[:last]
		s.mu.Unlock()
		return l, nil
	}
	s.mu.Unlock()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	return &line{c, bufio.NewReaderSize(c, 4<<10)}, nil
}

func (l *line) get(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := l.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(l, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
