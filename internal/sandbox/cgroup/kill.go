package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// How long the kernel may take over what is normally done in a few milliseconds.
const (
	freezeLimit = 2 * time.Second
	killLimit   = 10 * time.Second
	removeLimit = 5 * time.Second
)

// Procs lists the processes in the group and in groups below it, in any hierarchy,
// sorted; none when the group does not exist.
func (g *Group) Procs() ([]int, error) {
	var all []int
	for _, hi := range g.h.hierarchies {
		err := filepath.WalkDir(hi.dir(g.path), func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return gone(err)
			}
			pids, err := readPids(filepath.Join(name, "cgroup.procs"))
			all = append(all, pids...)
			return gone(err)
		})
		if err != nil {
			return nil, fmt.Errorf("list the processes of cgroup %s: %w", g.path, err)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// gone forgives a group that vanishes while it is looked at.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

// Freeze stops every process in the group and blocks until they stand still, for
// 2 s at most: then it lets them run again and fails.
func (g *Group) Freeze() error {
	if err := g.errTop(); err != nil {
		return err
	}
	ok, err := g.freeze()
	if err == nil && ok {
		return nil
	}
	if err == nil {
		err = errors.New("processes did not stand still in time")
	}
	return errors.Join(fmt.Errorf("freeze cgroup %s: %w", g.path, err), g.Thaw())
}

// CanFreeze tells whether there is a freezer for groups.
func (h *Host) CanFreeze() bool { return h.controllers["freezer"] != nil || h.unified != nil }

// FreezeSoon has every process in the group stopped, as soon as the kernel comes to
// each. It does not wait for that; Thaw takes it back at any time.
func (g *Group) FreezeSoon() error {
	if err := g.errTop(); err != nil {
		return err
	}
	var err error
	if state := g.freezerState(); state != "" {
		err = writeFile(state, "FROZEN")
	} else if g.h.unified != nil {
		err = writeFile(filepath.Join(g.h.unified.dir(g.path), "cgroup.freeze"), "1")
	} else {
		err = errors.New("this host has no freezer")
	}
	if err != nil {
		return fmt.Errorf("freeze cgroup %s: %w", g.path, err)
	}
	return nil
}

func (g *Group) freeze() (bool, error) {
	if state := g.freezerState(); state != "" {
		return until(freezeLimit, func() (bool, error) {
			// Written again each time: a process that forks may slip through once.
			if err := writeFile(state, "FROZEN"); err != nil {
				return false, err
			}
			text, err := os.ReadFile(state)
			return strings.TrimSpace(string(text)) == "FROZEN", err
		})
	}
	if g.h.unified == nil {
		return false, errors.New("this host has no freezer")
	}
	dir := g.h.unified.dir(g.path)
	if err := writeFile(filepath.Join(dir, "cgroup.freeze"), "1"); err != nil {
		return false, err
	}
	return until(freezeLimit, func() (bool, error) {
		frozen, err := field(filepath.Join(dir, "cgroup.events"), "frozen")
		return frozen == 1, err
	})
}

// freezerState is the v1 freezer's file, or "": on a hybrid host a group may be in
// the v1 hierarchies, in the unified one, or in both.
func (g *Group) freezerState() string {
	hi := g.h.controllers["freezer"]
	if hi == nil {
		return ""
	}
	name := filepath.Join(hi.dir(g.path), "freezer.state")
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return name
}

// Thaw lets the processes run again. It is harmless when they are not frozen.
func (g *Group) Thaw() error {
	var err error
	if state := g.freezerState(); state != "" {
		err = writeFile(state, "THAWED")
	} else if g.h.unified != nil {
		err = writeFile(filepath.Join(g.h.unified.dir(g.path), "cgroup.freeze"), "0")
	}
	if gone(err) != nil {
		return fmt.Errorf("thaw cgroup %s: %w", g.path, err)
	}
	return nil
}

// Kill kills every process in the group and below, frozen ones too, and blocks
// until none is left, for 10 s at most. It is harmless when the group is empty or
// does not exist.
func (g *Group) Kill() error {
	if err := g.errTop(); err != nil {
		return err
	}
	var left []int
	round := 0
	ok, err := until(killLimit, func() (bool, error) {
		var err error
		if left, err = g.Procs(); err != nil || len(left) == 0 {
			return err == nil, err
		}
		if slices.Contains(left, os.Getpid()) {
			return false, errors.New("this very process is in it")
		}
		round++
		return false, g.killRound(left, round)
	})
	if err == nil && !ok {
		err = fmt.Errorf("processes %v do not end", left)
	}
	if err != nil {
		return fmt.Errorf("kill cgroup %s: %w", g.path, err)
	}
	return nil
}

// killRound kills every process once. On v2 one write kills all at once, what they
// fork included (Linux 5.14). Signals do the rest: on hybrid hosts a group may have
// processes in v1 hierarchies only. Those that outfork the signals are held still
// for it; a v1 freezer keeps even killed processes until it is thawed.
func (g *Group) killRound(pids []int, round int) error {
	if g.h.unified != nil {
		_ = writeFile(filepath.Join(g.h.unified.dir(g.path), "cgroup.kill"), "1")
	}
	if round > 3 {
		if ok, _ := g.freeze(); ok {
			if frozen, err := g.Procs(); err == nil {
				pids = frozen
			}
		}
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return g.Thaw()
}

// Remove removes the group and those below from every hierarchy, once it is empty;
// it blocks while killed processes are still on their way out, for 5 s at most. It
// is harmless when there is none.
func (g *Group) Remove() error {
	if err := g.errTop(); err != nil {
		return err
	}
	var errs []error
	for _, hi := range g.h.hierarchies {
		var busy error
		ok, err := until(removeLimit, func() (bool, error) {
			busy = removeTree(hi.dir(g.path))
			if errors.Is(busy, syscall.EBUSY) {
				return false, nil
			}
			return busy == nil, busy
		})
		if err == nil && !ok {
			err = busy
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove cgroup %s: %w", g.path, err)
	}
	return nil
}

// removeTree removes a group and those below it. The files in a group go with it and
// cannot be removed one by one.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return gone(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return gone(syscall.Rmdir(dir))
}
