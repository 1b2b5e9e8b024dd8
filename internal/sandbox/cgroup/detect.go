package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hierarchy is one mounted tree of groups.
type hierarchy struct {
	mount       string // where it is mounted, below Host.root
	top         string // the group that is visible there
	v2          bool
	controllers []string // v1: those mounted here; v2: those available at the base
}

func (hi *hierarchy) dir(group string) string { return filepath.Join(hi.mount, group) }

func (hi *hierarchy) has(controller string) bool {
	return slices.Contains(hi.controllers, controller)
}

// Detect looks at this machine. It fails only if no cgroups are mounted.
func Detect() (*Host, error) { return detect("/", isDelegated) }

// DetectAt looks at a machine whose /proc and /sys are below root.
func DetectAt(root string) (*Host, error) { return detect(root, isDelegated) }

func detect(root string, delegated func(dir string) bool) (*Host, error) {
	h := &Host{root: root, controllers: map[string]*hierarchy{}}
	f, err := os.Open(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("detect cgroups: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // overlay mounts have long options
	for lines.Scan() {
		if hi, ok := parseMount(lines.Text()); ok {
			hi.mount = filepath.Join(root, hi.mount)
			h.add(&hi)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("detect cgroups: %w", err)
	}
	if len(h.hierarchies) == 0 {
		return nil, errors.New("no cgroups are mounted on this machine: mount them, e.g. mount -t cgroup2 cgroup2 /sys/fs/cgroup")
	}
	if err := h.readOwn(); err != nil {
		return nil, fmt.Errorf("detect cgroups: %w", err)
	}
	h.chooseBase(delegated)
	h.findMissing()
	return h, nil
}

// add takes a hierarchy up, unless the same is mounted twice: the first counts.
func (h *Host) add(hi *hierarchy) {
	if hi.v2 {
		if h.unified == nil {
			h.unified = hi
			h.hierarchies = append(h.hierarchies, hi)
		}
		return
	}
	if slices.ContainsFunc(h.hierarchies, func(o *hierarchy) bool {
		return !o.v2 && slices.Equal(o.controllers, hi.controllers)
	}) {
		return
	}
	h.hierarchies = append(h.hierarchies, hi)
	for _, c := range hi.controllers {
		h.controllers[c] = hi
	}
}

// parseMount reads a line of mountinfo (proc(5)); ok if it is a cgroup hierarchy.
// The mount options of v1 are its controllers.
func parseMount(line string) (hi hierarchy, ok bool) {
	before, after, found := strings.Cut(line, " - ")
	fields, tail := strings.Fields(before), strings.Fields(after)
	if !found || len(fields) < 6 || len(tail) < 3 {
		return hi, false
	}
	hi.top, hi.mount = unescape(fields[3]), unescape(fields[4])
	switch tail[0] {
	case "cgroup2":
		hi.v2 = true
		return hi, true
	case "cgroup":
		for _, o := range strings.Split(tail[2], ",") {
			if !slices.Contains([]string{"rw", "ro", "xattr", "noprefix", "clone_children"}, o) &&
				!strings.HasPrefix(o, "release_agent=") {
				hi.controllers = append(hi.controllers, o)
			}
		}
		return hi, len(hi.controllers) > 0
	}
	return hi, false
}

// unescape undoes the octal escapes (\040) of mountinfo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// readOwn finds our own group in each hierarchy.
func (h *Host) readOwn() error {
	text, err := os.ReadFile(filepath.Join(h.root, "proc/self/cgroup"))
	if err != nil {
		return err
	}
	h.own = map[string]string{}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, c := range strings.Split(parts[1], ",") {
			h.own[c] = parts[2]
		}
	}
	return nil
}

// ownIn is our own group in hi, from the top of its mount. A group that the mount
// does not show (a container without a cgroup namespace) counts as the top.
func (h *Host) ownIn(hi *hierarchy) string {
	name := ""
	if !hi.v2 {
		name = hi.controllers[0]
	}
	own, err := filepath.Rel(hi.top, path.Clean("/"+h.own[name]))
	if err != nil || own == ".." || strings.HasPrefix(own, "../") {
		return "/"
	}
	if _, err := os.Stat(hi.dir(own)); err != nil {
		return "/"
	}
	return path.Join("/", own)
}

// chooseBase decides where the parent goes, see the package's doc, and what v2
// controllers there are.
func (h *Host) chooseBase(delegated func(dir string) bool) {
	if h.unified == nil {
		return
	}
	if len(h.hierarchies) == 1 {
		for group := h.ownIn(h.unified); group != "/"; group = path.Dir(group) {
			if delegated(h.unified.dir(group)) && h.offers(group) {
				h.base = group
				break
			}
		}
	}
	text, _ := os.ReadFile(filepath.Join(h.unified.dir(h.base), "cgroup.controllers"))
	h.unified.controllers = strings.Fields(string(text))
	for _, c := range h.unified.controllers {
		if h.controllers[c] == nil {
			h.controllers[c] = h.unified
		}
	}
}

// offers tells whether a v2 group has all controllers that the top has and we need.
func (h *Host) offers(group string) bool {
	at := func(group string) []string {
		text, _ := os.ReadFile(filepath.Join(h.unified.dir(group), "cgroup.controllers"))
		return strings.Fields(string(text))
	}
	here, top := at(group), at("/")
	for _, c := range needed() {
		if slices.Contains(top, c) && !slices.Contains(here, c) {
			return false
		}
	}
	return true
}

// isDelegated tells whether systemd has given the group away: it marks such groups
// with an extended attribute, as root or as the user who owns them.
func isDelegated(dir string) bool {
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		var value [8]byte
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

func (h *Host) findMissing() {
	for _, c := range needed() {
		if h.controllers[c] == nil {
			h.miss(c)
		}
	}
	if h.Version() != V2 {
		// Every v2 group has cpu.stat and cgroup.freeze.
		if h.controllers["cpuacct"] == nil && h.controllers["cpu"] != h.unified {
			h.miss("cpuacct")
		}
		if h.controllers["freezer"] == nil && h.unified == nil {
			h.miss("freezer")
		}
	}
	if m := h.controllers["memory"]; m != nil && !m.v2 && h.hasSwap() {
		if _, err := os.Stat(m.dir("memory.memsw.limit_in_bytes")); err != nil {
			h.miss("swap")
		}
	}
}

func (h *Host) hasSwap() bool {
	text, _ := os.ReadFile(filepath.Join(h.root, "proc/swaps"))
	return strings.Count(string(text), "\n") > 1 // the first line is a heading
}

// MemoryTotal is the memory that may be given away, in bytes: the machine's, or the
// limit of our own cgroup and those around it if that is smaller.
func (h *Host) MemoryTotal() (int64, error) {
	total, err := field(filepath.Join(h.root, "proc/meminfo"), "MemTotal:")
	if err != nil {
		return 0, fmt.Errorf("read the machine's memory: %w", err)
	}
	total *= 1024
	m := h.controllers["memory"]
	if m == nil {
		return total, nil
	}
	group := h.ownIn(m)
	if !m.v2 {
		limit, err := field(filepath.Join(m.dir(group), "memory.stat"), "hierarchical_memory_limit")
		if err != nil {
			return 0, fmt.Errorf("read our own memory limit: %w", err)
		}
		return min(total, limit), nil
	}
	for ; ; group = path.Dir(group) {
		// The real top has no limit and no such file; "max" is none either.
		if limit, err := number(filepath.Join(m.dir(group), "memory.max")); err == nil {
			total = min(total, limit)
		}
		if group == "/" {
			return total, nil
		}
	}
}
