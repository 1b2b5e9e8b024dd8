package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// writeFile writes to a control file, in one write, and never makes a file.
func writeFile(name, value string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// number reads a control file that holds one number; "max" is the largest there is.
func number(name string) (int64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	return parseNumber(name, strings.TrimSpace(string(text)))
}

// field reads the number after a key at the start of a line; fs.ErrNotExist if there
// is no such line.
func field(name, key string) (int64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	return fieldOf(name, text, key)
}

func fieldOf(name string, text []byte, key string) (int64, error) {
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == key {
			return parseNumber(name, f[1])
		}
	}
	return 0, fmt.Errorf("%s has no %s: %w", name, key, fs.ErrNotExist)
}

func parseNumber(name, s string) (int64, error) {
	if s == "max" {
		return math.MaxInt64, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return int64(min(n, math.MaxInt64)), nil
}

// readPids reads cgroup.procs. Processes of a foreign pid namespace are listed as 0;
// they are left out, for they can be neither named nor killed.
func readPids(name string) ([]int, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, s := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// until calls done, ever more slowly, until it says true or fails; false when the
// time is over. The kernel has no wake-up that all versions share.
func until(limit time.Duration, done func() (bool, error)) (bool, error) {
	end := time.Now().Add(limit)
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if ok, err := done(); ok || err != nil {
			return ok, err
		}
		if time.Now().After(end) {
			return false, nil
		}
		time.Sleep(pause)
	}
}
