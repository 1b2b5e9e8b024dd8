package conformance

import (
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/sandbox"
)

const mib = 1 << 20

func tmpMB(mb int) func(*sandbox.Spec)    { return func(s *sandbox.Spec) { s.TmpMB = mb } }
func memoryMB(mb int) func(*sandbox.Spec) { return func(s *sandbox.Spec) { s.MemoryMB = mb } }
func pids(n int) func(*sandbox.Spec)      { return func(s *sandbox.Spec) { s.Pids = n } }

// tmpLimit: 512 MB fit, the 513th does not, in a sandbox with half that memory.
func tmpLimit(t *testing.T, s *suite) {
	d := s.promises(t, func(i sandbox.Isolation) bool { return i.TmpLimit })
	size, mem := 512, 256
	if !d.Isolation().TmpOnDisk {
		size, mem = 64, 256 // it counts as memory
	}
	in := s.start(t, d, tmpMB(size), memoryMB(mem))
	r := in.try("fill", in.TmpDir()+"/f", strconv.Itoa((size+1)*mib))
	if r.Err != "ENOSPC" || r.N < int64(size)*mib || r.N >= int64(size+1)*mib {
		t.Errorf("%d bytes fit into %d MB, then %q", r.N, size, r.Err)
	}
	in.must("remove", in.TmpDir()+"/f")
	// And again: what was deleted counts no more.
	if r := in.must("fill", in.TmpDir()+"/f", strconv.Itoa(size*mib)); r.N < int64(size)*mib {
		t.Errorf("the second time only %d bytes fit", r.N)
	}
}

// tmpOnDisk: temporary files do not count as memory in use.
func tmpOnDisk(t *testing.T, s *suite) {
	d := s.promises(t, func(i sandbox.Isolation) bool { return i.TmpOnDisk && i.TmpLimit && i.Memory })
	in := s.start(t, d, memoryMB(128))
	before, err := in.Stats()
	if err != nil {
		t.Fatal(err)
	}
	in.must("fill", in.TmpDir()+"/f", strconv.Itoa(300*mib))
	after, err := in.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if grown := after.MemoryBytes - before.MemoryBytes; grown > 40*mib {
		t.Errorf("300 MB of temporary files count as %d MB of memory", grown/mib)
	}
	if after.OOMKills != 0 {
		t.Errorf("%d processes were killed", after.OOMKills)
	}
}

func tmpPrivate(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	a, b := s.start(t, d), s.start(t, d)
	a.must("write", a.TmpDir()+"/mine", "first")
	b.must("write", b.TmpDir()+"/mine", "second")
	for in, want := range map[*inside]string{a: "first", b: "second"} {
		if got := in.must("read", in.TmpDir()+"/mine").Out; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if d.Isolation().FileSystem {
		if list := a.must("list", "/tmp").Out; list != "mine" {
			t.Errorf("/tmp holds %q", list)
		}
	}
	// Programs in /tmp may be run: functions unpack tools there.
	a.must("exec", "/bin/sh", "-c", "cp /bin/true "+a.TmpDir()+"/t && "+a.TmpDir()+"/t")
}

func tmpFlood(t *testing.T, s *suite) {
	d := s.promises(t, func(i sandbox.Isolation) bool { return i.TmpLimit })
	in, neighbour := s.start(t, d), s.start(t, d)
	r := in.try("flood", in.TmpDir()+"/many", "1000000")
	if r.Err != "ENOSPC" || r.N < 1000 || r.N > 150_000 {
		t.Errorf("%d files could be made, then %q", r.N, r.Err)
	}
	if r := neighbour.must("flood", neighbour.TmpDir()+"/many", "1000"); r.N != 1000 {
		t.Errorf("the neighbour could make only %d files", r.N)
	}
	in.must("remove", in.TmpDir()+"/many")
	in.must("write", in.TmpDir()+"/one", "x")
}

func memory(t *testing.T, s *suite) {
	d, _ := s.driver(t) // every driver ends a sandbox at its limit, in its own time
	neighbour := s.start(t, d)
	hog := s.start(t, d, memoryMB(128))
	if r := hog.must("hog", "64"); r.N != 64 {
		t.Errorf("only %d of 128 MB could be used", r.N)
	}
	if st, err := hog.Stats(); err != nil || st.MemoryBytes < 64*mib || st.MemoryBytes > 128*mib {
		t.Errorf("with 64 MB in use: %+v, %v", st, err)
	}
	if r, err := hog.order("hog", "4096"); err == nil && d.Isolation().Memory {
		t.Errorf("%d MB beyond the limit could be used", r.N)
	}
	exit := hog.ended()
	if !exit.OOM || exit.Signal != syscall.SIGKILL || exit.Code != 137 {
		t.Errorf("exit %+v, want killed for lack of memory", exit)
	}
	if d.Isolation().Memory {
		if st, err := hog.Stats(); err != nil || st.OOMKills == 0 || st.PeakMemoryBytes < 100*mib || st.PeakMemoryBytes > 129*mib {
			t.Errorf("after the end: %+v, %v", st, err)
		}
	}
	if got := neighbour.must("echo", "well").Out; got != "well" {
		t.Errorf("the neighbour says %q", got)
	}
	if st, err := neighbour.Stats(); err != nil || st.OOMKills != 0 {
		t.Errorf("the neighbour: %+v, %v", st, err)
	}
}

func forkBomb(t *testing.T, s *suite) {
	d := s.promises(t, func(i sandbox.Isolation) bool { return i.Pids })
	neighbour := s.start(t, d)
	in := s.start(t, d, pids(64))
	r := in.try("forks", "1000")
	if r.Err != "EAGAIN" || r.N < 20 || r.N > 64 {
		t.Errorf("%d processes could be started, then %q", r.N, r.Err)
	}
	if st, err := in.Stats(); err != nil || st.Pids < 20 || st.Pids > 64 {
		t.Errorf("%+v, %v", st, err)
	}
	if r := neighbour.must("forks", "10"); r.N != 10 {
		t.Errorf("the neighbour could start %d", r.N)
	}
	start := time.Now()
	if err := in.Destroy(bounded(t)); err != nil {
		t.Error(err)
	}
	t.Logf("destroyed in %v", time.Since(start))
}

func stats(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	in := s.start(t, d)
	in.must("echo", "ready") // it has memory by now
	first, err := in.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if first.Pids < 1 || first.MemoryBytes <= 0 || first.MemoryBytes > 256*mib {
		t.Errorf("%+v", first)
	}
	burnt := time.Duration(in.must("burn", "300", "1").N) * time.Millisecond
	then, err := in.Stats()
	if err != nil {
		t.Fatal(err)
	}
	// What the process says it used, give or take clock ticks and its other threads.
	used := then.CPU - first.CPU
	if used < burnt/2 || used > 2*burnt+time.Second {
		t.Errorf("processor time %v, the process itself says %v", used, burnt)
	}
	if then.PeakMemoryBytes < then.MemoryBytes/2 {
		t.Errorf("the peak is below the use: %+v", then)
	}
}

// cpuShare: of two that want every processor, the one with ten times the share gets
// at least twice as much. (On a quiet machine it is ten times as much; others on the
// machine take theirs from both, and the scheduler is fair over longer times only.)
func cpuShare(t *testing.T, s *suite) {
	d := s.promises(t, func(i sandbox.Isolation) bool { return i.CPU })
	share := func(cpus float64) *inside { return s.start(t, d, func(sp *sandbox.Spec) { sp.CPUs = cpus }) }
	small, large := share(0.1), share(1)
	const tries = 3
	for n := 1; ; n++ {
		little, much := burnBeside(t, small, large)
		if much >= 2*little {
			return
		}
		t.Logf("a tenth of the share got %d ms, the whole %d ms", little, much)
		if n == tries { // others on the machine may disturb one of them, not each
			t.Fatal("the larger share never got twice as much")
		}
	}
}

// burnBeside lets two want every processor at once, and tells what each got, in
// milliseconds.
func burnBeside(t *testing.T, small, large *inside) (little, much int64) {
	t.Helper()
	threads := strconv.Itoa(2 * runtime.NumCPU())
	for _, in := range []*inside{small, large} {
		if err := in.send("burn", "2500", threads); err != nil {
			t.Fatal(err)
		}
	}
	for in, got := range map[*inside]*int64{small: &little, large: &much} {
		r, err := in.receive()
		if err != nil {
			t.Fatal(err)
		}
		*got = r.N
	}
	return little, much
}

func environment(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	t.Setenv("HEARTH_CONFORMANCE_SECRET", "of the host")
	in := s.start(t, d, func(sp *sandbox.Spec) { sp.Env = append(sp.Env, "GREETING=hello world", "EMPTY=") })
	if got := in.must("getenv", "GREETING").Out; got != "hello world" {
		t.Errorf("GREETING is %q", got)
	}
	if got := in.must("getenv", "HEARTH_CONFORMANCE_SECRET").Out; got != "" {
		t.Errorf("the host's environment is visible: %q", got)
	}
	if got := in.must("cwd").Out; got != in.CodeDir() && !s.prewarmed { // a blank one starts elsewhere
		t.Errorf("it starts in %q, want the code's directory %q", got, in.CodeDir())
	}
	if got := in.must("read", in.CodeDir()+"/index.js").Out; got != "the code" {
		t.Errorf("the code reads %q", got)
	}
	if got := in.must("read", "/dev/stdin").Out; got != "" {
		t.Errorf("standard input gives %q", got)
	}
	// Some programs open their standard output by name.
	in.must("write", "/proc/self/fd/1", "by name")
	if d.Isolation().FileSystem {
		names := strings.Fields(in.must("read", "/etc/hosts").Out)
		if !strings.Contains(strings.Join(names, " "), "localhost") {
			t.Errorf("/etc/hosts: %q", names)
		}
	}
}
