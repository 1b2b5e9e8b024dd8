package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"hearth/internal/hearth"
)

// asyncEventBytes is the size of the payloads of all asynchronous figures.
const asyncEventBytes = 1024

// asyncIdleEvents are sent one after the other to a queue that is empty.
const asyncIdleEvents = 200

// AsyncReport has the figures of asynchronous invocation.
type AsyncReport struct {
	Accepted []AsyncComparison `json:"accepted"`
	DelayP50 time.Duration     `json:"delayP50"` // from sending an event to its handler, idle queue
	DelayP99 time.Duration     `json:"delayP99"`
	Queued   AsyncQueued       `json:"queued"`
}

// AsyncComparison is accepted events per second against publishes to plain JetStream,
// both synced to disk before the answer, at one number of clients.
type AsyncComparison struct {
	Clients  int      `json:"clients"`
	Accepted measured `json:"accepted"`
	Raw      float64  `json:"rawPerSecond"`
	Ratio    float64  `json:"ratio"` // median of the rounds'
}

// RunAsync measures asynchronous invocation; events is how many are queued for the
// figures on a long queue (1,000,000 take a minute or two).
func RunAsync(ctx context.Context, cfg Config, events int) (*AsyncReport, error) {
	cfg.fill()
	dir, err := os.MkdirTemp("", "hearth-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	p, err := startPlatform(ctx, cfg.Binary, filepath.Join(dir, "data"), cfg.Args...)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	r := &AsyncReport{}
	if r.DelayP50, r.DelayP99, err = measureDelay(cfg, p); err != nil {
		return nil, err
	}
	for _, clients := range []int{1, 16, 64} {
		row, err := compareAccepted(ctx, cfg, p, dir, clients)
		if err != nil {
			return nil, err
		}
		r.Accepted = append(r.Accepted, row)
	}
	r.Queued, err = measureQueued(ctx, cfg, events)
	return r, err
}

// measureDelay sends one event after the other, each after the last was executed.
func measureDelay(cfg Config, p *platform) (p50, p99 time.Duration, err error) {
	fmt.Fprintln(cfg.Progress, "delay of an idle queue")
	err = p.deploy("delay", "delay", map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": 256, "model": hearth.Concurrent, "maxConcurrency": 100, "timeout": "10s"})
	if err != nil {
		return 0, 0, err
	}
	ask := func() ([]float64, error) {
		text, err := p.invoke("delay", "RequestResponse", []byte("{}"))
		var delays []float64 // milliseconds
		if err == nil {
			err = json.Unmarshal(text, &delays)
		}
		return delays, err
	}
	delays, err := ask()
	for i := 0; i < asyncIdleEvents && err == nil; i++ {
		sent := fmt.Appendf(nil, `{"sent":%.3f}`, float64(time.Now().UnixMicro())/1000)
		if _, err = p.invoke("delay", "Event", sent); err != nil {
			break
		}
		for deadline := time.Now().Add(10 * time.Second); err == nil && len(delays) <= i; {
			if time.Now().After(deadline) {
				return 0, 0, errors.New("an event was not executed within 10 s")
			}
			time.Sleep(5 * time.Millisecond)
			delays, err = ask()
		}
	}
	if err != nil {
		return 0, 0, err
	}
	slices.Sort(delays)
	at := func(q float64) time.Duration {
		return time.Duration(delays[int(q*float64(len(delays)-1))] * float64(time.Millisecond))
	}
	return at(0.5), at(0.99), nil
}

// invoke calls a function by Lambda's API.
func (p *platform) invoke(name, kind string, payload []byte) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, p.URL+"/2015-03-31/functions/"+name+"/invocations", bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Invocation-Type", kind)
	return p.do(req)
}

// deployHold deploys a function that executes one event at a time, slowly: what is
// measured is accepting.
func (p *platform) deployHold(name string) error {
	err := p.deploy(name, "hold", map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": 256, "timeout": "900s"})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPut, p.URL+"/2017-10-31/functions/"+name+"/concurrency",
		strings.NewReader(`{"ReservedConcurrentExecutions":1}`))
	if err != nil {
		return err
	}
	_, err = p.do(req)
	return err
}

func asyncPayload() string {
	return `{"x":"` + strings.Repeat("x", asyncEventBytes-8) + `"}`
}

func compareAccepted(ctx context.Context, cfg Config, p *platform, dir string, clients int) (AsyncComparison, error) {
	row := AsyncComparison{Clients: clients}
	script := filepath.Join(dir, "event.lua")
	text := "wrk.method = 'POST'\nwrk.headers['X-Amz-Invocation-Type'] = 'Event'\nwrk.body = '" + asyncPayload() + "'\n"
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return row, err
	}
	name := fmt.Sprintf("hold%d", clients)
	if err := p.deployHold(name); err != nil {
		return row, err
	}
	var runs []measured
	var raws, ratios []float64
	for round := range cfg.Rounds {
		fmt.Fprintf(cfg.Progress, "events at %d clients, round %d\n", clients, round+1)
		m, err := wrk(ctx, load{URL: p.URL + "/2015-03-31/functions/" + name + "/invocations",
			Connections: clients, Duration: cfg.Duration, Script: script})
		if err != nil {
			return row, err
		}
		raw, err := rawPublishes(ctx, filepath.Join(dir, fmt.Sprintf("raw-%d-%d", clients, round)), clients, cfg.Duration)
		if err != nil {
			return row, err
		}
		runs, raws, ratios = append(runs, m), append(raws, raw), append(ratios, m.PerSecond/raw)
	}
	row.Accepted, row.Raw, row.Ratio = middle(runs), median(raws), median(ratios)
	return row, nil
}

// rawPublishes counts publishes per second to a stream of an engine with the same
// settings: in the process, on disk, synced before each answer.
func rawPublishes(ctx context.Context, dir string, clients int, d time.Duration) (float64, error) {
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoSystemAccount: true,
		JetStream: true, StoreDir: dir, SyncAlways: true})
	if err != nil {
		return 0, err
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		return 0, errors.New("the plain engine does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "RAW", Subjects: []string{"raw"},
		Retention: jetstream.WorkQueuePolicy}); err != nil {
		return 0, err
	}
	payload := []byte(asyncPayload())
	counts, errs := make([]int, clients), make([]error, clients)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for time.Since(begin) < d && errs[i] == nil {
				if _, errs[i] = js.Publish(ctx, "raw", payload); errs[i] == nil {
					counts[i]++
				}
			}
		})
	}
	wg.Wait()
	took, sum := time.Since(begin), 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / took.Seconds(), errors.Join(errs...)
}

// Markdown renders the report for docs/benchmarks.md.
func (r *AsyncReport) Markdown() string {
	var b strings.Builder
	b.WriteString("\n| events of 1 KB, answered after the sync to disk | accepted/s over HTTP | plain JetStream publishes/s | ratio | p50 | p99 | errors |\n|---|---|---|---|---|---|---|\n")
	for _, c := range r.Accepted {
		fmt.Fprintf(&b, "| %d clients | %.0f | %.0f | %.2f | %v | %v | %d |\n", c.Clients,
			c.Accepted.PerSecond, c.Raw, c.Ratio, c.Accepted.P50, c.Accepted.P99, c.Accepted.Errors)
	}
	fmt.Fprintf(&b, "\n| asynchronous invocation | |\n|---|---|\n| idle queue, from sending an event to its handler | p50 %v, p99 %v |\n",
		r.DelayP50.Round(10*time.Microsecond), r.DelayP99.Round(10*time.Microsecond))
	q := &r.Queued
	fmt.Fprintf(&b, "| resident memory with %d events queued | %d MB (without: %d MB; the process that accepted them grew by %d MB) |\n",
		q.Events, q.AfterMB, q.BeforeMB, q.GrowthMB)
	fmt.Fprintf(&b, "| start of the process to healthy with them | %v |\n| status of one of them | %v (memory after %d of these questions, all over the queue: %d MB) |\n",
		q.Ready.Round(time.Millisecond), q.Status.Round(10*time.Microsecond), queuedStatuses, q.AskedMB)
	return b.String()
}
