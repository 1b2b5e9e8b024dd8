package oci

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/conformance"
)

// nameFor is the platform's name for a data directory.
func nameFor(dir string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	return fmt.Sprintf("t%08x", h.Sum32())
}

func config(dir string) Config {
	return Config{
		StateDir: dir,
		RunDir:   filepath.Join(os.TempDir(), "hearth-oci-test"),
		Name:     nameFor(dir),
	}
}

func newDriver(tb testing.TB, cfg Config) *Driver {
	tb.Helper()
	d, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func supported(tb testing.TB) {
	tb.Helper()
	if err := Supported(config(tb.TempDir())); err != nil {
		tb.Skip(err)
	}
}

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }

// TestConformancePrewarmed holds sandboxes that were started blank to the same promises.
func TestConformancePrewarmed(t *testing.T) { conformance.RunPrewarmed(t, harness(t)) }

func harness(t *testing.T) conformance.Harness {
	w := world{}
	if !conformance.Holding() { // else the uplink is there already
		supported(t)
		w = connect(t)
	}
	return conformance.Harness{
		New: func(tb testing.TB, dir string) sandbox.Driver {
			if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
				tb.Fatal(err)
			}
			return newDriver(tb, config(dir))
		},
		Leftovers: leftovers,
		Outside:   w.outside,
		Forbidden: w.forbidden,
		Test:      t.Name(),
	}
}

// leftovers lists cgroups, containers, the shared root, and what there is of network.
func leftovers(tb testing.TB, dir string) []string {
	tb.Helper()
	cfg, err := config(dir).complete()
	if err != nil {
		tb.Fatal(err)
	}
	var list []string
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && strings.Contains(path, cfg.cgroupParent()) {
			list = append(list, "cgroup "+path)
		}
		return nil // groups of others come and go
	})
	if err != nil {
		tb.Fatal(err)
	}
	containers, _ := filepath.Glob(filepath.Join(cfg.runtimeRoot(), "*"))
	for _, c := range containers {
		list = append(list, "container "+c)
	}
	if _, err := os.Lstat(filepath.Dir(cfg.rootPath())); err == nil {
		list = append(list, "root "+cfg.rootPath())
	}
	links, err := netlink.LinkList()
	for tries := 0; errors.Is(err, netlink.ErrDumpInterrupted) && tries < 100; tries++ {
		links, err = netlink.LinkList() // interfaces came or went while they were listed
	}
	if err != nil {
		tb.Fatal(err)
	}
	for _, l := range links {
		if n := l.Attrs().Name; n != "lo" && n != "uplink" {
			list = append(list, "interface "+n)
		}
	}
	tables, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		tb.Fatal(err)
	}
	if t := strings.TrimSpace(string(tables)); t != "" {
		list = append(list, "firewall "+t)
	}
	return list
}

// script writes an executable file.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
