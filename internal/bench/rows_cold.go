package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"hearth/internal/hearth"
)

const (
	coldSamples = 11
	// settle is how long a platform is left alone, so that what it does beside requests is
	// over.
	settle = 400 * time.Millisecond
)

// cold measures first calls: from the request to the response, in turns with starting the
// bare interpreter.
func (s *suite) cold() error {
	prewarms, off := s.prewarming()
	p, err := s.start("cold", "--memory", "1000000")
	if err != nil {
		return err
	}
	defer p.stop()
	none := p
	if prewarms {
		if none, err = s.start("cold-none", append([]string{"--memory", "1000000"}, off...)...); err != nil {
			return err
		}
		defer none.stop()
	}
	for _, x := range []struct {
		id      string
		measure func() error
	}{
		{"cold-node", func() error {
			if !prewarms {
				return errors.New("this Hearth has no prewarmed sandboxes")
			}
			return s.coldNode("cold-node", p, true)
		}},
		{"cold-python", func() error { return s.coldPython(p, prewarms) }},
		{"cold-none", func() error { return s.coldNode("cold-none", none, false) }},
		{"cold-burst", func() error { return s.coldBurst(p) }},
	} {
		if err := x.measure(); err != nil {
			s.excuse([]string{x.id}, err)
		}
	}
	if !prewarms {
		s.row("cold-python").Note = "not prewarmed"
	}
	return nil
}

// prewarming tells whether this Hearth keeps prewarmed sandboxes, and the arguments that
// switch them off.
func (s *suite) prewarming() (bool, []string) {
	help, err := exec.CommandContext(s.ctx, s.cfg.Binary, "up", "--help").Output()
	if err != nil || !strings.Contains(string(help), "--prewarm") {
		return false, nil
	}
	return true, []string{"--prewarm", "0"}
}

func (s *suite) coldNode(id string, p *platform, pooled bool) error {
	return s.coldStarts(id, p, pooled, map[string]any{"runtime": "nodejs", "handler": "index.handler"}, "hello", s.cfg.Node, "-e", "0")
}

func (s *suite) coldPython(p *platform, pooled bool) error {
	return s.coldStarts("cold-python", p, pooled, map[string]any{"runtime": "python3", "handler": "app.handler"}, "pyhello", s.cfg.Python, "-c", "0")
}

// coldStarts calls functions for the first time, each of them once, in turns with running
// a command. With pooled, a prewarmed sandbox waits for each of them.
func (s *suite) coldStarts(id string, p *platform, pooled bool, config map[string]any, folder, program string, args ...string) error {
	s.say("%s", id)
	config["memoryMB"], config["timeout"] = 256, "10s"
	var ours, theirs, ratios []float64
	note := ""
	for i := range coldSamples {
		name := fmt.Sprintf("%s-%d", id, i)
		if err := p.deploy(name, folder, config); err != nil {
			return err
		}
		if i > 0 && pooled { // the first call tells the pool what is in use
			if err := s.refilled(p, config["runtime"].(string), 256, 1, refillLimit); err != nil {
				s.say("%s: %v", id, err)
				note, pooled = err.Error(), false
			}
		}
		s.pause(settle)
		begin := time.Now()
		if _, err := p.call("/fn/" + name + "/"); err != nil {
			return err
		}
		took := millis(time.Since(begin))
		s.pause(settle)
		begin = time.Now()
		if err := exec.CommandContext(s.ctx, program, args...).Run(); err != nil {
			return err
		}
		bare := millis(time.Since(begin))
		if i == 0 {
			continue // the first finds nothing in the caches
		}
		ours, theirs, ratios = append(ours, took), append(theirs, bare), append(ratios, took/bare)
	}
	s.set(id, median(ours), median(theirs), median(ratios)).Note = note
	return nil
}

// refillLimit is how long a sandbox is waited for: a busy node puts it off for ten seconds.
const refillLimit = 15 * time.Second

// refilled waits until so many prewarmed sandboxes for functions of a runtime and a size
// are ready. They are made when the processors have nothing else to do.
func (s *suite) refilled(p *platform, runtime string, memoryMB, n int, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; {
		text, err := p.call("/hearth/v1/status")
		if err != nil {
			return err
		}
		var status hearth.Status
		if err := json.Unmarshal(text, &status); err != nil {
			return err
		}
		ready := 0
		for _, x := range status.Prewarmed {
			if strings.HasPrefix(runtime, x.Language) && (x.MemoryMB == memoryMB || x.MemoryMB == 0) {
				ready += x.Ready
			}
		}
		if ready >= n {
			return nil
		}
		if s.ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("%d of %d prewarmed sandboxes are ready within %v", ready, n, limit)
		}
		s.pause(20 * time.Millisecond)
	}
}

// coldBurst calls many functions at once that were never called before.
func (s *suite) coldBurst(p *platform) error {
	n := s.cfg.Burst
	s.say("%d cold functions at once", n)
	for i := range n {
		err := p.deploy(fmt.Sprintf("burst%d", i), "hello", map[string]any{"runtime": "nodejs", "handler": "index.handler",
			"memoryMB": 128, "timeout": "30s"})
		if err != nil {
			return err
		}
	}
	before, err := runTwoAtATime(s.ctx, n, s.cfg.Node, "-e", "0")
	if err != nil {
		return err
	}
	// What has been deployed is expected to be called; the platform gets ready for it.
	note := ""
	if prewarms, _ := s.prewarming(); prewarms {
		if err := s.refilled(p, "nodejs", 128, n, 4*refillLimit); err != nil {
			note = err.Error()
		}
	}
	s.pause(2 * settle)
	errs := make([]error, n)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, errs[i] = p.call(fmt.Sprintf("/fn/burst%d/", i)) })
	}
	wg.Wait()
	took := time.Since(begin)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.pause(2 * settle)
	after, err := runTwoAtATime(s.ctx, n, s.cfg.Node, "-e", "0")
	if err != nil {
		return err
	}
	r := s.set("cold-burst", millis(took), millis((before+after)/2), 0)
	r.Note = note
	if n != 100 && note == "" {
		r.Note = fmt.Sprintf("%d of them", n)
	}
	return nil
}

// runTwoAtATime runs a command n times, two at a time.
func runTwoAtATime(ctx context.Context, n int, program string, args ...string) (time.Duration, error) {
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	begin := time.Now()
	var wg sync.WaitGroup
	var errs [2]error
	for i := range errs {
		wg.Go(func() {
			for range work {
				if errs[i] == nil {
					errs[i] = exec.CommandContext(ctx, program, args...).Run()
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin), errors.Join(errs[:]...)
}

// bursts fires ten calls at once at a slow function of each execution model.
func (s *suite) bursts() error {
	for _, model := range []hearth.Model{hearth.Concurrent, hearth.Exclusive} {
		s.say("ten calls at once, %s", model)
		b, err := measureBurst(s.platform, model, 10)
		if err != nil {
			return err
		}
		s.report.Bursts = append(s.report.Bursts, b)
	}
	return nil
}
