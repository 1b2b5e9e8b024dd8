package bench

import (
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// idle measures what a platform costs that does nothing: its memory, the time to ready,
// and what an idle instance takes more than a bare Node process.
func (s *suite) idle() error {
	var ready, memory []float64
	for i := range s.cfg.Rounds {
		s.say("start to ready, round %d", i+1)
		p, err := s.start(fmt.Sprintf("idle%d", i))
		if err != nil {
			return err
		}
		s.pause(2 * time.Second) // prewarmed sandboxes, if there are any, are there
		kb := resident(p.cmd.Process.Pid)
		if err := p.stop(); err != nil {
			return err
		}
		ready, memory = append(ready, millis(p.Ready)), append(memory, float64(kb)/1024)
	}
	s.set("idle-ready", median(ready), 0, 0)
	s.set("idle-memory", median(memory), 0, 0)
	return s.idleInstances()
}

// idleInstances compares warm idle instances with bare Node processes: the memory of their
// processes, with their share of what they share, and what the platform's own process grew.
// All live at the same time, so that as many share what can be shared.
func (s *suite) idleInstances() error {
	const n = 8
	s.say("idle instances")
	p, err := s.start("idle-instances", "--memory", "1000000")
	if err != nil {
		return err
	}
	defer p.stop()
	bare, stop, err := s.bareNodes(n)
	if err != nil {
		return err
	}
	defer stop()
	s.pause(2 * time.Second)
	before := resident(p.cmd.Process.Pid)
	var pids []int
	for i := range n {
		name := fmt.Sprintf("idle%d", i)
		if err := p.deploy(name, "hello", map[string]any{"runtime": "nodejs", "handler": "index.handler", "memoryMB": 256}); err != nil {
			return err
		}
		if _, err := p.call("/fn/" + name + "/"); err != nil {
			return err
		}
	}
	s.pause(3 * time.Second)
	for i := range n {
		pids = append(pids, p.instancePids(fmt.Sprintf("idle%d", i))...)
	}
	if len(pids) < n {
		return errors.New("the processes of the instances are not in control groups that are called like them")
	}
	grown := max(resident(p.cmd.Process.Pid)-before, 0)
	r := s.set("idle-instance", float64(proportional(pids)+grown)/n/1024, float64(proportional(bare))/n/1024, 0)
	r.Note = fmt.Sprintf("of %d; %.1f MB of an instance's are the growth of Hearth's own process", n, float64(grown)/n/1024)
	return nil
}

// bareNodes starts n Node processes that wait for nothing; stop ends them.
func (s *suite) bareNodes(n int) (pids []int, stop func(), err error) {
	var cmds []*exec.Cmd
	stop = func() {
		for _, cmd := range cmds {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	for range n {
		cmd := exec.CommandContext(s.ctx, s.cfg.Node, "-e", "setInterval(() => {}, 1 << 30)")
		if err := cmd.Start(); err != nil {
			stop()
			return nil, nil, err
		}
		cmds, pids = append(cmds, cmd), append(pids, cmd.Process.Pid)
	}
	return pids, stop, nil
}
