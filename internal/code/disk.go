package code

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/internal/hearth"
)

// A cache's directory:
//
//	<digest>/code/   what is unpacked; Get gives this
//	<digest>/size    bytes of the files in code; its time is that of the last use
//	tmp-…            being made or being removed
//	boot             the boot of this machine in which all of it was written
//
// Nothing is fsync'd. A rename makes code visible as a whole to every process, and
// kill -9 does not undo writes that the kernel has taken. Only a crash of the machine
// may leave a renamed directory with empty files in it; hence a cache from another
// boot is thrown away and fetched again from the store, which does fsync. That is
// far cheaper than waiting for the disk file by file at every deployment.
const (
	temporaryPrefix = "tmp-"
	bootFile        = "boot"
	bootIDFile      = "/proc/sys/kernel/random/boot_id"
)

func (c *Cache) codeDir(digest string) string  { return filepath.Join(c.dir, digest, "code") }
func (c *Cache) sizeFile(digest string) string { return filepath.Join(c.dir, digest, "size") }

// recover makes the directory fit for use and finds what is in it.
func (c *Cache) recover() error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	fresh, err := c.sameBoot()
	if err != nil {
		return err
	}
	names, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	type found struct {
		*unpacked
		used time.Time
	}
	var all []found
	for _, entry := range names {
		name := entry.Name()
		bytes, used, ok := c.readSize(name)
		switch {
		case isDigest(name) && ok && fresh:
			all = append(all, found{&unpacked{digest: name, bytes: bytes}, used})
		case isDigest(name) || strings.HasPrefix(name, temporaryPrefix):
			if err := os.RemoveAll(filepath.Join(c.dir, name)); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(all, func(a, b found) int { return a.used.Compare(b.used) })
	for _, f := range all {
		c.clock++
		f.unpacked.used = c.clock
		c.kept[f.digest] = f.unpacked
		c.bytes += f.bytes
	}
	return c.markBoot()
}

func (c *Cache) sameBoot() (bool, error) {
	then, err := os.ReadFile(filepath.Join(c.dir, bootFile))
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now, err := os.ReadFile(bootIDFile)
	return err == nil && string(then) == string(now), nil
}

// markBoot writes down the boot once nothing of another one is left.
func (c *Cache) markBoot() error {
	now, err := os.ReadFile(bootIDFile)
	if err != nil {
		now = nil // then the next process trusts nothing here
	}
	return os.WriteFile(filepath.Join(c.dir, bootFile), now, 0o644)
}

func (c *Cache) readSize(digest string) (bytes int64, used time.Time, ok bool) {
	name := c.sizeFile(digest)
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, used, false
	}
	info, err := os.Stat(name)
	if err != nil {
		return 0, used, false
	}
	bytes, err = strconv.ParseInt(string(text), 10, 64)
	return bytes, info.ModTime(), err == nil && bytes >= 0
}

// make fetches, checks and unpacks an archive into a temporary directory, which the
// caller renames, or removes after an error.
func (c *Cache) make(ctx context.Context, digest string, source Fetch) (bytes int64, dir string, err error) {
	dir, err = os.MkdirTemp(c.dir, temporaryPrefix)
	if err != nil {
		return 0, "", err
	}
	zip, err := os.OpenFile(filepath.Join(dir, "zip"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, dir, err
	}
	defer zip.Close()
	size, err := download(ctx, digest, source, zip)
	if err != nil {
		return 0, dir, err
	}
	a, err := openArchive(zip, size)
	if err != nil {
		return 0, dir, err
	}
	inner := filepath.Join(dir, "code")
	if err := os.Mkdir(inner, 0o755); err != nil {
		return 0, dir, err
	}
	for _, name := range []string{dir, inner} { // whatever the umask took away
		if err := os.Chmod(name, 0o755); err != nil {
			return 0, dir, err
		}
	}
	bytes, err = a.unpack(ctx, inner)
	if err != nil {
		return 0, dir, err
	}
	if err := os.Remove(zip.Name()); err != nil {
		return 0, dir, err
	}
	return bytes, dir, os.WriteFile(filepath.Join(dir, "size"), strconv.AppendInt(nil, bytes, 10), 0o644)
}

// download fills zip from the source and checks that it is what the digest says.
func download(ctx context.Context, digest string, source Fetch, zip io.Writer) (int64, error) {
	hash := sha256.New()
	w := &bounded{w: io.MultiWriter(zip, hash), left: hearth.MaxZipBytes}
	if err := source(ctx, digest, w); err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("fetch: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digest {
		return 0, hearth.Errorf(hearth.ErrInternal,
			"the stored code is damaged (its digest is %s). Deploy the function again", short(got))
	}
	return hearth.MaxZipBytes - w.left, nil
}

// bounded refuses more than left bytes.
type bounded struct {
	w    io.Writer
	left int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		return 0, errZipTooLarge(hearth.MaxZipBytes - b.left + int64(len(p)))
	}
	n, err := b.w.Write(p)
	b.left -= int64(n)
	return n, err
}
