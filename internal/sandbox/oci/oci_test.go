package oci

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"pgregory.net/rapid"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/rootfs"
)

// Whatever is taken and given back in whatever order, no two sandboxes ever have a
// user in common, and none has one of the host's.
func TestIDRangesNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newIDPool(rapid.String().Draw(t, "name"))
		var held []uint32
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				first, err := p.take()
				if err != nil {
					t.Fatal(err)
				}
				if first < firstID || first+idsEach-1 >= 0x7FFE_0000 || (first-firstID)%idsEach != 0 {
					t.Fatalf("range starts at %#x", first)
				}
				if slices.Contains(held, first) {
					t.Fatalf("range %#x was given away twice", first)
				}
				held = append(held, first)
			},
			"give": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("nothing held")
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				p.give(held[i])
				held = slices.Delete(held, i, i+1)
			},
		})
	})
}

func TestIDRangesRunOutWithAnError(t *testing.T) {
	p := newIDPool("x")
	for range idRanges {
		if _, err := p.take(); err != nil {
			t.Fatal(err)
		}
	}
	if first, err := p.take(); err == nil {
		t.Errorf("one more range at %#x", first)
	}
	p.give(firstID)
	if first, err := p.take(); err != nil || first != firstID {
		t.Errorf("%#x, %v", first, err)
	}
}

func TestFilterDeniesByDefaultAndLeavesOutTheDangerous(t *testing.T) {
	f, err := filter()
	if err != nil {
		t.Fatal(err)
	}
	if f.DefaultAction != specs.ActErrno || len(f.Architectures) != 1 {
		t.Errorf("default %s, instruction sets %v", f.DefaultAction, f.Architectures)
	}
	allowed := map[string]bool{}
	for _, call := range f.Syscalls {
		for _, name := range call.Names {
			if call.Action != specs.ActAllow {
				continue
			}
			allowed[name] = true
			if name == "socket" && len(call.Args) != 1 {
				t.Error("any socket is allowed")
			}
			if name == "clone" && len(call.Args) == 0 {
				t.Error("any clone is allowed, with new namespaces")
			}
		}
	}
	for _, name := range append([]string{"clone3", "mount", "unshare", "chroot", "reboot", "init_module"}, denied...) {
		if allowed[name] {
			t.Errorf("%s is allowed", name)
		}
	}
	for _, name := range []string{"read", "clone", "execve", "futex", "epoll_wait", "socket", "mmap", "restart_syscall"} {
		if !allowed[name] {
			t.Errorf("%s is not allowed", name)
		}
	}
	if again, err := filter(); err != nil || len(again.Syscalls) != len(f.Syscalls) {
		t.Errorf("a second filter differs: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{
		{StateDir: "/x"},
		{Name: "a/b", StateDir: "/x"},
		{Name: strings.Repeat("a", 33), StateDir: "/x"},
		{Name: "a"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestSupportedNamesWhatIsMissingAndHowToGetIt(t *testing.T) {
	supported(t)
	cfg := config(t.TempDir())
	cfg.RuntimePath = "/bin/true"
	if err := Supported(cfg); err == nil || !strings.Contains(err.Error(), "/bin/true does not tell its version") {
		t.Errorf("got %v", err)
	}
	cfg = config(t.TempDir())
	t.Setenv("PATH", "/nowhere")
	cfg.Runtime = "crun"
	if err := Supported(cfg); err == nil || !strings.Contains(err.Error(), `"crun" is unknown; use runc`) {
		t.Errorf("got %v", err)
	}
}

func TestTwoDriversOnOneDirectoryAreRefused(t *testing.T) {
	supported(t)
	cfg := config(filepath.Join(t.TempDir(), "data"))
	cfg.Offline = true
	d := newDriver(t, cfg)
	if other, err := New(cfg); err == nil {
		other.Close()
		t.Error("there are two")
	} else if !strings.Contains(err.Error(), "in use by another Hearth") {
		t.Errorf("got %v", err)
	}
	if out, _ := run(t, d, "/bin/echo", "unharmed"); out != "unharmed\n" {
		t.Errorf("the first one is damaged: %q", out)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// run runs a command in a sandbox to its end.
func run(t *testing.T, d *Driver, args ...string) (output string, exit sandbox.Exit) {
	t.Helper()
	sb, err := d.Start(t.Context(), sandbox.Spec{
		ID: "i0123456789ab", Args: args, Env: []string{"PATH=/usr/bin:/bin", "HOME=/tmp"},
		MemoryMB: 256, CPUs: 1, TmpMB: 16,
	})
	if err != nil {
		t.Fatal(err)
	}
	sb.Conn().Close()
	defer sb.Output().Close()
	b, err := io.ReadAll(sb.Output())
	if err != nil {
		t.Error(err)
	}
	<-sb.Done()
	exit = sb.Exit()
	if err := sb.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	return string(b), exit
}

// The interpreters work inside, with what functions usually ask of them.
func TestRuntimesWorkInside(t *testing.T) {
	supported(t)
	cfg := config(filepath.Join(t.TempDir(), "data"))
	cfg.Offline = true
	cfg.Runtimes = rootfs.Discover(t.Context())
	d := newDriver(t, cfg)
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	scripts := map[string][]string{
		rootfs.NodeJS: {"-e", `
			const os = require("os"), fs = require("fs"), crypto = require("crypto");
			fs.writeFileSync(os.tmpdir() + "/x", crypto.randomBytes(4));
			const w = new (require("worker_threads").Worker)("", {eval: true});
			w.on("exit", () => require("dns").lookup("localhost", (e, a) => {
				require("child_process").execFileSync("/bin/true");
				console.log(os.userInfo().username, os.cpus().length > 0, os.hostname(), a, new Date(0).getHours(), Intl.DateTimeFormat().resolvedOptions().timeZone);
			}));`},
		rootfs.Python: {"-c", `
import getpass, multiprocessing, os, socket, ssl, sqlite3, subprocess, tempfile, threading, time
tempfile.NamedTemporaryFile().write(b"x")
t = threading.Thread(target=time.time); t.start(); t.join()
q = multiprocessing.Queue(); q.put(1); q.get()
subprocess.run(["/bin/true"], check=True)
ssl.create_default_context()
print(getpass.getuser(), os.cpu_count() > 0, socket.gethostname(), socket.gethostbyname("localhost"), time.localtime(0).tm_hour, time.tzname[0])`},
	}
	want := map[string]string{
		rootfs.NodeJS: "function true i0123456789ab 127.0.0.1 0 UTC\n",
		rootfs.Python: "function True i0123456789ab 127.0.0.1 0 UTC\n",
	}
	for _, rt := range cfg.Runtimes {
		out, exit := run(t, d, append([]string{rt.Path}, scripts[rt.Name]...)...)
		if out != want[rt.Name] || exit != (sandbox.Exit{}) {
			t.Errorf("%v: %q, %+v; want %q", rt, out, exit, want[rt.Name])
		}
	}
}

func TestOfflineHasNothingButLoopback(t *testing.T) {
	supported(t)
	cfg := config(filepath.Join(t.TempDir(), "data"))
	cfg.Offline = true
	d := newDriver(t, cfg)
	out, _ := run(t, d, "/bin/sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1")
	if strings.TrimSpace(out) != "lo" {
		t.Errorf("interfaces: %q", out)
	}
	if d.Isolation().Network || !strings.Contains(strings.Join(d.Warnings(), " "), "network") {
		t.Errorf("it does not say so: %q", d.Warnings())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// A runtime that hangs or crashes half-way is cleaned up after.
func TestStartThatTheRuntimeFails(t *testing.T) {
	supported(t)
	cfg := config(filepath.Join(t.TempDir(), "data"))
	cfg.Offline = true
	d := newDriver(t, cfg)
	d.engine.path = "/bin/false"
	if _, err := d.Start(t.Context(), benchSpec(1)); err == nil || !strings.Contains(err.Error(), "runc") {
		t.Errorf("got %v", err)
	}
	// It starts the container and then says that it failed.
	d.engine.path = script(t, `#!/bin/sh
runc "$@"; exit 3`)
	if _, err := d.Start(t.Context(), benchSpec(1)); err == nil {
		t.Error("no error")
	}
	for _, l := range leftovers(t, cfg.StateDir) {
		if strings.Contains(l, benchSpec(1).ID) {
			t.Errorf("left: %q", l)
		}
	}
	d.engine.path = "runc"
	if out, _ := run(t, d, "/bin/echo", "works"); out != "works\n" {
		t.Errorf("afterwards: %q", out)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if list := leftovers(t, cfg.StateDir); len(list) > 0 {
		t.Errorf("left: %q", list)
	}
}
