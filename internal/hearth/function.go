package hearth

import (
	"maps"
	"slices"
	"time"
)

// Latest is the qualifier of a function's mutable head (Lambda API).
const Latest = "$LATEST"

// Model says how many invocations may share one instance (seed 000, seed 001).
type Model string

const (
	// Exclusive gives every invocation an instance of its own while it runs.
	Exclusive Model = "exclusive"
	// Concurrent lets up to MaxConcurrency invocations share one instance.
	Concurrent Model = "concurrent"
)

// Defaults and limits of a function's configuration. Where Lambda has a limit,
// it is Lambda's.
const (
	DefaultMemoryMB       = 128
	MinMemoryMB           = 128
	MaxMemoryMB           = 10240
	DefaultTimeout        = 3 * time.Second
	MaxTimeout            = 900 * time.Second
	DefaultTmpMB          = 512
	MaxTmpMB              = 10240
	DefaultMaxConcurrency = 10 // seed 001: Binaris allowed ten per function unit
	MaxMaxConcurrency     = 1000
	DefaultKeepAlive      = 15 * time.Minute // seed 004, II.D
	MaxKeepAlive          = 24 * time.Hour
	// DefaultFreezeAfter is how long an instance is idle before it is frozen: long
	// enough for what a handler leaves behind it, and for traffic never to meet it.
	DefaultFreezeAfter    = 5 * time.Second
	MaxEnvBytes           = 4096
	MaxZipBytes           = 52_428_800
	MaxUnzippedBytes      = 262_144_000
	MaxPayloadBytes       = 6_291_556 // request and response of a synchronous invocation
	MaxClientContextBytes = 3583
	MaxLogTailBytes       = 4096
	InitTimeout           = 10 * time.Second
	// MBPerCPU is the memory that comes with one vCPU's share (as at AWS).
	MBPerCPU = 1769
)

// Config is everything about a version but its code. Zero fields mean "default"
// only before Normalize; a stored Config is always complete.
type Config struct {
	Description string        `json:"description,omitempty"`
	Role        string        `json:"role,omitempty"` // kept for Lambda clients, never used
	Runtime     string        `json:"runtime"`        // as the owner wrote it, e.g. "nodejs20.x"
	Handler     string        `json:"handler"`
	Dialect     Dialect       `json:"dialect,omitempty"` // of the handler; AWS when empty
	MemoryMB    int           `json:"memoryMB"`
	Timeout     time.Duration `json:"timeout"`
	TmpMB       int           `json:"tmpMB"`
	KeepAlive   time.Duration `json:"keepAlive"`
	// NoFreeze has idle instances go on, with their timers and connections.
	NoFreeze       bool  `json:"noFreeze,omitempty"`
	Model          Model `json:"model"`
	MaxConcurrency int   `json:"maxConcurrency"` // used when Model is Concurrent
	// CapacityProvider is the ARN with which the owner asked for Lambda's Managed
	// Instances; it is kept for Lambda clients, never used.
	CapacityProvider string            `json:"capacityProvider,omitempty"`
	Env              map[string]string `json:"env,omitempty"`
	// LogFormat is LogJSON, or "" for lines of text; LogLevel the least level that is
	// logged, one of LogLevels, or "" for what the language's runtime does by itself.
	LogFormat string `json:"logFormat,omitempty"`
	LogLevel  string `json:"logLevel,omitempty"`
}

// LogJSON is the LogFormat of entries in JSON (Lambda API, LoggingConfig).
const LogJSON = "JSON"

// LogLevels lists the words for a LogLevel, from the least on (Lambda API).
func LogLevels() []string { return []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"} }

// Slots is how many invocations one instance may hold at once.
func (c *Config) Slots() int {
	if c.Model == Concurrent {
		return c.MaxConcurrency
	}
	return 1
}

// Clone returns a copy that shares nothing with c.
func (c Config) Clone() Config {
	c.Env = maps.Clone(c.Env)
	return c
}

// Code names a version's code by content.
type Code struct {
	Digest string `json:"digest"` // lower-case hex SHA-256 of the zip archive
	Size   int64  `json:"size"`   // bytes of the zip archive
}

// Version is an immutable pair of code and configuration. Instances are bound to
// one Version. A *Version handed out by the registry is never changed afterwards.
type Version struct {
	Function string `json:"function"`
	Number   string `json:"number"` // Latest, or a decimal number once published
	// Revision is Lambda's RevisionId: a new one with every change of the function; a
	// published version keeps the one that it was made with.
	Revision string `json:"revision"`
	// Identity is a new one only when code or configuration change in a way that
	// instances notice. A new tag, description or function URL leaves it, and so
	// leaves instances warm. The registry sets it; it is unique over all functions
	// and all time.
	Identity     string    `json:"identity"`
	LastModified time.Time `json:"lastModified"`
	Code         Code      `json:"code"`
	Config       Config    `json:"config"`
	// Origin is the description that $LATEST had when this version was published,
	// which may have been given another. It tells whether anything has changed since.
	Origin string `json:"origin,omitempty"`
}

// ID tells versions apart: two versions with equal ID may share instances. It is
// Identity, and does not allocate; versions that no registry made go by Revision.
func (v *Version) ID() string {
	if v.Identity != "" {
		return v.Identity
	}
	return v.Function + "@" + v.Revision
}

// Function is the named, mutable thing that owners configure.
type Function struct {
	Name   string  `json:"name"`
	Latest Version `json:"latest"`
	// Versions are the published ones that still exist, oldest first. They are shared
	// by clones and never changed.
	Versions []*Version `json:"versions,omitempty"`
	// Published is the number of the version published last, 0 before the first.
	// Numbers are never used again (Lambda API).
	Published int               `json:"published,omitempty"`
	Aliases   []Alias           `json:"aliases,omitempty"` // sorted by name
	Tags      map[string]string `json:"tags,omitempty"`
	// Reserved is the reserved concurrency: the most invocations that may be in
	// flight at once, over all versions; nil when unset; 0 refuses everything.
	Reserved *int `json:"reserved,omitempty"`
	// Provisioned is the provisioned concurrency, at most one of a qualifier, sorted by it.
	Provisioned []Provision `json:"provisioned,omitempty"`
	// URL is set once a Lambda function URL has been created for it. Hearth's own
	// /fn/NAME/ route needs no such thing.
	URL *URLConfig `json:"url,omitempty"`
	// Async is what becomes of asynchronous invocations of all versions; nil means the
	// defaults.
	Async *AsyncConfig `json:"async,omitempty"`
	// Routes are paths under /http/ at which it answers, beside /fn/NAME/.
	Routes []HTTPRoute `json:"routes,omitempty"`
	// Triggers invoke $LATEST by the clock or with messages.
	Triggers []Trigger `json:"triggers,omitempty"`
	Created  time.Time `json:"created"`
}

// URLConfig is Lambda's FunctionUrlConfig.
type URLConfig struct {
	AuthType     string    `json:"authType"`             // NONE or AWS_IAM
	InvokeMode   string    `json:"invokeMode,omitempty"` // BUFFERED ("" too) or RESPONSE_STREAM
	Created      time.Time `json:"created"`
	LastModified time.Time `json:"lastModified"`
}

// Clone returns a deep copy, for a read-modify-write. Published versions, the
// routes of aliases and the input of triggers, which nobody changes, are shared.
func (f *Function) Clone() *Function {
	g := *f
	g.Latest.Config = f.Latest.Config.Clone()
	g.Versions = slices.Clone(f.Versions)
	g.Aliases = slices.Clone(f.Aliases)
	g.Tags = maps.Clone(f.Tags)
	g.Routes = slices.Clone(f.Routes)
	g.Triggers = slices.Clone(f.Triggers)
	g.Provisioned = slices.Clone(f.Provisioned)
	if f.Reserved != nil {
		n := *f.Reserved
		g.Reserved = &n
	}
	if f.URL != nil {
		u := *f.URL
		g.URL = &u
	}
	g.Async = f.Async.Clone()
	return &g
}
