package rootfs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func build(t *testing.T, runtimes ...Runtime) *Root {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	old := syscall.Umask(0o077) // must not matter
	r, err := Build(filepath.Join(t.TempDir(), "root"), runtimes)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(mounts), r.Path()) {
			t.Error("mounts are left at", r.Path())
		}
	})
	return r
}

// inside runs a program in the tree as an ordinary user.
func inside(t *testing.T, r *Root, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/tmp"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     r.Path(),
		Credential: &syscall.Credential{Uid: UID, Gid: GID},
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestTreeShowsNothingOfTheHost(t *testing.T) {
	r := build(t)
	for _, dir := range []string{"/home", "/root", "/run", "/srv", "/mnt", "/media", "/boot", "/sys", "/etc/shadow", "/var/lib", "/var/log"} {
		if _, err := os.Lstat(r.at(dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is in the tree (%v)", dir, err)
		}
	}
	for _, dir := range []string{"/usr/local", "/usr/src", "/opt", "/tmp", "/proc", "/var/task"} {
		entries, err := os.ReadDir(r.at(dir))
		if len(entries) != 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is not empty: %v %v", dir, entries, err)
		}
	}
}

func TestTreeCannotBeWrittenTo(t *testing.T) {
	r := build(t)
	for _, dir := range []string{"/", "/usr", "/usr/bin", "/usr/local", "/etc", "/dev", "/tmp", "/var/task"} {
		err := os.WriteFile(r.at(dir+"/x"), nil, 0o600) // as root
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: got %v, want a read-only file system", dir, err)
		}
	}
}

func TestProgramsRunInTheTree(t *testing.T) {
	r := build(t)
	for _, c := range []struct{ script, want string }{
		{"id -un", "function"},
		{"echo x > /dev/null; head -c 4 /dev/zero | wc -c", "4"},
		{"getent services https | cut -d' ' -f1", "https"},
		{"date -d @0 +%H:%M%Z", "00:00UTC"},
		{"head -1 /etc/ssl/cert.pem >/dev/null && echo certificates", "certificates"},
	} {
		if out, err := inside(t, r, "/bin/sh", "-c", c.script); err != nil || out != c.want {
			t.Errorf("%s: %q, %v; want %q", c.script, out, err, c.want)
		}
	}
	if out, err := inside(t, r, "/bin/su", "-c", "id"); err == nil {
		t.Errorf("a set-user-id program worked: %s", out)
	}
}

func TestDiscoveredRuntimesRunInTheTree(t *testing.T) {
	found := Discover(t.Context())
	if len(found) == 0 {
		t.Skip("this machine has no runtimes")
	}
	r := build(t, found...)
	for _, rt := range found {
		out, err := inside(t, r, rt.Path, "--version")
		if err != nil || !strings.Contains(out, rt.Version) {
			t.Errorf("%v: %q, %v", rt, out, err)
		}
	}
}

// A copy of a program elsewhere stands for an interpreter in an unusual place.
func TestRuntimesOutsideUsrAreShown(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "apps", "node-v9")
	program := filepath.Join(prefix, "bin", "node")
	copyProgram(t, program)
	if err := os.WriteFile(filepath.Join(prefix, "secret"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := build(t, Runtime{Name: NodeJS, Path: program, Prefix: prefix})
	if out, err := inside(t, r, program, "hello"); err != nil || out != "hello" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := os.Stat(r.at(filepath.Join(prefix, "secret"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what lies beside the runtime is shown: %v", err)
	}
}

// copyProgram puts echo, a real program, at path.
func copyProgram(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile("/bin/echo")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestBuildReplacesNothingAndRemoveTakesDownLeftovers(t *testing.T) {
	r := build(t)
	if _, err := Build(r.Path(), nil); err != nil { // on top, as after a kill
		t.Fatal(err)
	}
	if err := Remove(r.Path()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(r.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", r.Path(), err)
	}
}

func TestSearchPassesOverShims(t *testing.T) {
	home := t.TempDir()
	shims := filepath.Join(home, ".pyenv", "shims")
	if err := os.MkdirAll(shims, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho Python 3.99.0\n"
	if err := os.WriteFile(filepath.Join(shims, "python3"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := search{path: []string{shims, "relative/bin", ""}, home: home}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if found := s.run(ctx); len(found) != 0 {
		t.Fatalf("found %v", found)
	}
	python, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		t.Skip("no python here")
	}
	// The shim's real counterpart is found where the version manager keeps it.
	bin := filepath.Join(home, ".pyenv", "versions", "3.99.0", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(python, filepath.Join(bin, "python3")); err != nil {
		t.Fatal(err)
	}
	found := s.run(ctx)
	if len(found) != 1 || found[0].Name != Python || found[0].Path != python || found[0].Prefix != "/usr" {
		t.Errorf("found %+v", found)
	}
}
