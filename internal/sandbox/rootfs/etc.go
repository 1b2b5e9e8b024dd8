package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// etc writes the few files of /etc that programs look for. What is copied from the
// host is the same on any machine with these packages: public certificates, the
// linker's index, well-known names.
func (r *Root) etc() error {
	uid, gid := strconv.Itoa(UID), strconv.Itoa(GID)
	files := map[string]string{
		"passwd": "root:x:0:0:root:/:/usr/sbin/nologin\n" +
			"function:x:" + uid + ":" + gid + ":function:/tmp:/bin/sh\n" +
			"nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
		"group":         "root:x:0:\nfunction:x:" + gid + ":\nnogroup:x:65534:\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
		"hosts":         "", // mounted upon
		"resolv.conf":   "", // mounted upon
		"host.conf":     "multi on\n",
	}
	for name, content := range files {
		if err := r.write("/etc/"+name, []byte(content)); err != nil {
			return err
		}
	}
	// Functions run in UTC, as at Lambda, whatever the host's zone is.
	for name, target := range map[string]string{
		"localtime":  "/usr/share/zoneinfo/Etc/UTC",
		"os-release": "/usr/lib/os-release",
		"mtab":       "/proc/self/mounts",
		// Where OpenSSL looks for all certificates in one file.
		"ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt",
	} {
		if err := r.mkdir(filepath.Dir("/etc/" + name)); err != nil {
			return err
		}
		if err := os.Symlink(target, r.at("/etc/"+name)); err != nil {
			return err
		}
	}
	for _, name := range copied {
		if err := r.copyFile(name); err != nil {
			return err
		}
	}
	return r.alternatives()
}

// copied are files that differ between machines only by what is installed.
var copied = []string{
	"/etc/ld.so.cache",
	"/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, Red Hat
	"/etc/ssl/ca-bundle.pem",             // SUSE
	"/etc/ssl/openssl.cnf",
	"/etc/mime.types",
	"/etc/services",
	"/etc/protocols",
}

// copyFile copies a file of the host, following symbolic links, if it is there.
func (r *Root) copyFile(name string) error {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.write(name, b)
}

// alternatives copies Debian's /etc/alternatives: symbolic links by which names in
// /usr lead to other names in /usr.
func (r *Root) alternatives() error {
	const dir = "/etc/alternatives"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // other distributions have none
	}
	if err := r.mkdir(dir); err != nil {
		return err
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || !useful(target) {
			continue
		}
		if err := os.Symlink(target, r.at(filepath.Join(dir, e.Name()))); err != nil {
			return err
		}
	}
	return nil
}

// useful: manual pages are not worth the memory, and nothing outside /usr is there.
func useful(target string) bool {
	for _, dir := range []string{"/usr/bin/", "/usr/lib/", "/usr/libexec/"} {
		if strings.HasPrefix(target, dir) {
			return true
		}
	}
	return false
}

// write makes a file that everybody may read, whatever the umask is.
func (r *Root) write(name string, b []byte) error {
	if err := r.mkdir(filepath.Dir(name)); err != nil {
		return err
	}
	if err := os.WriteFile(r.at(name), b, 0o644); err != nil {
		return err
	}
	return os.Chmod(r.at(name), 0o644)
}
