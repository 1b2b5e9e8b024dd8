package runtimeapi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"hearth/internal/hearth"
	"hearth/internal/link"
)

// command finds the program of a function: the bootstrap in the code or in /opt, and
// for go1.x the one that the handler names. The failure says what to do.
func command(init *link.Init, runtime string) (string, *hearth.FailureDoc) {
	places := []string{filepath.Join(init.TaskRoot, "bootstrap"), "/opt/bootstrap"}
	if strings.HasPrefix(runtime, "go1") {
		places = []string{filepath.Join(init.TaskRoot, filepath.Clean("/"+init.Handler))}
	}
	for _, place := range places {
		info, err := os.Stat(place)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", badEntry("%s cannot be used: %v.", place, err)
		case !info.Mode().IsRegular():
			return "", badEntry("%s is no file. It must be an executable that speaks the Runtime API.", place)
		case info.Mode()&0o111 == 0:
			return "", badEntry("%s is not executable. Run chmod +x on it before you make the archive.", place)
		}
		return place, nil
	}
	return "", badEntry("Couldn't find valid bootstrap(s): %v. Put an executable of that name at the top of the archive.", places)
}

func badEntry(format string, args ...any) *hearth.FailureDoc {
	return &hearth.FailureDoc{ErrorType: "Runtime.InvalidEntrypoint", ErrorMessage: fmt.Sprintf(format, args...)}
}

// cannotStart explains why the kernel would not start a program.
func cannotStart(path string, err error) *hearth.FailureDoc {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return badEntry("%s cannot be run: exec format error. Build it for this machine's architecture; a script must begin with a line such as #!/bin/sh.", path)
	case errors.Is(err, fs.ErrNotExist):
		return badEntry("%s cannot be run: the interpreter or the loader that it names does not exist here. Link the program statically, or use #!/bin/sh.", path)
	}
	return badEntry("%s cannot be run: %v.", path, err)
}

// Process is the runtime: the owner's program.
type Process interface {
	// Signal sends a signal to it and its children.
	Signal(sig syscall.Signal)
	// Done delivers how it ended, once.
	Done() <-chan syscall.WaitStatus
}

// StartFunc starts the runtime with descriptors 1 and 2.
type StartFunc func(path, dir string, env []string, stdout, stderr *os.File) (Process, error)

// spawner starts a process, passes signals on to it, and waits for all that end.
type spawner struct {
	signals chan os.Signal
	serving sync.WaitGroup
}

func newSpawner() *spawner {
	s := &spawner{signals: make(chan os.Signal, 16)}
	signal.Notify(s.signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	return s
}

// close ends the spawner's goroutine.
func (s *spawner) close() {
	signal.Stop(s.signals)
	close(s.signals)
	s.serving.Wait()
}

// Start implements StartFunc. Call it once.
func (s *spawner) Start(path, dir string, env []string, stdout, stderr *os.File) (Process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{
		Dir: dir, Env: env, Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	c := &child{pid: pid, done: make(chan syscall.WaitStatus, 1)}
	s.serving.Go(func() { s.serve(c) })
	return c, nil
}

func (s *spawner) serve(c *child) {
	for sig := range s.signals {
		if sig == syscall.SIGCHLD {
			c.reap()
		} else {
			c.Signal(sig.(syscall.Signal))
		}
	}
}

// child is the real process.
type child struct {
	pid  int
	done chan syscall.WaitStatus
}

// reap waits for whoever has ended: as the first process of a sandbox, this one
// inherits the children of others.
func (c *child) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil || pid <= 0:
			return
		case pid == c.pid:
			c.done <- status
		}
	}
}

func (c *child) Signal(sig syscall.Signal) { _ = syscall.Kill(-c.pid, sig) } // gone already

func (c *child) Done() <-chan syscall.WaitStatus { return c.done }
