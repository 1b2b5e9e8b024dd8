package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// markEnv is the variable that marks the processes of a sandbox: "name/id".
const markEnv = "HEARTH_SANDBOX"

// identity is a process for good: pids are used again, but not with the same start.
type identity struct {
	pid   int
	start uint64 // clock ticks since boot
}

// proc is one process of a snapshot.
type proc struct {
	identity
	parent  int
	session int
	zombie  bool
	kernel  bool          // a thread of the kernel's own
	memory  int64         // resident bytes
	cpu     time.Duration // its own, and that of children it has waited for
}

// table knows which processes belong to which sandbox. It remembers, so that one
// that leaves its parent and its session stays known.
type table struct {
	mark string // what markEnv begins with

	mu       sync.Mutex
	sessions map[int]session     // by the first process's id
	known    map[identity]string // "" = belongs to nobody, as far as its environment says
}

// session is what a sandbox's first process leads.
type session struct {
	owner string
	start uint64 // of the first process
}

func newTable(name string) *table {
	return &table{
		mark:     markEnv + "=" + name + "/",
		sessions: map[int]session{},
		known:    map[identity]string{},
	}
}

// add makes the session of a first process, descendants included, belong to a sandbox.
func (t *table) add(first identity, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions[first.pid] = session{owner: id, start: first.start}
}

// drop forgets a sandbox whose processes have all gone.
func (t *table) drop(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for pid, s := range t.sessions {
		if s.owner == id {
			delete(t.sessions, pid)
		}
	}
	for who, owner := range t.known {
		if owner == id {
			delete(t.known, who)
		}
	}
}

// scan reads the process table once, a few microseconds per process, and returns
// the processes of every sandbox.
func (t *table) scan() (map[string][]proc, error) {
	t.mu.Lock() // also while reading: a later scan must not see an earlier state
	defer t.mu.Unlock()
	all, err := snapshot()
	if err != nil {
		return nil, err
	}
	t.forgetLocked(all)
	members := map[string][]proc{}
	for _, p := range all {
		if id := t.ownerLocked(p, all, 0); id != "" {
			members[id] = append(members[id], p)
		}
	}
	return members, nil
}

// ownerLocked finds the sandbox of p, by what is known of it, its session, its
// parent, and its environment.
func (t *table) ownerLocked(p proc, all map[int]proc, depth int) string {
	owner, seen := t.known[p.identity]
	if owner != "" {
		return owner
	}
	owner = t.leaderLocked(p.session)
	parent, ok := all[p.parent]
	if owner == "" && ok && p.parent > 1 && depth < 64 {
		owner = t.ownerLocked(parent, all, depth+1)
	}
	sure := true
	if owner == "" && !seen && !p.kernel {
		owner, sure = t.marked(p.pid)
	}
	if sure {
		t.known[p.identity] = owner
	}
	return owner
}

// leaderLocked finds the sandbox that leads a session. The number 0 stands for every
// session whose leader is outside our process namespace, so it is never a sandbox's.
func (t *table) leaderLocked(number int) string {
	if number == 0 {
		return ""
	}
	return t.sessions[number].owner
}

// marked reads the mark in a process's environment. The processes of other users,
// which we may not look at, are not ours. While a process starts another program its
// environment looks empty: then the answer is not sure.
func (t *table) marked(pid int) (id string, sure bool) {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return "", true
	}
	for entry := range bytes.SplitSeq(env, []byte{0}) {
		if id, ok := strings.CutPrefix(string(entry), t.mark); ok {
			return id, true
		}
	}
	return "", len(env) > 0
}

// forgetLocked drops what is known of processes that are no more. A session's number
// can be another's only after its leader and all its members have gone.
func (t *table) forgetLocked(all map[int]proc) {
	for pid, s := range t.sessions {
		if p, ok := all[pid]; ok && p.start != s.start {
			delete(t.sessions, pid)
		}
	}
	for who := range t.known {
		if p, ok := all[who.pid]; !ok || p.start != who.start {
			delete(t.known, who)
		}
	}
}

// snapshot reads the state of every process.
func snapshot() (map[int]proc, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := make(map[int]proc, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue // not a process
		}
		if p, err := readStat(pid); err == nil { // else it has ended meanwhile
			all[pid] = p
		}
	}
	return all, nil
}

// ticksPerSecond is USER_HZ, which is 100 on every architecture that Go supports.
const ticksPerSecond = 100

// kernelThread is PF_KTHREAD in the flags of a process.
const kernelThread = 0x0020_0000

// readStat reads /proc/PID/stat (proc(5)).
func readStat(pid int) (proc, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return proc{}, err
	}
	return parseStat(pid, b)
}

// parseStat: the second field is the program's name in parentheses, and may hold
// anything, parentheses included. Fields are counted from the third.
func parseStat(pid int, b []byte) (proc, error) {
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	if end < 0 || len(fields) < 22 {
		return proc{}, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(fields[i], 10, 64) // the kernel writes numbers
		return n
	}
	ticks := number(11) + number(12) + number(13) + number(14)
	return proc{
		identity: identity{pid: pid, start: uint64(number(19))},
		parent:   int(number(1)),
		session:  int(number(3)),
		kernel:   number(6)&kernelThread != 0,
		zombie:   fields[0] == "Z" || fields[0] == "X",
		memory:   number(21) * int64(os.Getpagesize()),
		cpu:      time.Duration(ticks) * (time.Second / ticksPerSecond),
	}, nil
}
