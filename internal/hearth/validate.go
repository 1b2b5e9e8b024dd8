package hearth

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxNameLen and the rest are limits of names and tags; they are Lambda's.
const (
	MaxNameLen        = 64
	MaxHandlerLen     = 128
	MaxDescriptionLen = 256
	MinKeepAlive      = time.Second
	// MinFreezeAfter keeps what comes in quick succession from being frozen in between.
	MinFreezeAfter = 100 * time.Millisecond
	// MaxCapacityProviderLen is in bytes (Lambda API).
	MaxCapacityProviderLen = 140
	// NoKeepAlive as a Config's KeepAlive ends an instance as soon as it is idle.
	NoKeepAlive time.Duration = -1
)

var (
	namePattern    = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	handlerPattern = regexp.MustCompile(`^[^\s\p{Cc}]+$`)
)

// Normalize fills in the default of every field that is zero. It changes nothing in
// a Config that is complete, so it may be called twice. To leave an instance no
// idle life at all, set KeepAlive to NoKeepAlive: zero stands for the default here.
func (c *Config) Normalize() {
	if c.MemoryMB == 0 {
		c.MemoryMB = DefaultMemoryMB
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.TmpMB == 0 {
		c.TmpMB = DefaultTmpMB
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = DefaultKeepAlive
	}
	if c.Model == "" {
		c.Model = Exclusive
	}
	if c.MaxConcurrency == 0 {
		c.MaxConcurrency = DefaultMaxConcurrency
	}
}

// Validate checks a complete Config against Lambda's and Hearth's limits. The error
// is an *Error with ErrInvalid that names every field that is wrong, its value,
// what is allowed and the way out. Field names are those of Lambda's API.
func (c *Config) Validate() error {
	if c.Runtime == "" || c.Handler == "" {
		return Errorf(ErrInvalid, "Runtime and Handler are mandatory parameters for functions created with deployment packages. "+
			"Give a runtime such as nodejs20.x or python3.12, and a handler such as index.handler. Custom runtimes want a handler, too, whatever it says.")
	}
	if _, err := Language(c.Runtime); err != nil {
		return err
	}
	if _, err := ParseDialect(string(c.Dialect)); err != nil {
		return err
	}
	var v violations
	v.between("memorySize", int64(c.MemoryMB), MinMemoryMB, MaxMemoryMB, "MB")
	v.timeout(c.Timeout)
	v.between("ephemeralStorage.size", int64(c.TmpMB), DefaultTmpMB, MaxTmpMB, "MB")
	v.keepAlive(c.KeepAlive)
	v.between("maxConcurrency", int64(c.MaxConcurrency), 1, MaxMaxConcurrency, "invocations in one instance")
	if c.Model != Exclusive && c.Model != Concurrent {
		v.add("executionModel", string(c.Model), "Member must satisfy enum value set: [exclusive, concurrent]")
	}
	if len(c.Handler) > MaxHandlerLen {
		v.add("handler", c.Handler, "Member must have length less than or equal to %d", MaxHandlerLen)
	} else if !handlerPattern.MatchString(c.Handler) {
		v.add("handler", c.Handler, `Member must satisfy regular expression pattern: [^\s]+ (no spaces; for example index.handler)`)
	}
	if len(c.CapacityProvider) > MaxCapacityProviderLen || !utf8.ValidString(c.CapacityProvider) {
		v.add("capacityProviderArn", c.CapacityProvider, "Member must have length less than or equal to %d", MaxCapacityProviderLen)
	}
	if c.LogFormat != "" && c.LogFormat != LogJSON {
		v.add("loggingConfig.logFormat", c.LogFormat, "Member must satisfy enum value set: [JSON, Text]")
	}
	if c.LogLevel != "" && !slices.Contains(LogLevels(), c.LogLevel) {
		v.add("loggingConfig.applicationLogLevel", c.LogLevel, "Member must satisfy enum value set: [%s]", strings.Join(LogLevels(), ", "))
	}
	if utf8.RuneCountInString(c.Description) > MaxDescriptionLen {
		v.add("description", c.Description, "Member must have length less than or equal to %d", MaxDescriptionLen)
	}
	if err := v.err(); err != nil {
		return err
	}
	return validateEnv(c.Env)
}

// Validate checks the whole function: name, configuration, tags, reserved concurrency
// and asynchronous invocation. Errors are as Config.Validate's.
func (f *Function) Validate() error {
	if err := ValidateName(f.Name); err != nil {
		return err
	}
	if err := f.Latest.Config.Validate(); err != nil {
		return err
	}
	if f.Reserved != nil && *f.Reserved < 0 {
		var v violations
		v.add("reservedConcurrentExecutions", strconv.Itoa(*f.Reserved), "Member must have value greater than or equal to 0 (0 refuses every invocation)")
		return v.err()
	}
	if n := f.provisionedSum(); f.Reserved != nil && n > *f.Reserved {
		return Errorf(ErrInvalid, "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function: "+
			"%d would be provisioned, %d are reserved. Provision less, or reserve more.", n, *f.Reserved)
	}
	if err := f.Async.Validate(); err != nil {
		return err
	}
	if err := validateRoutes(f.Routes); err != nil {
		return err
	}
	if err := validateTriggers(f.Triggers); err != nil {
		return err
	}
	return ValidateTags(f.Tags)
}

// ValidateName checks a bare function name: 1 to 64 of a-z, A-Z, 0-9, '-' and '_'
// (Lambda API). Names are thus safe in file names, subjects and host names' paths.
func ValidateName(name string) error {
	var v violations
	switch {
	case namePattern.MatchString(name):
		return nil
	case len(name) > MaxNameLen:
		v.add("functionName", name, "Member must have length less than or equal to %d (a function's name is 1 to %d letters, digits, '-' and '_')", MaxNameLen, MaxNameLen)
	default:
		v.add("functionName", name, "Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+ (a function's name is 1 to %d letters, digits, '-' and '_')", MaxNameLen)
	}
	return v.err()
}

// CheckHandler tells whether handler has the shape that runtime's language needs:
// module.function, or anything for a custom runtime. Lambda accepts any word when a function is created and fails at
// its first invocation, so Validate does not call this; tools that deploy may, to
// fail sooner.
func CheckHandler(runtime, handler string) error {
	lang, err := Language(runtime)
	if err != nil {
		return err
	}
	if lang == LangCustom {
		return nil
	}
	dot := strings.LastIndexByte(handler, '.')
	if dot <= 0 || dot == len(handler)-1 || strings.HasSuffix(handler[:dot], "/") {
		example := "index.handler for index.js that exports handler"
		if lang == LangPython {
			example = "main.handler for main.py that defines handler"
		}
		return Errorf(ErrInvalid, "handler %q is not of the form module.function: write, for example, %s.", handler, example)
	}
	return nil
}

// violations collects what is wrong, to be worded as Lambda words it.
type violations []string

func (v *violations) add(field, value, format string, args ...any) {
	*v = append(*v, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", clip(value), field, fmt.Sprintf(format, args...)))
}

func (v *violations) between(field string, n, low, high int64, unit string) {
	if n < low {
		v.add(field, strconv.FormatInt(n, 10), "Member must have value greater than or equal to %d (allowed: %d to %d %s)", low, low, high, unit)
	} else if n > high {
		v.add(field, strconv.FormatInt(n, 10), "Member must have value less than or equal to %d (allowed: %d to %d %s)", high, low, high, unit)
	}
}

// timeout accepts milliseconds for Hearth's own API; Lambda's knows whole seconds.
func (v *violations) timeout(d time.Duration) {
	seconds := strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
	switch {
	case d < time.Second:
		v.add("timeout", seconds, "Member must have value greater than or equal to 1 (allowed: 1 to 900 seconds)")
	case d > MaxTimeout:
		v.add("timeout", seconds, "Member must have value less than or equal to 900 (allowed: 1 to 900 seconds)")
	case d%time.Millisecond != 0:
		v.add("timeout", seconds, "Member must be a whole number of milliseconds")
	}
}

func (v *violations) keepAlive(d time.Duration) {
	if d == 0 || d == NoKeepAlive || d >= MinKeepAlive && d <= MaxKeepAlive {
		return
	}
	v.add("keepAlive", d.String(), "Member must be 0s, or between %s and %s (for example 15m)", MinKeepAlive, "24h")
}

func (v violations) err() error {
	switch len(v) {
	case 0:
		return nil
	case 1:
		return Errorf(ErrInvalid, "1 validation error detected: %s", v[0])
	}
	return Errorf(ErrInvalid, "%d validation errors detected: %s", len(v), strings.Join(v, "; "))
}

// clip keeps a caller's value short enough, and plain enough, to be repeated in an
// error message.
func clip(s string) string {
	const most = 128
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return s
}

// envKeyPattern is Lambda's: a letter first, two characters at least.
var envKeyPattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)

// reservedEnv are the variables that the platform sets itself; Lambda refuses them
// too. The last one is Lambda's for managed instances: its mere presence flips
// runtimes into concurrent mode, so nobody but the platform may set it.
var reservedEnv = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID",
	"AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
	"AWS_LAMBDA_MAX_CONCURRENCY",
}

// ReservedEnv lists the environment variables that a function may not set itself.
func ReservedEnv() []string { return slices.Clone(reservedEnv) }

func validateEnv(env map[string]string) error {
	var reserved, bad, unfit []string
	size := 0
	for key, value := range env {
		size += len(key) + len(value)
		switch {
		case slices.Contains(reservedEnv, key):
			reserved = append(reserved, key)
		case !envKeyPattern.MatchString(key):
			bad = append(bad, key)
		case strings.ContainsRune(value, 0) || !utf8.ValidString(value):
			unfit = append(unfit, key)
		}
	}
	slices.Sort(reserved)
	slices.Sort(bad)
	slices.Sort(unfit)
	switch {
	case len(reserved) > 0:
		return Errorf(ErrInvalid, "Lambda was unable to configure your environment variables because the environment variables you have provided "+
			"contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s. "+
			"The platform sets them itself: choose other names.", strings.Join(reserved, ", "))
	case len(bad) > 0:
		var v violations
		v.add("environment.variables", strings.Join(bad, ", "),
			"Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+] (a letter first, then at least one letter, digit or '_')")
		return v.err()
	case len(unfit) > 0:
		return Errorf(ErrInvalid, "environment variable %s has a value that is not UTF-8 text without NUL bytes: encode it, for example as base64.", unfit[0])
	case size > MaxEnvBytes:
		return Errorf(ErrInvalid, "Lambda was unable to configure your environment variables because the environment variables you have provided "+
			"exceeded the 4KB limit. Names and values together measure %d bytes, %d are allowed: put large values into a file of the function's code.", size, MaxEnvBytes)
	}
	return nil
}
