package hearth

import "time"

// FunctionState is Lambda's State and LastUpdateStatus of a function. A function
// is Pending until this node holds its code unpacked; invocations do not wait for
// Active.
type FunctionState struct {
	State        string `json:"state"` // Pending, Active, Failed
	Reason       string `json:"reason,omitempty"`
	ReasonCode   string `json:"reasonCode,omitempty"`   // Creating, InternalError, …
	UpdateStatus string `json:"updateStatus,omitempty"` // InProgress, Successful, Failed
	UpdateReason string `json:"updateReason,omitempty"`
}

// Status is the platform at a glance (GET /hearth/v1/status).
type Status struct {
	Version     string    `json:"version"`
	Started     time.Time `json:"started"`
	Listen      string    `json:"listen"`
	Isolation   string    `json:"isolation"`
	Warnings    []string  `json:"warnings,omitempty"` // what isolation lacks and what may not be meant, in words
	Runtimes    []string  `json:"runtimes"`           // interpreters found, e.g. "nodejs 20.20.2"
	Functions   int       `json:"functions"`
	Instances   int       `json:"instances"`
	Frozen      int       `json:"frozen,omitempty"` // of the instances
	InFlight    int       `json:"inFlight"`
	Queued      int       `json:"queued"`
	MemoryMB    int       `json:"memoryMB"`   // that may be reserved
	ReservedMB  int       `json:"reservedMB"` // that is reserved
	ResidentMB  int       `json:"residentMB"` // of the platform's own process
	Invocations uint64    `json:"invocations"`
	Failures    uint64    `json:"failures"`  // invocations that ended with a function error
	Throttles   uint64    `json:"throttles"` // 429 and 503
	ColdStarts  uint64    `json:"coldStarts"`
	// Prewarmed are the sandboxes that wait for functions.
	Prewarmed []PrewarmedInfo `json:"prewarmed,omitempty"`
	// Async has the functions with asynchronous invocations, now or before.
	Async []Backlog `json:"async,omitempty"`
	// Triggers are those that listen to NATS.
	Triggers []TriggerStatus `json:"triggers,omitempty"`
}

// PrewarmedInfo describes sandboxes of one kind: interpreter and shim run in them, and
// they belong to no function yet.
type PrewarmedInfo struct {
	Language string `json:"language"`
	MemoryMB int    `json:"memoryMB,omitempty"` // of the functions that they can serve; 0 = any
	Ready    int    `json:"ready"`
	UsedMB   int    `json:"usedMB"` // by all of them
}

// Log entry kinds.
const (
	LogStart    = "start"
	LogStdout   = "stdout"
	LogStderr   = "stderr"
	LogEnd      = "end"
	LogReport   = "report"
	LogPlatform = "platform" // Hearth's own words about the instance
)

// LogEntry is one line of a function's log. An instance is a log stream.
type LogEntry struct {
	Seq      uint64    `json:"seq"` // grows within a function
	Time     time.Time `json:"time"`
	Function string    `json:"function"`
	Instance string    `json:"instance"`
	Request  string    `json:"request,omitempty"`
	Kind     string    `json:"kind"`
	Text     string    `json:"text"` // without the final newline
}

// LogFilter selects log entries; zero fields select everything.
type LogFilter struct {
	Function string
	Instance string
	Request  string
	Since    time.Time
	AfterSeq uint64
	Limit    int // the newest so many; 0 = all that are kept
}
