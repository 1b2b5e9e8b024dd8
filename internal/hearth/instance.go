package hearth

import (
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// State of an instance. starting → idle ⇄ busy, idle ⇄ frozen, draining, dead.
type State string

const (
	Starting State = "starting"
	Idle     State = "idle"
	Busy     State = "busy"
	Frozen   State = "frozen"
	Draining State = "draining"
	Dead     State = "dead"
)

// Why an instance came to its end.
const (
	EndReaped    = "reaped"    // keep-alive expired
	EndEvicted   = "evicted"   // made room for another function
	EndDrained   = "drained"   // function updated, deleted, or platform stopping
	EndTimedOut  = "timed-out" // an invocation overran; retired after the others finished
	EndCrashed   = "crashed"   // the process died by itself
	EndOOM       = "oom"       // killed at its memory limit
	EndProtocol  = "protocol"  // broke the frame protocol
	EndInitError = "init-error"
)

// InstanceInfo is a snapshot of an instance, for people and the API.
type InstanceInfo struct {
	ID          string        `json:"id"`
	Function    string        `json:"function"`
	Version     string        `json:"version"` // Number of the version
	Revision    string        `json:"revision"`
	State       State         `json:"state"`
	Model       Model         `json:"executionModel"`
	Slots       int           `json:"slots"`
	InFlight    int           `json:"inFlight"`
	Invocations uint64        `json:"invocations"` // accepted so far
	MemoryMB    int           `json:"memoryMB"`
	UsedMB      int           `json:"usedMB"`
	PeakMB      int           `json:"peakMB"`
	CPU         time.Duration `json:"cpuNanos"`
	Init        time.Duration `json:"initNanos"`
	Started     time.Time     `json:"started"`
	LastUsed    time.Time     `json:"lastUsed"`
	Isolation   string        `json:"isolation"` // driver name
	PID         int           `json:"pid"`
	LogStream   string        `json:"logStream"`
	// Provisioned: it is one of those that provisioned concurrency keeps ready.
	Provisioned bool `json:"provisioned,omitempty"`
}

// Event is one thing that happened to an instance or a function, for the event
// feed and, later, the pictures over time (seed 002).
type Event struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"` // instance.starting, instance.ready, instance.dead, function.created, …
	Function string    `json:"function,omitempty"`
	Instance string    `json:"instance,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Detail   string    `json:"detail,omitempty"`
}

// NewInstanceID returns a short random id: 'i' and twelve hexadecimal digits.
func NewInstanceID() string {
	var b [8]byte
	v := rand.Uint64()
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return "i" + hex.EncodeToString(b[:6])
}
