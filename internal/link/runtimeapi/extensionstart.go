package runtimeapi

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hearth/internal/hearth"
)

// The failures that extensions cause (Extensions API).
const (
	typeLaunch = "Extension.LaunchError"
	typeCrash  = "Extension.Crash"
)

// notForExtensions are variables that only the runtime sees (Extensions API).
var notForExtensions = []string{
	"_HANDLER", "AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT",
}

// startExtensions starts every program in the layers' folder extensions, in the order of
// their names.
func (a *adapter) startExtensions(env map[string]string) *hearth.FailureDoc {
	paths, err := findExtensions(filepath.Join(optDir(a.init.TaskRoot), "extensions"))
	if err != nil {
		return &hearth.FailureDoc{ErrorType: typeLaunch, ErrorMessage: sentence(err)}
	}
	env = maps.Clone(env)
	for _, name := range notForExtensions {
		delete(env, name)
	}
	for _, path := range paths {
		if err := a.startExtension(path, env); err != nil {
			return &hearth.FailureDoc{ErrorType: typeLaunch, ErrorMessage: cannotStart(path, err).ErrorMessage}
		}
	}
	if len(paths) == 0 {
		close(a.extensions.registered)
	}
	return nil
}

func (a *adapter) startExtension(path string, env map[string]string) error {
	x := a.extensions
	e := &extension{name: filepath.Base(path), news: make(chan []byte, pendingEvents)}
	x.mu.Lock()
	defer x.mu.Unlock() // it may register before Start returns
	process, outputs, err := a.spawn(path, env, func([]byte) uint32 { return 0 })
	if err != nil {
		return err
	}
	e.process = process
	x.list = append(x.list, e)
	x.outputs = append(x.outputs, outputs...)
	a.watch(process, e)
	return nil
}

// findExtensions lists the programs in a folder. One that cannot be run is an error, as
// whoever put it there wants it.
func findExtensions(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the extensions cannot be listed: %w", err)
	}
	var paths []string
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the extension %s cannot be used: %w", path, err)
		case info.IsDir(): // what the programs need lies beside them
			continue
		case info.Mode()&0o111 == 0:
			return nil, fmt.Errorf("the extension %s is not executable; run chmod +x on it before you make the archive", path)
		}
		paths = append(paths, path)
	}
	if len(paths) > maxExtensions {
		return nil, fmt.Errorf("there are %d extensions in %s; at most %d can be started", len(paths), dir, maxExtensions)
	}
	return paths, nil
}

func sentence(err error) string {
	text := strings.TrimSuffix(err.Error(), ".")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// crashed ends an instance whose extension has ended, which none may before it is told
// to (Extensions API): in its init, or with all invocations in flight.
func (a *adapter) crashed(e end) int {
	a.extensions.ended(e.ext)
	a.syncOutputs()
	for _, o := range a.extensions.outputs {
		o.sync()
	}
	a.held.release(flagLeaving)
	words, code := howEnded(e.status)
	a.extensions.mu.Lock()
	doc := e.ext.doc
	a.extensions.mu.Unlock()
	if doc == nil {
		doc = &hearth.FailureDoc{ErrorType: typeCrash, ErrorMessage: fmt.Sprintf(
			"Error: the extension %s exited %s. Extensions must run until they are told to shut down.", e.ext.name, words)}
	}
	a.tell(doc.ErrorType + ": " + doc.ErrorMessage)
	a.failInit(encode(*doc))
	for _, inv := range a.table.claimAll() {
		mine := *doc
		mine.ErrorMessage = "RequestId: " + inv.id + " " + doc.ErrorMessage
		a.finish(inv, flagFailed|flagLeaving, encode(mine))
	}
	return max(code, 1)
}

// environment is this process's own, which may have marks of the sandbox in it, under
// the function's.
func (a *adapter) environment(api string) map[string]string {
	env := map[string]string{}
	for _, pair := range os.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		env[key] = value
	}
	maps.Copy(env, a.init.Env)
	env["AWS_LAMBDA_RUNTIME_API"] = api
	return env
}

// list is the environment as processes take it.
func list(env map[string]string) []string {
	pairs := make([]string, 0, len(env))
	for key, value := range env {
		pairs = append(pairs, key+"="+value)
	}
	slices.Sort(pairs)
	return pairs
}
