package oci

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/rootfs"
)

// offline is a driver with all interpreters that is closed at the end of the test.
func offline(t *testing.T) (*Driver, map[string]string) {
	t.Helper()
	supported(t)
	cfg := config(filepath.Join(t.TempDir(), "data"))
	cfg.Offline = true
	cfg.Runtimes = rootfs.Discover(t.Context())
	d := newDriver(t, cfg)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	programs := map[string]string{"sh": "/bin/sh"}
	for _, r := range cfg.Runtimes {
		programs[r.Name] = r.Path
	}
	return d, programs
}

// How a program ends is told as it is, though a shell stands between.
func TestEndsOfInterpretersAreToldAsTheyAre(t *testing.T) {
	d, programs := offline(t)
	for _, c := range []struct {
		program, option, code string
		want                  sandbox.Exit
	}{
		{rootfs.NodeJS, "-e", "process.kill(process.pid, 'SIGKILL'); setTimeout(() => {}, 60000)", killedBy(syscall.SIGKILL)},
		{rootfs.NodeJS, "-e", "process.abort()", killedBy(syscall.SIGABRT)},
		{rootfs.NodeJS, "-e", "process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 60000)", killedBy(syscall.SIGTERM)},
		{rootfs.NodeJS, "-e", "process.exit(7)", sandbox.Exit{Code: 7}},
		{rootfs.NodeJS, "-e", "throw 1", sandbox.Exit{Code: 1}},
		{rootfs.Python, "-c", "import os, signal, time; os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)", killedBy(syscall.SIGKILL)},
		{rootfs.Python, "-c", "import os; os.abort()", killedBy(syscall.SIGABRT)},
		{rootfs.Python, "-c", "import ctypes; ctypes.string_at(0)", killedBy(syscall.SIGSEGV)},
		{rootfs.Python, "-c", "import os, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler); os._exit(0)", sandbox.Exit{}},
		{rootfs.Python, "-c", "import sys; sys.exit(129)", sandbox.Exit{Code: 129}},
	} {
		if programs[c.program] == "" {
			continue
		}
		start := time.Now()
		out, exit := run(t, d, programs[c.program], c.option, c.code)
		if exit != c.want || strings.Contains(out, "False") {
			t.Errorf("%s: %+v, want %+v; it said %q", c.code, exit, c.want, out)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: the end was seen after %v", c.code, took)
		}
	}
}

func killedBy(s syscall.Signal) sandbox.Exit { return sandbox.Exit{Code: 128 + int(s), Signal: s} }

// The kernel may kill a process that the function has started; the function goes on.
func TestChildOutOfMemoryIsNotTheInstancesEnd(t *testing.T) {
	d, programs := offline(t)
	python := programs[rootfs.Python]
	if python == "" {
		t.Skip("no python")
	}
	out, exit := run(t, d, python, "-c", `
import subprocess, sys
p = subprocess.run([sys.executable, "-c", "x = b'x' * (1 << 30)"])
print(p.returncode)
sys.exit(5)`)
	if out != "-9\n" || exit != (sandbox.Exit{Code: 5}) {
		t.Errorf("%q, %+v", out, exit)
	}
}

// Twice as many processes as may exist at once lose their parents; init waits for all.
func TestThousandsOfOrphansAreReaped(t *testing.T) {
	d, programs := offline(t)
	out, exit := run(t, d, programs["sh"], "-c", `
		i=0
		while [ $i -lt 2000 ]; do (: &) || exit 1; i=$((i+1)); done
		tries=0
		while set -- /proc/[0-9]*; [ $# -gt 2 ] && [ $tries -lt 1000 ]; do tries=$((tries+1)); sleep 0.01; done
		echo $i started, $# left`)
	if out != "2000 started, 2 left\n" || exit != (sandbox.Exit{}) {
		t.Errorf("%q, %+v", out, exit)
	}
}
