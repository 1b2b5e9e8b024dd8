package runtimeapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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

// optRoot is where layers are on Lambda. Here they are the folder opt of the code, which
// is seen as /opt in a sandbox that has a file system of its own.
const optRoot = "/opt"

// optDir is where the layers are.
func optDir(taskRoot string) string {
	if taskRoot == lambdaRoot {
		if files, err := os.ReadDir(optRoot); err == nil && len(files) > 0 {
			return optRoot
		}
	}
	return filepath.Join(taskRoot, "opt")
}

// command finds the program of a function: the bootstrap in the code or in a layer, and
// for go1.x the one that the handler names. The failure says what to do.
func command(init *link.Init, runtime string) (string, *hearth.FailureDoc) {
	places := []string{filepath.Join(init.TaskRoot, "bootstrap"), filepath.Join(optDir(init.TaskRoot), "bootstrap")}
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
	case errors.Is(err, fs.ErrNotExist) && endsLikeDOS(path):
		return badEntry("%s cannot be run: its first line ends with a carriage return, as on Windows. Save it with line ends of Unix.", path)
	case errors.Is(err, fs.ErrNotExist):
		return badEntry("%s cannot be run: the interpreter or the loader that it names does not exist here. Link the program statically, or use #!/bin/sh.", path)
	}
	return badEntry("%s cannot be run: %v.", path, err)
}

// endsLikeDOS tells a script whose first line has a carriage return at its end: the
// kernel takes it for a part of the interpreter's name.
func endsLikeDOS(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head) // fewer are enough
	line, _, whole := bytes.Cut(head[:n], []byte("\n"))
	return whole && bytes.HasPrefix(line, []byte("#!")) && bytes.HasSuffix(line, []byte("\r"))
}

// Process is the runtime or an extension: the owner's program.
type Process interface {
	// Signal sends a signal to it and its children.
	Signal(sig syscall.Signal)
	// Done delivers how it ended, once.
	Done() <-chan syscall.WaitStatus
}

// StartFunc starts a program with descriptors 1 and 2.
type StartFunc func(path, dir string, env []string, stdout, stderr *os.File) (Process, error)

// spawner starts processes, passes signals on to them, and waits for all that end.
type spawner struct {
	signals chan os.Signal
	serving sync.WaitGroup

	mu       sync.Mutex // held while a process is made, so that none ends unknown
	children map[int]*child
}

func newSpawner() *spawner {
	s := &spawner{signals: make(chan os.Signal, 16), children: map[int]*child{}}
	signal.Notify(s.signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	s.serving.Go(s.serve)
	return s
}

// close ends the spawner's goroutine.
func (s *spawner) close() {
	signal.Stop(s.signals)
	close(s.signals)
	s.serving.Wait()
}

// Start implements StartFunc.
func (s *spawner) Start(path, dir string, env []string, stdout, stderr *os.File) (Process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{
		Dir: dir, Env: env, Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	c := &child{pid: pid, done: make(chan syscall.WaitStatus, 1)}
	s.children[pid] = c
	return c, nil
}

func (s *spawner) serve() {
	for sig := range s.signals {
		if sig == syscall.SIGCHLD {
			s.reap()
			continue
		}
		s.mu.Lock()
		for _, c := range s.children {
			c.Signal(sig.(syscall.Signal))
		}
		s.mu.Unlock()
	}
}

// reap waits for whoever has ended: as the first process of a sandbox, this one
// inherits the children of others.
func (s *spawner) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil || pid <= 0:
			return
		case s.children[pid] != nil:
			s.children[pid].done <- status
			delete(s.children, pid)
		}
	}
}

// child is a real process.
type child struct {
	pid  int
	done chan syscall.WaitStatus
}

func (c *child) Signal(sig syscall.Signal) { _ = syscall.Kill(-c.pid, sig) } // gone already

func (c *child) Done() <-chan syscall.WaitStatus { return c.done }
