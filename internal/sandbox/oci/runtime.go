package oci

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	runc "github.com/containerd/go-runc"

	"hearth/internal/sandbox/child"
	"hearth/internal/sandbox/statedir"
)

// flavour is what differs between OCI runtimes. Everything that is true of one of
// them only is in this file.
type flavour struct {
	// packages tells how to get it.
	packages string
	// seccomp: it applies the specification's system call filter. (A runtime that
	// does not must have a kernel of its own.)
	seccomp bool
	// forget removes what the runtime knows of a container whose processes have all
	// gone; cgroups are not its business. If nil, the runtime is asked to do it.
	forget func(root, id string) error
}

var flavours = map[string]flavour{
	"runc": {
		packages: "apt-get install runc",
		seccomp:  true,
		// A directory with one file. Asking runc takes 20 ms of processor time, more
		// than all the rest of Destroy.
		forget: func(root, id string) error { return os.RemoveAll(filepath.Join(root, id)) },
	},
}

// startTimeout bounds one run of the runtime. It is only met by machines in trouble.
const startTimeout = 60 * time.Second

// engine drives one runtime's command line.
type engine struct {
	flavour
	name string
	path string
	root string
}

func (e *engine) client(log string) *runc.Runc {
	return &runc.Runc{
		Command:   e.path,
		Root:      e.root,
		Log:       log,
		LogFormat: runc.JSON,
		Setpgid:   true, // a terminal's Ctrl-C is for us alone
	}
}

// run starts the container of a bundle and returns once its first process runs,
// which is then our child. The caller must clean up also after an error.
//
// It is not cut short when ctx ends: an interrupted runtime leaves more behind than
// one that has 30 ms more time.
func (e *engine) run(ctx context.Context, id, bundle string, s *child.Streams) (pid int, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	log, pidFile := filepath.Join(bundle, "log.json"), filepath.Join(bundle, "pid")
	_, err = e.client(log).Run(ctx, id, bundle, &runc.CreateOpts{
		IO:         outputOnly{s.InnerOutput},
		PidFile:    pidFile,
		Detach:     true,
		ExtraFiles: []*os.File{s.InnerConn},
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", e.name, explain(err, log))
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// delete makes the runtime forget a container, whatever state it is in.
func (e *engine) delete(ctx context.Context, id string) error {
	if e.forget != nil {
		return e.forget(e.root, id)
	}
	if _, err := os.Lstat(filepath.Join(e.root, id)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return e.client("").Delete(ctx, id, &runc.DeleteOpts{Force: true})
}

// list names the containers that the runtime knows.
func (e *engine) list() ([]string, error) { return statedir.Names(e.root) }

// outputOnly connects a runtime's output, and with it the container's, to one file.
type outputOnly struct{ file *os.File }

var _ runc.IO = outputOnly{}

func (o outputOnly) Set(cmd *exec.Cmd)     { cmd.Stdout, cmd.Stderr = o.file, o.file }
func (o outputOnly) Stdin() io.WriteCloser { return nil }
func (o outputOnly) Stdout() io.ReadCloser { return nil }
func (o outputOnly) Stderr() io.ReadCloser { return nil }
func (o outputOnly) Close() error          { return nil }

// explain finds the reason in the runtime's log.
func explain(err error, log string) error {
	f, ferr := os.Open(log)
	if ferr != nil {
		return err
	}
	defer f.Close()
	var last string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Level != "warning" && entry.Level != "info" && entry.Msg != "" {
			last = entry.Msg
		}
	}
	if last == "" {
		return err
	}
	return errors.New(last)
}
