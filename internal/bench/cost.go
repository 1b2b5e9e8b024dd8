package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor times in /proc (USER_HZ, 100 per second on Linux).
const tick = 10 * time.Millisecond

// cpuTime is the processor time that the processes have used so far, in user space and
// in the kernel. Processes that are gone count nothing.
func cpuTime(pids []int) time.Duration {
	user, kernel := cpuTimes(pids)
	return user + kernel
}

func cpuTimes(pids []int) (user, kernel time.Duration) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := statFields(string(text))
		if len(f) < 13 {
			continue
		}
		u, _ := strconv.Atoi(f[11])
		k, _ := strconv.Atoi(f[12])
		user, kernel = user+time.Duration(u)*tick, kernel+time.Duration(k)*tick
	}
	return user, kernel
}

// statFields are the fields of a stat file from the state on: the name before it may
// contain anything.
func statFields(text string) []string {
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

// tree is pid and all its descendants.
func tree(pid int) []int {
	children := map[int][]int{}
	for _, p := range processes() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue
		}
		if f := statFields(string(text)); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], p)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// inGroups are the processes in control groups whose last element is one of names, or
// that lie below such a group.
func inGroups(names []string) []int {
	var pids []int
	for _, pid := range processes() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			continue
		}
		for part := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '/' || r == '\n' }) {
			if slices.Contains(names, part) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

func processes() []int {
	var pids []int
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// proportional is the memory of the processes in KB: what is theirs alone, and their
// share of what they share (PSS).
func proportional(pids []int) (kb int) {
	for _, pid := range pids {
		kb += memoryField(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	}
	return kb
}

// resident is the memory of a process in KB (RSS).
func resident(pid int) int { return memoryField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") }

// memoryField reads a field such as "Pss:   12925 kB" of a file in /proc; 0 when the
// file or the field is not there.
func memoryField(file, field string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == field {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}
