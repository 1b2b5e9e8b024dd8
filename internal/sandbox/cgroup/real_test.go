package cgroup

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// helperEnv makes the test binary play a process inside a group: it says "ready",
// waits for a line, and then does what the variable says.
const helperEnv = "HEARTH_CGROUP_HELPER"

func TestMain(m *testing.M) {
	if role := os.Getenv(helperEnv); role != "" {
		play(role)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func play(role string) {
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	_, _ = in.ReadString('\n')
	switch role {
	case "eat": // memory, without end
		all := make([]byte, 4<<30)
		for i := 0; i < len(all); i += 4096 {
			all[i] = 1
		}
	case "hold": // 20 MiB, until the input ends
		b := make([]byte, 20<<20)
		for i := range b {
			b[i] = 1
		}
		fmt.Println("held")
		_, _ = in.ReadString('\n')
		fmt.Println(b[len(b)-1])
	case "fork": // children that all fork again
		self, _ := os.Executable()
		zero, _ := os.Open("/dev/zero") // once: who runs out of descriptors forks no more
		for {
			cmd := exec.Command(self)
			cmd.Env = []string{helperEnv + "=fork"}
			cmd.Stdin = zero
			if cmd.Start() == nil {
				go func() { _ = cmd.Wait() }()
			}
		}
	case "spin":
		fmt.Println("spinning")
		for n := uint(1); n != 0; n += 2 { // odd numbers only: without end
		}
	}
}

type helper struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start runs a helper inside the group, waiting for its line.
func start(t *testing.T, g *Group, role string) *helper {
	t.Helper()
	h := &helper{Cmd: exec.Command("/proc/self/exe")}
	h.Env = []string{helperEnv + "=" + role, "GOMAXPROCS=2"}
	var err error
	if h.in, err = h.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := h.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.out = bufio.NewReader(out)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Process.Kill(); _ = h.Wait() })
	h.expect(t, "ready")
	if err := g.Add(h.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *helper) expect(t *testing.T, want string) {
	t.Helper()
	if line, err := h.out.ReadString('\n'); line != want+"\n" {
		t.Fatalf("helper said %q, %v; want %q", line, err, want)
	}
}

func (h *helper) tell(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(h.in, "\n"); err != nil {
		t.Fatal(err)
	}
}

// real is this machine with a parent of the test's own.
func real(t *testing.T, h *Host) (parent string) {
	t.Helper()
	parent = fmt.Sprintf("hearth-test-%d", os.Getpid())
	if err := h.CreateParent(parent); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.RemoveParent(parent); err != nil {
			t.Error(err)
		}
	})
	return parent
}

func machine(t *testing.T) *Host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making cgroups needs root: run the test as root")
	}
	h, err := Detect()
	if err != nil {
		t.Skipf("this machine has no cgroups: %v", err)
	}
	return h
}

func group(t *testing.T, h *Host, parent, id string) *Group {
	t.Helper()
	g := h.Group(h.Path(parent, id))
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Kill(); err != nil {
			t.Error(err)
		}
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// views are this machine as it is and, where it is hybrid, as it would be with v1
// alone and with v2 alone (which then has no controllers).
func views(t *testing.T) map[string]*Host {
	h := machine(t)
	all := map[string]*Host{"machine": h}
	if h.Version() == Hybrid {
		v1, v2 := machine(t), machine(t)
		v1.hierarchies = slices.DeleteFunc(v1.hierarchies, func(hi *hierarchy) bool { return hi.v2 })
		v1.unified = nil
		v2.hierarchies = []*hierarchy{v2.unified}
		v2.controllers = map[string]*hierarchy{}
		all["v1 alone"], all["v2 alone"] = v1, v2
	}
	return all
}

func TestMemoryLimit(t *testing.T) {
	h := machine(t)
	if h.controllers["memory"] == nil {
		t.Skip("this machine has no memory controller")
	}
	g := group(t, h, real(t, h), "i1")
	const limit = 192 << 20                                             // room for the race detector's shadow memory
	for _, bytes := range []int64{2 * limit, limit, 3 * limit, limit} { // up and down
		if err := g.SetLimits(Limits{MemoryBytes: bytes, CPUs: 0.1, QuotaCPUs: 1.5, Pids: 100}); err != nil {
			t.Fatal(err)
		}
	}
	hold := start(t, g, "hold")
	hold.tell(t)
	hold.expect(t, "held")
	s, err := g.Stats()
	if err != nil || s.MemoryBytes < 20<<20 || s.MemoryBytes > limit || s.PeakMemoryBytes < s.MemoryBytes ||
		s.Pids < 1 || s.CPU <= 0 || s.OOMKills != 0 {
		t.Errorf("holding 20 MiB: Stats = %+v, %v", s, err)
	}
	_ = hold.in.Close()
	if err := hold.Wait(); err != nil {
		t.Errorf("holding 20 MiB: %v", err)
	}
	if err := g.ResetPeak(); err != nil {
		t.Error(err)
	}
	eat := start(t, g, "eat")
	eat.tell(t)
	err = eat.Wait()
	if ws, ok := eat.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("eating memory ended with %v, want a kill", err)
	}
	// The kernel charges forced pages past the limit, so the peak may be a bit above.
	if s, err := g.Stats(); err != nil || s.OOMKills != 1 || s.PeakMemoryBytes < limit*9/10 || s.PeakMemoryBytes > limit*11/10 {
		t.Errorf("after an OOM kill: Stats = %+v, %v", s, err)
	}
}

func TestFreezeThaw(t *testing.T) {
	for name, h := range views(t) {
		t.Run(name, func(t *testing.T) {
			g := group(t, h, real(t, h), "i1")
			spin := start(t, g, "spin")
			spin.tell(t)
			spin.expect(t, "spinning")
			if err := g.Freeze(); err != nil {
				t.Fatal(err)
			}
			before, after := cpuTicks(t, spin.Process.Pid), 0
			deadline := time.Now().Add(50 * time.Millisecond)
			for time.Now().Before(deadline) {
				after = cpuTicks(t, spin.Process.Pid)
			}
			if after != before {
				t.Errorf("frozen, but it ran: %d ticks, then %d", before, after)
			}
			if err := g.Thaw(); err != nil {
				t.Fatal(err)
			}
			deadline = time.Now().Add(10 * time.Second)
			for after == before && time.Now().Before(deadline) {
				after = cpuTicks(t, spin.Process.Pid)
			}
			if after == before {
				t.Error("thawed, but it did not run for 10 s")
			}
			if err := g.FreezeSoon(); err != nil { // killing frozen processes works too
				t.Fatal(err)
			}
			for ticks, still := cpuTicks(t, spin.Process.Pid), time.Now(); time.Since(still) < 50*time.Millisecond; {
				if now := cpuTicks(t, spin.Process.Pid); now != ticks {
					ticks, still = now, time.Now()
				}
				if time.Now().After(deadline) {
					t.Fatal("frozen soon, but it runs still")
				}
			}
			if err := g.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = spin.Wait()
		})
	}
}

// cpuTicks is the processor time of a process, user and system (proc(5), stat).
func cpuTicks(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var user, system int
	tail := string(text)[len(strconv.Itoa(pid))+1:]
	for i := len(tail) - 1; i >= 0; i-- {
		if tail[i] == ')' {
			tail = tail[i+1:]
			break
		}
	}
	var skip string
	var n int
	_, err = fmt.Sscan(tail, &skip, &n, &n, &n, &n, &n, &n, &n, &n, &n, &n, &user, &system)
	if err != nil {
		t.Fatal(err)
	}
	return user + system
}

// refused tells whether the group has been at its limit of processes: on a busy machine
// there may be fewer again by the time somebody looks.
func refused(g *Group) bool {
	name, _, _ := g.file("pids", "pids.events", "pids.events")
	text, err := os.ReadFile(name)
	return err == nil && strings.HasPrefix(string(text), "max ") && !strings.HasPrefix(string(text), "max 0\n")
}

// A process that forks without end, and whose children do, is killed to the last.
func TestKillForkBomb(t *testing.T) {
	for name, h := range views(t) {
		t.Run(name, func(t *testing.T) {
			g := group(t, h, real(t, h), "i1")
			if h.controllers["pids"] == nil {
				// Without a limit the bomb would hurt the machine; one fork is enough.
				spin := start(t, g, "spin")
				spin.tell(t)
			} else {
				if err := g.SetLimits(Limits{Pids: 100}); err != nil {
					t.Fatal(err)
				}
				bomb := start(t, g, "fork")
				bomb.tell(t)
				deadline := time.Now().Add(20 * time.Second)
				for n := 0; n < 60 && !refused(g); {
					if n, _ = g.pids(); time.Now().After(deadline) {
						t.Fatalf("only %d processes after 20 s", n)
					}
				}
			}
			began := time.Now()
			if err := g.Kill(); err != nil {
				t.Fatal(err)
			}
			if procs, err := g.Procs(); err != nil || len(procs) != 0 {
				t.Errorf("after Kill: %v, %v", procs, err)
			}
			if err := g.Remove(); err != nil {
				t.Error(err)
			}
			t.Logf("killed and removed in %v", time.Since(began))
		})
	}
}

func TestLeftoversAndRemoveParent(t *testing.T) {
	for name, h := range views(t) {
		t.Run(name, func(t *testing.T) {
			parent := real(t, h)
			for _, id := range []string{"ib", "ia"} {
				spin := start(t, group(t, h, parent, id), "spin")
				spin.tell(t)
			}
			if err := h.CreateParent(parent); err != nil {
				t.Errorf("again: %v", err)
			}
			if got, err := h.Leftovers(parent); err != nil || !slices.Equal(got, []string{"ia", "ib"}) {
				t.Errorf("Leftovers = %q, %v", got, err)
			}
			for range 2 {
				if err := h.RemoveParent(parent); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := h.Leftovers(parent); err != nil || len(got) != 0 {
				t.Errorf("after RemoveParent: Leftovers = %q, %v", got, err)
			}
			for _, hi := range h.hierarchies {
				if _, err := os.Stat(hi.dir("/" + parent)); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", hi.dir(parent), err)
				}
			}
		})
	}
}

// The group is a fixture's: only its list of processes is real.
func TestKillSparesItself(t *testing.T) {
	h := fixture(t, "v1")
	name := filepath.Join(h.controllers["memory"].dir("/hearth-t/i1"), "cgroup.procs")
	if err := os.WriteFile(name, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := h.Group("/hearth-t/i1").Kill(); err == nil {
		t.Error("a group with this very process in it was killed")
	}
}

func TestManyGroups(t *testing.T) {
	h := machine(t)
	parent := real(t, h)
	began := time.Now()
	const cycles = 200
	for i := range cycles {
		g := h.Group(h.Path(parent, fmt.Sprintf("i%03d", i)))
		if err := g.Create(); err != nil {
			t.Fatal(err)
		}
		if err := g.SetLimits(Limits{MemoryBytes: 128 << 20, CPUs: 0.07, Pids: 1024}); err != nil {
			t.Fatal(err)
		}
		if err := g.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := g.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v for each create, limit, kill and remove", time.Since(began)/cycles)
	if got, err := h.Leftovers(parent); err != nil || len(got) != 0 {
		t.Errorf("%d cycles left %q, %v", cycles, got, err)
	}
}

func BenchmarkStats(b *testing.B) {
	h, err := Detect()
	if err != nil || os.Getuid() != 0 {
		b.Skip("needs root and cgroups")
	}
	parent := fmt.Sprintf("hearth-bench-%d", os.Getpid())
	if err := h.CreateParent(parent); err != nil {
		b.Fatal(err)
	}
	defer h.RemoveParent(parent)
	g := h.Group(h.Path(parent, "i1"))
	if err := g.Create(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := g.Stats(); err != nil {
			b.Fatal(err)
		}
	}
}
