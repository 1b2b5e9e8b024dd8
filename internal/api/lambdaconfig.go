package api

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"runtime"
	"time"

	"hearth/internal/hearth"
)

// configuration is Lambda's FunctionConfiguration. Members that this platform never
// has a value for are left out, as Lambda does.
type configuration struct {
	FunctionName               string            `json:"FunctionName"`
	FunctionArn                string            `json:"FunctionArn"`
	Runtime                    string            `json:"Runtime"`
	Role                       string            `json:"Role"`
	Handler                    string            `json:"Handler"`
	CodeSize                   int64             `json:"CodeSize"`
	Description                string            `json:"Description"`
	Timeout                    int               `json:"Timeout"` // seconds
	MemorySize                 int               `json:"MemorySize"`
	LastModified               string            `json:"LastModified"`
	CodeSha256                 string            `json:"CodeSha256"`
	Version                    string            `json:"Version"`
	Environment                *environment      `json:"Environment,omitempty"`
	TracingConfig              tracingConfig     `json:"TracingConfig"`
	RevisionID                 string            `json:"RevisionId"`
	State                      string            `json:"State,omitempty"`
	StateReason                string            `json:"StateReason,omitempty"`
	StateReasonCode            string            `json:"StateReasonCode,omitempty"`
	LastUpdateStatus           string            `json:"LastUpdateStatus,omitempty"`
	LastUpdateStatusReason     string            `json:"LastUpdateStatusReason,omitempty"`
	LastUpdateStatusReasonCode string            `json:"LastUpdateStatusReasonCode,omitempty"`
	PackageType                string            `json:"PackageType"`
	Architectures              []string          `json:"Architectures"`
	EphemeralStorage           ephemeralStorage  `json:"EphemeralStorage"`
	SnapStart                  snapStart         `json:"SnapStart"`
	LoggingConfig              loggingConfig     `json:"LoggingConfig"`
	DeadLetterConfig           *deadLetterConfig `json:"DeadLetterConfig,omitempty"`
	CapacityProviderConfig     *capacityProvider `json:"CapacityProviderConfig,omitempty"`
}

// deadLetterConfig names where events go that have failed for good. It is the whole
// function's here, not the version's.
type deadLetterConfig struct {
	TargetArn string `json:"TargetArn,omitempty"`
}

type environment struct {
	Variables map[string]string `json:"Variables"`
}

type tracingConfig struct {
	Mode string `json:"Mode"`
}

type ephemeralStorage struct {
	Size int `json:"Size"` // MB
}

type snapStart struct {
	ApplyOn            string `json:"ApplyOn"`
	OptimizationStatus string `json:"OptimizationStatus"`
}

// loggingConfig says how a function's log looks. Its log group cannot be chosen, and
// START, END and REPORT are always written: both are accepted and change nothing.
type loggingConfig struct {
	LogFormat           string `json:"LogFormat"` // "Text" or "JSON"
	ApplicationLogLevel string `json:"ApplicationLogLevel,omitempty"`
	SystemLogLevel      string `json:"SystemLogLevel,omitempty"`
	LogGroup            string `json:"LogGroup"`
}

const logText = "Text"

func loggingConfigOf(function string, c *hearth.Config) loggingConfig {
	l := loggingConfig{LogFormat: logText, LogGroup: "/aws/lambda/" + function}
	if c.LogFormat == hearth.LogJSON {
		l.LogFormat, l.ApplicationLogLevel, l.SystemLogLevel = hearth.LogJSON, c.LogLevel, usualLogLevel
	}
	return l
}

// usualLogLevel is the level of a function that logs in JSON and has not chosen one
// (Lambda API).
const usualLogLevel = "INFO"

// patch makes the change in p. Levels need the format JSON, as on Lambda.
func (l *loggingConfig) patch(p *hearth.ConfigPatch) error {
	format, level := l.LogFormat, l.ApplicationLogLevel
	if format == logText || format == "" {
		if level != "" || l.SystemLogLevel != "" {
			return hearth.Errorf(hearth.ErrInvalid, "Log levels need the log format JSON: set LogFormat to JSON, or leave ApplicationLogLevel and SystemLogLevel out.")
		}
		format = ""
	} else if level == "" {
		level = usualLogLevel
	}
	p.LogFormat, p.LogLevel = &format, &level
	return nil
}

// capacityProvider is how Lambda's Managed Instances say that invocations share an
// instance. Here it sets the concurrent model.
type capacityProvider struct {
	Managed *managedInstances `json:"LambdaManagedInstancesCapacityProviderConfig,omitempty"`
}

type managedInstances struct {
	CapacityProviderArn string `json:"CapacityProviderArn,omitempty"`
	MaxConcurrency      *int   `json:"PerExecutionEnvironmentMaxConcurrency,omitempty"`
}

// lambdaTime is the format of LastModified.
const lambdaTime = "2006-01-02T15:04:05.000-0700"

// configurationOf describes f's $LATEST to Lambda's clients.
func (s *Server) configurationOf(f *hearth.Function, qualifier string, state hearth.FunctionState) configuration {
	return s.configurationOfVersion(f, &f.Latest, qualifier, state)
}

// published is the state of a published version: its code was checked before.
var published = hearth.FunctionState{State: "Active", UpdateStatus: "Successful"}

// stateOf is the state of one of f's versions.
func (s *Server) stateOf(f *hearth.Function, v *hearth.Version) hearth.FunctionState {
	if v.Number != hearth.Latest {
		return published
	}
	return s.deps.Functions.State(f.Name)
}

// configurationOfVersion describes one of f's versions, as the caller qualified it.
func (s *Server) configurationOfVersion(f *hearth.Function, v *hearth.Version, qualifier string, state hearth.FunctionState) configuration {
	c := &v.Config
	conf := configuration{
		FunctionName: f.Name, FunctionArn: s.arn(f.Name, qualifier),
		Runtime: c.Runtime, Role: c.Role, Handler: c.Handler, Description: c.Description,
		CodeSize: v.Code.Size, CodeSha256: base64Digest(v.Code.Digest),
		Timeout: int((c.Timeout + time.Second - 1) / time.Second), MemorySize: c.MemoryMB,
		LastModified: v.LastModified.UTC().Format(lambdaTime),
		Version:      v.Number, RevisionID: v.Revision,
		TracingConfig: tracingConfig{"PassThrough"},
		State:         state.State, StateReason: state.Reason, StateReasonCode: state.ReasonCode,
		LastUpdateStatus: state.UpdateStatus, LastUpdateStatusReason: state.UpdateReason,
		PackageType: "Zip", Architectures: []string{architecture()},
		EphemeralStorage:       ephemeralStorage{c.TmpMB},
		SnapStart:              snapStart{"None", "Off"},
		LoggingConfig:          loggingConfigOf(f.Name, c),
		CapacityProviderConfig: s.capacityOf(f, v),
	}
	if f.Async != nil && f.Async.DeadLetter != "" {
		conf.DeadLetterConfig = &deadLetterConfig{f.Async.DeadLetter}
	}
	if len(c.Env) > 0 {
		conf.Environment = &environment{c.Env}
	}
	switch state.UpdateStatus {
	case "InProgress":
		conf.LastUpdateStatusReasonCode = "Creating" // (recorded behaviour)
	case "Failed":
		conf.LastUpdateStatusReasonCode = "InternalError"
	}
	return conf
}

// ownCapacity ends the ARN of a capacity provider whose name the owner left out.
const ownCapacity = "capacity-provider:hearth"

// capacityOf is the Managed Instances field of a function that shares its instances,
// but not for owners who set the model by tag and never wrote the field: to tools that
// compare, such as Terraform, it would be a change that somebody else has made, for ever.
func (s *Server) capacityOf(f *hearth.Function, v *hearth.Version) *capacityProvider {
	c := &v.Config
	tagged := f.Tags[hearth.TagModel] != "" || f.Tags[hearth.TagMaxConcurrency] != ""
	if c.Model != hearth.Concurrent || tagged && c.CapacityProvider == "" {
		return nil
	}
	arn := c.CapacityProvider
	if arn == "" || arn == ownCapacity {
		arn = "arn:aws:lambda:" + s.cfg.Region + ":" + s.cfg.Account + ":" + ownCapacity
	}
	n := c.MaxConcurrency
	return &capacityProvider{&managedInstances{CapacityProviderArn: arn, MaxConcurrency: &n}}
}

// settings are the members that CreateFunction and UpdateFunctionConfiguration have
// in common. Nil means that the caller left them out.
type settings struct {
	Runtime                *string
	Role                   *string
	Handler                *string
	Description            *string
	Timeout                *int // seconds
	MemorySize             *int
	Environment            *environment
	EphemeralStorage       *ephemeralStorage
	CapacityProviderConfig *capacityProvider
	DeadLetterConfig       *deadLetterConfig
	LoggingConfig          *loggingConfig
	Architectures          []string
	Layers                 []string
	FileSystemConfigs      []struct{}
}

// patch turns the settings into a change. What would make a function behave
// otherwise than its owner thinks is refused, not ignored.
func (c *settings) patch() (*hearth.ConfigPatch, error) {
	switch {
	case len(c.Layers) > 0:
		return nil, hearth.Errorf(hearth.ErrNotImplemented, "Layers are not there yet in this version of Hearth: put what they hold into the function's archive.")
	case len(c.FileSystemConfigs) > 0:
		return nil, hearth.Errorf(hearth.ErrNotImplemented, "FileSystemConfigs are not there yet in this version of Hearth.")
	}
	if err := checkArchitectures(c.Architectures); err != nil {
		return nil, err
	}
	p := &hearth.ConfigPatch{
		Description: c.Description, Role: c.Role, Runtime: c.Runtime, Handler: c.Handler, MemoryMB: c.MemorySize,
	}
	if c.Timeout != nil {
		d := time.Duration(min(max(*c.Timeout, -1), 1<<20)) * time.Second
		p.Timeout = &d
	}
	if c.LoggingConfig != nil {
		if err := c.LoggingConfig.patch(p); err != nil {
			return nil, err
		}
	}
	if c.EphemeralStorage != nil {
		p.TmpMB = &c.EphemeralStorage.Size
	}
	if c.Environment != nil {
		env := c.Environment.Variables
		p.Env = &env
	}
	if c.CapacityProviderConfig != nil && c.CapacityProviderConfig.Managed != nil {
		managed := c.CapacityProviderConfig.Managed
		model, provider := hearth.Concurrent, cmp.Or(managed.CapacityProviderArn, ownCapacity)
		p.Model, p.MaxConcurrency, p.CapacityProvider = &model, managed.MaxConcurrency, &provider
	}
	return p, nil
}

// setDeadLetter changes f's dead-letter target if the settings have one; an empty one
// removes it (Lambda API).
func (c *settings) setDeadLetter(f *hearth.Function) error {
	if c.DeadLetterConfig == nil {
		return nil
	}
	a := f.Async.Clone()
	if a == nil {
		a = new(hearth.AsyncConfig)
	}
	a.DeadLetter = c.DeadLetterConfig.TargetArn
	f.Async = orNothing(a)
	return f.Async.Validate()
}

// orNothing is nil for a configuration that says nothing.
func orNothing(a *hearth.AsyncConfig) *hearth.AsyncConfig {
	if a.Equal(new(hearth.AsyncConfig)) {
		return nil
	}
	return a
}

func checkArchitectures(names []string) error {
	for _, a := range names {
		if a != architecture() {
			return hearth.Errorf(hearth.ErrInvalid, "Architecture %q cannot run here: this node is %s. Leave Architectures out.", clip(a), architecture())
		}
	}
	return nil
}

// architecture is Lambda's word for this machine's.
func architecture() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

func base64Digest(digest string) string {
	sum, err := hex.DecodeString(digest)
	if err != nil {
		return digest
	}
	return base64.StdEncoding.EncodeToString(sum)
}
