package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"runtime/metrics"
	"time"
)

// servePprof serves this process's profiles on addr, which must be on loopback: they
// show memory and command line. The returned function stops it and waits.
func servePprof(ctx context.Context, addr string, out io.Writer) (stop func(), err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--pprof: %w", err)
	}
	if !onLoopback(l.Addr().String()) {
		return nil, fmt.Errorf("--pprof %s is refused, since others could reach it: choose a port of 127.0.0.1 (%w)", addr, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/metrics", serveMetrics)
	server := &http.Server{Handler: byAddress(mux), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends by being closed
	}()
	fmt.Fprintf(out, "profiles at http://%s/debug/pprof/\n", l.Addr())
	return func() {
		_ = server.Close()
		<-done
	}, nil
}

// byAddress lets in only those who call by a loopback address: a web page that has its
// own name lead here does not.
func byAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !onLoopback(r.Host) {
			http.Error(w, "call this by its address, as in http://127.0.0.1:6060/debug/pprof/", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func onLoopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// serveMetrics writes what the Go runtime counts, one "name value" in a line. Of a
// histogram it writes how many values there are.
func serveMetrics(w http.ResponseWriter, _ *http.Request) {
	var samples []metrics.Sample
	for _, d := range metrics.All() {
		samples = append(samples, metrics.Sample{Name: d.Name})
	}
	metrics.Read(samples)
	for _, s := range samples {
		switch v := s.Value; v.Kind() {
		case metrics.KindUint64:
			fmt.Fprintln(w, s.Name, v.Uint64())
		case metrics.KindFloat64:
			fmt.Fprintln(w, s.Name, v.Float64())
		case metrics.KindFloat64Histogram:
			var n uint64
			for _, c := range v.Float64Histogram().Counts {
				n += c
			}
			fmt.Fprintln(w, s.Name, n)
		}
	}
}
