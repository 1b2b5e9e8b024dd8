package bench

import (
	"archive/zip"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

//go:embed functions peers direct.js
var files embed.FS

// process is a child that the experiment started and stops.
type process struct{ cmd *exec.Cmd }

// stop asks the child to end and waits for it.
func (p process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	hard := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer hard.Stop()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil // its status says how it was asked to end
	}
	return err
}

// platform is a Hearth under test.
type platform struct {
	process
	URL    string
	Ready  time.Duration // from the start of the process to the first healthy answer
	client *http.Client
}

// startPlatform starts binary on a free port and a fresh data directory.
func startPlatform(ctx context.Context, binary, dir string, args ...string) (*platform, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, append([]string{"up", "--listen", addr, "--data", dir}, args...)...)
	// A platform that is killed leaves its sandboxes behind: it is asked.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	p := &platform{process: process{cmd}, URL: "http://" + addr, client: &http.Client{Timeout: 60 * time.Second}}
	for deadline := begin.Add(20 * time.Second); ; {
		resp, err := p.client.Get(p.URL + "/healthz")
		if err == nil {
			resp.Body.Close()
			p.Ready = time.Since(begin)
			return p, nil
		}
		if time.Now().After(deadline) {
			_ = p.stop()
			return nil, fmt.Errorf("the platform did not become ready in 20 s:\n%s", log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// deploy creates a function from functions/folder with the given configuration.
func (p *platform) deploy(name, folder string, config map[string]any) error {
	archive, err := zipFolder("functions/"+folder, "")
	if err != nil {
		return err
	}
	return p.put(name, map[string]any{"config": config, "code": archive})
}

func (p *platform) put(name string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPut, p.URL+"/hearth/v1/functions/"+name, bytes.NewReader(text))
	if err != nil {
		return err
	}
	_, err = p.do(req)
	return err
}

// call requests a URL of the platform and gives the body of a 2xx answer.
func (p *platform) call(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, p.URL+path, nil)
	if err != nil {
		return nil, err
	}
	return p.do(req)
}

func (p *platform) do(req *http.Request) ([]byte, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, body)
	}
	return body, nil
}

// zipFolder makes an archive of embedded files, with something added to each.
func zipFolder(folder, added string) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	entries, err := files.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := files.ReadFile(folder + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		w, err := z.Create(e.Name())
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(append(text, added...)); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
