package bench

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each server of a ring gets its share, and an answer that is none counts as an error.
func TestRing(t *testing.T) {
	var got [3]atomic.Int64
	var refuse atomic.Bool
	var addrs []string
	for i := range got {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got[i].Add(1)
			if refuse.Load() {
				w.WriteHeader(http.StatusTeapot)
			}
		}))
		defer s.Close()
		addrs = append(addrs, strings.TrimPrefix(s.URL, "http://"))
	}
	r := newRing(addrs)
	defer r.close()
	m, err := r.drive(t.Context(), load{Connections: 4, Duration: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	least, most := got[0].Load(), got[0].Load()
	for i := range got {
		least, most = min(least, got[i].Load()), max(most, got[i].Load())
	}
	if m.Requests < 4 || int64(m.Requests) != got[0].Load()+got[1].Load()+got[2].Load() || most-least > 1 {
		t.Errorf("%d requests; the servers had %d, %d and %d", m.Requests, got[0].Load(), got[1].Load(), got[2].Load())
	}
	if m.PerSecond <= 0 || m.P50 <= 0 || m.P99 < m.P50 {
		t.Errorf("%+v", m)
	}
	refuse.Store(true)
	if _, err := r.drive(t.Context(), load{Connections: 1, Duration: time.Second}); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("answers 418: %v", err)
	}
}
