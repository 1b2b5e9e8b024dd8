package api

import (
	"net/http"
	"sync/atomic"
	"time"
)

// stamp is a second as text.
type stamp struct {
	second int64
	event  string // of payload formats 1.0 and 2.0
	date   string // of the header Date
}

// lastStamps are those that were asked for last, of an even and of an odd second:
// requests of one second share theirs, also while some of their clocks are a little late.
var lastStamps [2]atomic.Pointer[stamp]

func stampOf(now time.Time) *stamp {
	second := now.Unix()
	last := &lastStamps[second&1]
	s := last.Load()
	if s == nil || s.second != second {
		utc := now.UTC()
		s = &stamp{second: second, event: utc.Format("02/Jan/2006:15:04:05 -0700"), date: utc.Format(http.TimeFormat)}
		last.Store(s)
	}
	return s
}
