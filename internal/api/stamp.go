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

// lastStamp is the one that was asked for last: requests of one second share it.
var lastStamp atomic.Pointer[stamp]

func stampOf(now time.Time) *stamp {
	second := now.Unix()
	s := lastStamp.Load()
	if s == nil || s.second != second {
		utc := now.UTC()
		s = &stamp{second: second, event: utc.Format("02/Jan/2006:15:04:05 -0700"), date: utc.Format(http.TimeFormat)}
		lastStamp.Store(s)
	}
	return s
}
