package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox/cgroup"
	"hearth/internal/sandbox/network"
)

// Supported tells what this machine lacks to run a Driver with cfg, and how to get
// it; nil if nothing. It changes nothing.
func Supported(cfg Config) error {
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	_, err = inspect(&cfg)
	return err
}

// machine is what inspect finds.
type machine struct {
	engine      *engine
	cgroups     *cgroup.Host
	swapCounted bool
}

// inspect looks at the machine and collects everything that is missing.
func inspect(cfg *Config) (*machine, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("sandboxes with " + cfg.Runtime + " need root: run hearth with sudo, or use --isolation process")
	}
	m := &machine{}
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	m.engine, err = findEngine(cfg)
	note(err)
	note(kernelFeatures())
	if m.cgroups, err = cgroup.Detect(); err != nil {
		note(err)
	} else {
		for _, missing := range m.cgroups.Missing() {
			note(errors.New("cgroups lack " + missing))
		}
	}
	if !cfg.Offline {
		note(network.Supported())
	}
	m.swapCounted = exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes") || swapCountedV2()
	return m, errors.Join(errs...)
}

func findEngine(cfg *Config) (*engine, error) {
	f, ok := flavours[cfg.Runtime]
	if !ok {
		return nil, fmt.Errorf("OCI runtime %q is unknown; use runc", cfg.Runtime)
	}
	path := cfg.RuntimePath
	if path == "" {
		var err error
		if path, err = lookPath(cfg.Runtime); err != nil {
			return nil, fmt.Errorf("%s is missing (%s)", cfg.Runtime, f.packages)
		}
	}
	e := &engine{flavour: f, name: cfg.Runtime, path: path, root: cfg.runtimeRoot()}
	return e, e.checkVersion()
}

// lookPath also looks where PATH of an ordinary login does not lead.
func lookPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/", "/usr/local/bin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			return path, nil
		}
	}
	return "", err
}

var versionLine = regexp.MustCompile(`(?m)^\S+ version (\d+)\.(\d+)`)

// checkVersion: before 1.1, runc could not mount what its user namespace's root may
// not reach, such as a data directory in a home.
func (e *engine) checkVersion() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, e.path, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s does not run: %w", e.path, err)
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return fmt.Errorf("%s does not tell its version: %q", e.path, out)
	}
	major, _ := strconv.Atoi(string(match[1])) // digits
	minor, _ := strconv.Atoi(string(match[2]))
	if e.name == "runc" && (major < 1 || major == 1 && minor < 1) {
		return fmt.Errorf("%s is version %d.%d; 1.1 or newer is needed (%s)", e.path, major, minor, e.packages)
	}
	if e.seccomp && e.name == "runc" && !strings.Contains(string(out), "libseccomp") {
		return fmt.Errorf("%s is built without seccomp (%s)", e.path, e.packages)
	}
	return nil
}

func kernelFeatures() error {
	var errs []error
	if b, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err != nil || strings.TrimSpace(string(b)) == "0" {
		errs = append(errs, errors.New("the kernel has no user namespaces (sysctl user.max_user_namespaces=10000)"))
	}
	if !exists("/proc/sys/kernel/seccomp/actions_avail") {
		errs = append(errs, errors.New("the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)"))
	}
	fd, err := unix.PidfdOpen(os.Getpid(), unix.PIDFD_NONBLOCK)
	if err != nil {
		return errors.Join(append(errs, errors.New("the kernel is older than Linux 5.10"))...)
	}
	unix.Close(fd)
	return errors.Join(errs...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// swapCountedV2: the root group has no such file, any group below it has.
func swapCountedV2() bool {
	found, _ := filepath.Glob("/sys/fs/cgroup/*/memory.swap.max") // the pattern is well-formed
	return len(found) > 0
}
