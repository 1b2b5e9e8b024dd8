package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// rival is something that Hearth is compared with: a process, with children perhaps,
// that answers HTTP.
type rival struct {
	process
	url string
	dir string
}

// contestant is the server in a contest, under a name.
func (s rival) contestant(name string) contestant {
	return contestant{name: name, load: load{URL: s.url}, server: func() []int { return tree(s.cmd.Process.Pid) }}
}

// stop ends the server and its children; one that never was started is stopped already.
func (s rival) stop() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	// Each has a process group of its own, so that nothing is left behind.
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	hard := time.AfterFunc(3*time.Second, func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
	defer hard.Stop()
	_ = s.cmd.Wait()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
}

// folder makes a folder with copies of embedded files: a name in it → an embedded path.
func (s *suite) folder(name string, copies map[string]string) (string, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for to, from := range copies {
		text, err := files.ReadFile(from)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// startDirect starts the plain Node server with the handler of a folder of functions.
func (s *suite) startDirect(function, way string) (rival, error) {
	dir, err := s.folder("direct-"+function, map[string]string{"direct.js": "direct.js", "handler.js": "functions/" + function + "/index.js"})
	if err != nil {
		return rival{}, err
	}
	return s.direct(dir, way)
}

// direct starts the plain Node server of a folder that startDirect has made.
func (s *suite) direct(dir, way string) (rival, error) {
	cmd := exec.CommandContext(s.ctx, s.cfg.Node, "direct.js", "./handler.js", way)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return rival{}, err
	}
	if err := cmd.Start(); err != nil {
		return rival{}, fmt.Errorf("start node: %w", err)
	}
	x := rival{process: process{cmd}, dir: dir}
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		x.stop()
		return rival{}, fmt.Errorf("the plain node server did not start: %w", err)
	}
	x.url = "http://127.0.0.1:" + strings.TrimSpace(port) + "/"
	return x, nil
}

// startPython starts one of the Python servers beside the hello handler.
func (s *suite) startPython(file string, args func(port string) []string) (rival, error) {
	dir, err := s.folder("python", map[string]string{"app.py": "functions/pyhello/app.py", file: "peers/" + file})
	if err != nil {
		return rival{}, err
	}
	return s.serve(dir, nil, func(addr string) []string {
		_, port, _ := net.SplitHostPort(addr)
		return append([]string{s.cfg.Python}, args(port)...)
	})
}

// serve starts a command that is told a free address, and waits for its first answer.
func (s *suite) serve(dir string, env []string, command func(addr string) []string) (rival, error) {
	addr, err := freeAddress()
	if err != nil {
		return rival{}, err
	}
	args := command(addr)
	cmd := exec.CommandContext(s.ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return rival{}, fmt.Errorf("start %s: %w", args[0], err)
	}
	x := rival{process: process{cmd}, url: "http://" + addr + "/", dir: dir}
	if err := answers(s.ctx, x.url, 20*time.Second); err != nil {
		x.stop()
		return rival{}, fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, bytes.TrimSpace(log.Bytes()))
	}
	return x, nil
}

// answers waits until a URL answers 200.
func answers(ctx context.Context, url string, d time.Duration) error {
	client := &http.Client{Timeout: d}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(d); ; {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer within %v: %w", d, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
