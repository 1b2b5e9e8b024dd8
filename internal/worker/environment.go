package worker

import (
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"
	"time"

	"hearth/internal/hearth"
)

// What every function's environment begins with.
const (
	searchPath = "/usr/local/bin:/usr/bin:/bin:/opt/bin"
	locale     = "C.UTF-8"
	timeZone   = ":UTC"
)

// environment is what the handler sees: Lambda's own variables and the owner's.
// Lambda's names are reserved, so the owner's cannot hide them (Lambda API).
func (w *Worker) environment(v *hearth.Version, instance, stream string, place place) map[string]string {
	c := &v.Config
	env := map[string]string{
		"PATH": searchPath,
		"LANG": locale,
		"TZ":   timeZone,
		"HOME": place.tmp,
	}
	maps.Copy(env, c.Env)
	maps.Copy(env, map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME":        v.Function,
		"AWS_LAMBDA_FUNCTION_VERSION":     v.Number,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(c.MemoryMB),
		"AWS_LAMBDA_LOG_GROUP_NAME":       logGroup(v.Function),
		"AWS_LAMBDA_LOG_STREAM_NAME":      stream,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_REGION":                      w.cfg.Region,
		"AWS_DEFAULT_REGION":              w.cfg.Region,
		"AWS_EXECUTION_ENV":               "AWS_Lambda_" + c.Runtime,
		"LAMBDA_TASK_ROOT":                place.code,
		"LAMBDA_RUNTIME_DIR":              place.shim,
		"_HANDLER":                        c.Handler,
		"HEARTH_INSTANCE_ID":              instance,
	})
	if c.Model == hearth.Concurrent {
		// Presence, not value, makes runtimes poll concurrently (Runtime API), so it
		// is absent for exclusive.
		env["AWS_LAMBDA_MAX_CONCURRENCY"] = strconv.Itoa(c.MaxConcurrency)
	}
	if c.LogFormat != "" {
		env["AWS_LAMBDA_LOG_FORMAT"] = c.LogFormat
	}
	if c.LogLevel != "" {
		env["AWS_LAMBDA_LOG_LEVEL"] = c.LogLevel
	}
	setDefault(env, "TMPDIR", place.tmp)
	setDefault(env, "NODE_PATH", "/opt/nodejs/node_modules:"+path.Join(place.code, "node_modules"))
	setDefault(env, "PYTHONPATH", place.code)
	return env
}

func setDefault(env map[string]string, key, value string) {
	if _, ok := env[key]; !ok {
		env[key] = value
	}
}

// place is where things are as seen from inside the sandbox.
type place struct{ code, shim, tmp string }

func logGroup(function string) string { return "/aws/lambda/" + function }

// logStream names an instance's log the way Lambda does.
func logStream(v *hearth.Version, instance string, now time.Time) string {
	return fmt.Sprintf("%s/[%s]%s", now.UTC().Format("2006/01/02"), v.Number, instance)
}

func pairs(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for k, v := range env {
		if !strings.ContainsRune(v, 0) {
			list = append(list, k+"="+v)
		}
	}
	return list
}
