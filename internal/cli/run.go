package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hearth/internal/cli/screen"
)

const runLong = `Run one function of a folder on one port of this machine, for development. It starts
a platform of its own with nothing in it, deploys the folder, and shows the log as it
is written, with the places of errors as they are in the folder. When a file changes
the function is deployed anew. Ctrl-C removes everything.

Requests go to the function as they would to /fn/NAME/, from the path / on. The paths
that a serverless.yml declares with http and httpApi events answer where it says, with
its payload format; with several functions in the folder they alone decide who
answers, unless --function names one.

What the function is comes from the folder as with hearth deploy, and the same flags
win over it. Functions run as plain processes of yours, unless --isolation says auto.`

const runExample = `  # the function in this folder at http://127.0.0.1:8080/
  hearth run

  # one of several, on another port
  hearth run ./shop --function order --port 8090

  # with an event of another cloud
  hearth event apigateway-v2 | curl -d @- http://127.0.0.1:8080/`

// runner is one hearth run.
type runner struct {
	*app
	dir       string
	deploy    *deployFlags
	flags     *pflag.FlagSet
	port      int
	function  string
	isolation string
	watch     bool

	client *client
	data   string         // of the private platform
	places *regexp.Regexp // of code inside of the platform
	said   sync.Mutex     // one line at a time

	mu      sync.Mutex
	target  *runTarget
	follows map[string]bool // functions whose log is being followed
	logs    sync.WaitGroup
}

// runTarget is where requests go.
type runTarget struct {
	function string // "" when declared paths alone decide
	service  string // "" when there are none
}

func (a *app) runCommand() *cobra.Command {
	r := &runner{app: a, deploy: &deployFlags{}, follows: map[string]bool{}}
	cmd := &cobra.Command{
		Use:     "run [DIR]",
		Short:   "Run a function on one port, for development",
		Long:    runLong,
		Example: runExample,
		Args:    atMostOne("folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.dir, r.flags = ".", cmd.Flags()
			if len(args) == 1 {
				r.dir = args[0]
			}
			return r.run(cmd.Context())
		},
	}
	r.deploy.register(cmd)
	f := cmd.Flags()
	f.IntVar(&r.port, "port", 8080, "the port of 127.0.0.1 to answer on; 0 = any that is free")
	f.StringVar(&r.function, "function", "", "the function to run, by its `name` in the project's file")
	f.BoolVar(&r.watch, "watch", true, "deploy anew when a file of the folder changes")
	f.StringVar(&r.isolation, "isolation", IsolationProcess, "process, auto or runc")
	for _, flag := range []string{"name", "prefix"} {
		must(f.MarkHidden(flag))
	}
	return cmd
}

func (r *runner) run(ctx context.Context) (err error) {
	if r.Up == nil {
		return platformf("this build of hearth cannot start a platform")
	}
	if err := oneOf("--isolation", r.isolation, IsolationAuto, IsolationRunc, IsolationProcess); err != nil {
		return usagef("%w", err)
	}
	before := r.look()
	first, err := r.plan(ctx)
	if err != nil {
		return err // nothing has been started yet
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(r.port)))
	if err != nil {
		return usagef("port %d cannot be used: %s. Choose another with --port", r.port, rootCause(err))
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, err := r.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	defer r.logs.Wait()
	defer cancel() // ends the logs before they are waited for
	if err := r.put(ctx, first, "running"); err != nil {
		return err
	}
	return r.serve(ctx, l, before)
}

// look is what the folder holds before it is read, so that no change made while the
// platform starts is missed; nothing when changes do not count.
func (r *runner) look() map[string]stamp {
	if !r.watch {
		return nil
	}
	return snapshot(r.dir)
}

// serve answers requests, and looks for changes since before, until ctx ends.
func (r *runner) serve(ctx context.Context, l net.Listener, before map[string]stamp) error {
	server := &http.Server{Handler: r.handler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	r.say(fmt.Sprintf("%s answers at %s", r.name(), r.out.Paint(screen.Cyan, "http://"+l.Addr().String()+"/")))
	if r.watch {
		r.logs.Go(func() { r.watchFolder(ctx, before) })
	}
	select {
	case err := <-failed:
		return platformf("%w", err)
	case <-ctx.Done():
	}
	patience, done := context.WithTimeout(context.Background(), 2*time.Second)
	defer done()
	if server.Shutdown(patience) != nil {
		_ = server.Close() // those who are still waiting are cut off
	}
	<-failed
	return ctx.Err()
}

func (r *runner) name() string {
	t := r.where()
	switch {
	case t.function == "":
		return "service " + t.service
	case t.service != "":
		return t.function + ", with the paths of " + t.service + ","
	}
	return t.function
}

// start brings the private platform up. stop takes it down, and removes its data.
func (r *runner) start(ctx context.Context) (stop func() error, err error) {
	if r.data, err = os.MkdirTemp("", "hearth-run-"); err != nil {
		return nil, err
	}
	c := DefaultUpConfig(r.Getenv, os.Geteuid())
	c.Listen, c.DataDir, c.Isolation, c.LogLevel = "127.0.0.1:0", r.data, r.isolation, "error"
	ctx, cancel := context.WithCancel(ctx)
	ready := &readyWriter{ready: make(chan string, 1)}
	ended := make(chan error, 1)
	go func() { ended <- r.Up(ctx, c, ready) }()
	remove := func() error {
		return os.RemoveAll(r.data)
	}
	select {
	case address := <-ready.ready:
		r.client = &client{base: address, http: r.http}
		r.places = regexp.MustCompile(regexp.QuoteMeta(r.data) + `/code/[^/\s:()]+/(?:code/)?|/var/task/`)
		return func() error { cancel(); return errors.Join(<-ended, remove()) }, nil
	case err := <-ended:
		cancel()
		if err == nil {
			err = ctx.Err()
		}
		return nil, errors.Join(platformf("the platform did not start: %w", err), remove())
	}
}

// readyWriter takes what a platform says and finds out where it listens.
type readyWriter struct {
	text  bytes.Buffer
	told  bool
	ready chan string
}

var listens = regexp.MustCompile(`listens on (http://\S+)`)

func (w *readyWriter) Write(p []byte) (int, error) {
	if w.told {
		return len(p), nil
	}
	w.text.Write(p)
	if text := w.text.String(); strings.Contains(text, "\nready\n") {
		if m := listens.FindStringSubmatch(text); m != nil {
			w.ready <- m[1]
			w.told = true
		}
	}
	return len(p), nil
}

var _ io.Writer = (*readyWriter)(nil)

// plan reads the folder and settles which functions it is about.
func (r *runner) plan(ctx context.Context) (*planned, error) {
	r.deploy.name, r.deploy.prefix = r.function, "" // others are not even deployed
	p, err := r.planDeploy(ctx, r.dir, r.deploy, r.flags)
	if err != nil {
		return nil, err
	}
	target := &runTarget{}
	var names []string
	for i := range p.plans {
		names = append(names, p.plans[i].Name)
		if len(p.plans[i].Routes) > 0 {
			target.service = p.project.Service
		}
	}
	switch {
	case len(names) == 1:
		target.function = names[0]
	case target.service == "":
		return nil, usagef("%s holds several functions; choose one with --function: %s", filepath.Join(r.dir, p.project.File), strings.Join(names, ", "))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	return p, nil
}

func (r *runner) where() runTarget {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *r.target
}

// put deploys everything that was planned.
func (r *runner) put(ctx context.Context, p *planned, word string) error {
	for i := range p.plans {
		begin := r.now()
		d, err := r.client.put(ctx, &p.plans[i])
		if err != nil {
			return fmt.Errorf("%s: %w", p.plans[i].Name, err)
		}
		r.say(fmt.Sprintf("%s %s  %s", r.out.Paint(screen.Bold, d.Name), r.out.Paint(screen.Green, word),
			r.out.Paint(screen.Dim, strings.Join([]string{d.Runtime, d.Handler, d.Dialect, r.now().Sub(begin).Round(time.Millisecond).String()}, " · "))))
		r.follow(ctx, d.Name)
	}
	return nil
}

// follow shows a function's log, once.
func (r *runner) follow(ctx context.Context, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.follows[name] {
		return
	}
	r.follows[name] = true
	r.logs.Go(func() {
		path := functionPath(name) + "/logs" + query("follow", "1", "limit", "1000")
		err := r.client.lines(ctx, path, func(line []byte) error { return r.logLine(name, line) })
		if err != nil && ctx.Err() == nil {
			r.say(r.out.Paint(screen.Red, fmt.Sprintf("the log of %s ended: %v", name, err)))
		}
	})
}

func (r *runner) say(line string) {
	r.said.Lock()
	defer r.said.Unlock()
	fmt.Fprintln(r.out, line)
}
