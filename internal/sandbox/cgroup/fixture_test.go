package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"hearth/internal/sandbox"
)

// unpack writes testdata/name.txtar to a directory and returns it.
func unpack(t *testing.T, name string) string {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, f := range archive.Files {
		file := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func fixture(t *testing.T, name string, delegated ...string) *Host {
	t.Helper()
	h, err := detect(unpack(t, name), func(dir string) bool {
		return slices.ContainsFunc(delegated, func(d string) bool { return strings.HasSuffix(dir, d) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func missingNames(h *Host) []string {
	var names []string
	for _, m := range h.Missing() {
		name, _, _ := strings.Cut(m, ":")
		names = append(names, name)
	}
	return names
}

func TestDetect(t *testing.T) {
	const unit = "/system.slice/hearth.service"
	for _, c := range []struct {
		fixture, delegated string
		version, path      string
		missing            []string
		memory             int64
		inUse, peak        int64
		cpu                time.Duration
		pids, kills        int
		leftovers          []string
	}{
		{fixture: "v1", version: V1, path: "/hearth-t/i1", missing: []string{"pids", "swap"},
			memory: 2 << 30, inUse: 60000000, peak: 65000000, cpu: 1500 * time.Millisecond,
			pids: 2, kills: 3, leftovers: []string{"i1", "i2"}},
		{fixture: "hybrid", version: Hybrid, path: "/hearth-t/i1",
			memory: 8000000 << 10, inUse: 0, peak: 0, cpu: 42, pids: 7, leftovers: []string{"i1"}},
		{fixture: "v2", delegated: unit, version: V2, path: unit + "/hearth-t/i1",
			memory: 1 << 30, inUse: 50000000, peak: 50000000, cpu: 2500 * time.Millisecond,
			pids: 4, kills: 1, leftovers: []string{"i1"}},
	} {
		t.Run(c.fixture, func(t *testing.T) {
			h := fixture(t, c.fixture, c.delegated)
			if c.delegated == "" {
				h = fixture(t, c.fixture)
			}
			if h.Version() != c.version {
				t.Errorf("Version = %q, want %q", h.Version(), c.version)
			}
			if got := missingNames(h); !slices.Equal(got, c.missing) {
				t.Errorf("Missing = %q, want %q", got, c.missing)
			}
			if got := h.Path("hearth-t", "i1"); got != c.path {
				t.Errorf("Path = %q, want %q", got, c.path)
			}
			if got, err := h.MemoryTotal(); err != nil || got != c.memory {
				t.Errorf("MemoryTotal = %d, %v; want %d", got, err, c.memory)
			}
			if got, err := h.Leftovers("hearth-t"); err != nil || !slices.Equal(got, c.leftovers) {
				t.Errorf("Leftovers = %q, %v; want %q", got, err, c.leftovers)
			}
			want := sandbox.Stats{MemoryBytes: c.inUse, PeakMemoryBytes: c.peak, CPU: c.cpu, Pids: c.pids, OOMKills: c.kills}
			if got, err := h.Group(c.path).Stats(); err != nil || got != want {
				t.Errorf("Stats = %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

// A group is delegated to us only if systemd says so and it has what we need.
func TestBase(t *testing.T) {
	h := fixture(t, "v2")
	if got := h.Path("hearth-t", "i1"); got != "/hearth-t/i1" {
		t.Errorf("without delegation: Path = %q, want it at the top", got)
	}
	root := unpack(t, "v2")
	file := filepath.Join(root, "sys/fs/cgroup/system.slice/hearth.service/cgroup.controllers")
	if err := os.WriteFile(file, []byte("memory pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := detect(root, func(dir string) bool { return strings.HasSuffix(dir, "hearth.service") })
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Path("hearth-t", "i1"); got != "/hearth-t/i1" {
		t.Errorf("delegated without cpu: Path = %q, want it at the top", got)
	}
	if len(h.Missing()) != 0 {
		t.Errorf("Missing = %q, want none: the top has them all", h.Missing())
	}
}

func TestCreateParent(t *testing.T) {
	h := fixture(t, "v2", "hearth.service")
	if err := h.CreateParent("hearth-t"); err != nil {
		t.Fatal(err)
	}
	// The files of a fixture keep the last write only.
	for _, dir := range []string{"", "hearth-t"} {
		name := filepath.Join(h.unified.dir(h.base), dir, "cgroup.subtree_control")
		if text, err := os.ReadFile(name); err != nil || string(text) != "+pids" {
			t.Errorf("%s holds %q, %v; want +pids", name, text, err)
		}
	}
	if got := h.Missing(); len(got) != 0 {
		t.Errorf("Missing = %q, want none", got)
	}
	for _, name := range []string{"", ".", "..", "a/b", "/"} {
		if h.CreateParent(name) == nil || h.RemoveParent(name) == nil {
			t.Errorf("the name %q was accepted", name)
		}
	}
}

func TestLimitFiles(t *testing.T) {
	limits := Limits{MemoryBytes: 256 << 20, CPUs: 0.5, QuotaCPUs: 2, Pids: 64}
	for _, c := range []struct {
		fixture, controller string
		want                map[string]string
	}{
		{"v2", "memory", map[string]string{"memory.max": "268435456", "memory.swap.max": "0",
			"cpu.weight": "20", "cpu.max": "200000 100000", "pids.max": "64"}},
		{"v1", "memory", map[string]string{"memory.limit_in_bytes": "268435456"}},
		{"v1", "cpu", map[string]string{"cpu.shares": "512", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "200000"}},
		{"hybrid", "memory", map[string]string{"memory.limit_in_bytes": "268435456", "memory.memsw.limit_in_bytes": "268435456"}},
		{"hybrid", "pids", map[string]string{"pids.max": "64"}},
	} {
		h := fixture(t, c.fixture, "hearth.service")
		g := h.Group(h.Path("hearth-t", "i1"))
		l := limits
		if c.fixture == "hybrid" {
			l.QuotaCPUs = 0 // its fixture has no quota files
		}
		if err := g.SetLimits(l); err != nil {
			t.Errorf("%s: %v", c.fixture, err)
		}
		for name, want := range c.want {
			text, err := os.ReadFile(filepath.Join(h.controllers[c.controller].dir(g.Path()), name))
			if err != nil || string(text) != want {
				t.Errorf("%s: %s holds %q, %v; want %q", c.fixture, name, text, err, want)
			}
		}
	}
}

func TestStatsOfNothing(t *testing.T) {
	for _, name := range []string{"v1", "hybrid", "v2"} {
		h := fixture(t, name)
		if _, err := h.Group("/hearth-t/i404").Stats(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Stats of a group that is not there: %v, want fs.ErrNotExist", name, err)
		}
		if procs, err := h.Group("/hearth-t/i404").Procs(); err != nil || len(procs) != 0 {
			t.Errorf("%s: Procs of a group that is not there: %v, %v", name, procs, err)
		}
	}
}

// The whole machine is never frozen, killed or removed by a slip.
func TestTopIsRefused(t *testing.T) {
	h := fixture(t, "v1")
	for _, p := range []string{"", "/", "/a/..", "../.."} {
		g := h.Group(p)
		for what, err := range map[string]error{"Create": g.Create(), "SetLimits": g.SetLimits(Limits{}),
			"Freeze": g.Freeze(), "Kill": g.Kill(), "Remove": g.Remove()} {
			if err == nil {
				t.Errorf("%s of group %q was accepted", what, p)
			}
		}
	}
}

func TestProcsOverHierarchies(t *testing.T) {
	h := fixture(t, "v1")
	if got, err := h.Group("/hearth-t").Procs(); err != nil || !slices.Equal(got, []int{4000001, 4000002, 4000003}) {
		t.Errorf("Procs = %v, %v; want each process once and no 0", got, err)
	}
}

func TestNoCgroups(t *testing.T) {
	root := t.TempDir()
	if _, err := DetectAt(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without /proc: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "proc/self"), 0o755); err != nil {
		t.Fatal(err)
	}
	mounts := "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	if err := os.WriteFile(filepath.Join(root, "proc/self/mountinfo"), []byte(mounts), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := DetectAt(root); err == nil || !strings.Contains(err.Error(), "mount -t cgroup2") {
		t.Errorf("without cgroups: %v, want the way out", err)
	}
}

func TestShares(t *testing.T) {
	for _, c := range []struct {
		mb             float64
		shares, weight uint64
	}{{1769, 1024, 39}, {128, 74, 3}, {1769 * 4, 4096, 157}, {10240, 5928, 227}, {0, 2, 1}, {1e9, 262144, 10000}} {
		shares := Shares(c.mb / 1769)
		if shares != c.shares || Weight(shares) != c.weight {
			t.Errorf("%v MB: %d shares, weight %d; want %d, %d", c.mb, shares, Weight(shares), c.shares, c.weight)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64Range(0, 1000).Draw(t, "a"), rapid.Float64Range(0, 1000).Draw(t, "b")
		if a <= b && (Shares(a) > Shares(b) || Weight(Shares(a)) > Weight(Shares(b))) {
			t.Fatalf("%v CPUs weigh more than %v", a, b)
		}
		if w := Weight(Shares(a)); w < 1 || w > 10000 {
			t.Fatalf("weight %d is out of the kernel's bounds", w)
		}
	})
}

func FuzzParseMount(f *testing.F) {
	f.Add(`35 22 0:29 / /mnt/second\040memory rw,nosuid shared:12 - cgroup cgroup rw,memory`)
	f.Add(`41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`)
	f.Add(`1 2 3 4 5\ 6 - cgroup x \04`)
	f.Fuzz(func(t *testing.T, line string) {
		hi, ok := parseMount(line)
		if ok && (hi.mount == "" || hi.v2 == (len(hi.controllers) > 0)) {
			t.Errorf("parseMount(%q) = %+v", line, hi)
		}
	})
}

func TestUnescape(t *testing.T) {
	if got := unescape(`/a\040b\134c\`); got != `/a b\c\` {
		t.Errorf("unescape = %q", got)
	}
}
