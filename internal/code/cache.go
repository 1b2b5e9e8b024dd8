package code

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hearth/internal/hearth"
)

// DefaultMaxBytes bounds a cache unless Options say otherwise.
const DefaultMaxBytes = 8 << 30

// Options of a Cache. The zero value is useful.
type Options struct {
	// MaxBytes bounds the unpacked code that is kept, in bytes of file contents. Code
	// in use is never removed, so the cache may be larger for a while. Default
	// DefaultMaxBytes.
	MaxBytes int64
	// Log hears of what could not be removed. Default: nobody.
	Log *slog.Logger
}

// Fetch writes the archive of that digest to w; it returns when it is done or ctx is.
type Fetch func(ctx context.Context, digest string, w io.Writer) error

// Cache holds code, unpacked once per node, each in a directory named by its digest.
// Its methods may be called from many goroutines. One process at a time may use a
// cache's directory.
type Cache struct {
	dir   string
	fetch Fetch
	max   int64
	log   *slog.Logger

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	goroutines sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	kept    map[string]*unpacked // by digest
	flights map[string]*flight   // by digest
	bytes   int64                // of kept
	clock   int64                // counts uses, for their order
}

// unpacked is one archive on the disk. Guarded by Cache.mu.
type unpacked struct {
	digest string
	bytes  int64
	refs   int
	used   int64 // Cache.clock at the last use
}

// flight is an archive on its way to the disk, and those who wait for it.
type flight struct {
	digest  string
	cancel  context.CancelFunc
	done    chan struct{} // closed when result and err are set
	result  *unpacked     // with one reference for every waiter
	err     error
	waiters int // guarded by Cache.mu
}

// ErrClosed is what Get and Put return after Close.
var ErrClosed = errors.New("the code cache is closed")

// NewCache opens the cache in dir, which it makes if need be. What an earlier process
// left half made is removed. It blocks on the disk.
func NewCache(dir string, fetch Fetch, opts Options) (*Cache, error) {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{
		dir: dir, fetch: fetch, max: opts.MaxBytes, log: opts.Log,
		kept: map[string]*unpacked{}, flights: map[string]*flight{},
	}
	if err := c.recover(); err != nil {
		return nil, fmt.Errorf("open code cache %s: %w", dir, err)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.Lock()
	doomed := c.trimLocked()
	c.mu.Unlock()
	c.remove(doomed)
	return c, nil
}

// Get gives the directory that holds the code of that digest, and fetches it first if
// need be; callers at the same time share one fetch, and only when the last of them
// has given up does it stop. The directory is for reading only and stays until
// release is called; calling it twice is harmless. Errors are those of fetch, of the
// context, a *hearth.Error about the archive, or ErrClosed.
func (c *Cache) Get(ctx context.Context, digest string) (dir string, release func(), err error) {
	u, err := c.take(ctx, digest, c.fetch)
	if err != nil {
		return "", nil, fmt.Errorf("code %s: %w", short(digest), err)
	}
	var once sync.Once
	return c.codeDir(digest), func() { once.Do(func() { c.release(u) }) }, nil
}

// Put unpacks an archive into the cache, so that no Get has to fetch it. It blocks
// until that is done. Its errors are those of Get.
func (c *Cache) Put(digest string, zip []byte) error {
	u, err := c.take(c.ctx, digest, func(_ context.Context, _ string, w io.Writer) error {
		_, err := w.Write(zip)
		return err
	})
	if err != nil {
		return fmt.Errorf("code %s: %w", short(digest), err)
	}
	c.release(u)
	return nil
}

// Close stops what is being fetched, waits for it and leaves everything unpacked
// where it is. Closing twice is harmless.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.goroutines.Wait()
	return nil
}

// take gives the unpacked code with one reference for the caller.
func (c *Cache) take(ctx context.Context, digest string, source Fetch) (*unpacked, error) {
	if !isDigest(digest) {
		return nil, hearth.Errorf(hearth.ErrInternal, "a code digest is 64 lower-case hexadecimal digits")
	}
	if u := c.hold(digest); u != nil {
		return u, nil
	}
	f, err := c.join(digest, source)
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.result, f.err
	case <-ctx.Done():
		c.leave(f)
		return nil, ctx.Err()
	}
}

// hold takes a reference to code that is on the disk, if it is. Should somebody have
// removed the directory, it is fetched again.
func (c *Cache) hold(digest string) *unpacked {
	c.mu.Lock()
	u := c.kept[digest]
	if u == nil || c.closed {
		c.mu.Unlock()
		return nil
	}
	c.useLocked(u)
	c.mu.Unlock()
	if now := time.Now(); os.Chtimes(c.sizeFile(digest), now, now) == nil { // the order survives a restart
		return u
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u.refs--
	if c.kept[digest] == u {
		delete(c.kept, digest)
		c.bytes -= u.bytes
	}
	return nil
}

func (c *Cache) useLocked(u *unpacked) {
	u.refs++
	c.clock++
	u.used = c.clock
}

// join makes the caller one of those who wait for a flight, and starts it if need be.
func (c *Cache) join(digest string, source Fetch) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if u := c.kept[digest]; u != nil { // landed since hold looked
		c.useLocked(u)
		landed := &flight{done: make(chan struct{}), result: u, waiters: 1}
		close(landed.done)
		return landed, nil
	}
	f := c.flights[digest]
	if f == nil {
		ctx, cancel := context.WithCancel(c.ctx)
		f = &flight{digest: digest, cancel: cancel, done: make(chan struct{})}
		c.flights[digest] = f
		c.goroutines.Go(func() { c.fly(ctx, f, source) })
	}
	f.waiters++
	return f, nil
}

// leave is for a waiter who has given up.
func (c *Cache) leave(f *flight) {
	c.mu.Lock()
	f.waiters--
	result := f.result
	if result == nil && f.waiters == 0 {
		f.cancel()
		c.forgetLocked(f) // whoever comes next starts anew
	}
	c.mu.Unlock()
	if result != nil { // it landed in the meantime
		c.release(result)
	}
}

// forgetLocked takes a flight off the list of those that can be joined.
func (c *Cache) forgetLocked(f *flight) {
	if c.flights[f.digest] == f {
		delete(c.flights, f.digest)
	}
}

// fly makes the code and hands it to all who wait.
func (c *Cache) fly(ctx context.Context, f *flight, source Fetch) {
	defer f.cancel()
	bytes, temporary, err := c.make(ctx, f.digest, source)
	if err != nil && temporary != "" {
		c.remove([]string{temporary})
	}
	if err != nil && c.ctx.Err() != nil {
		err = ErrClosed
	}
	var doomed []string
	c.mu.Lock()
	if err == nil {
		f.result, doomed, err = c.landLocked(f, temporary, bytes)
	}
	f.err = err
	c.forgetLocked(f)
	close(f.done)
	c.mu.Unlock()
	c.remove(doomed)
}

// landLocked gives the code its name, a reference for every waiter, and room.
func (c *Cache) landLocked(f *flight, temporary string, bytes int64) (u *unpacked, doomed []string, err error) {
	if u = c.kept[f.digest]; u != nil { // another flight was faster, after this one was given up
		u.refs += f.waiters
		return u, []string{temporary}, nil
	}
	target := filepath.Join(c.dir, f.digest)
	if aside := c.asideLocked(f.digest); os.Rename(target, aside) == nil { // somebody damaged it
		doomed = append(doomed, aside)
	}
	if err := os.Rename(temporary, target); err != nil {
		return nil, append(doomed, temporary), err
	}
	c.clock++
	u = &unpacked{digest: f.digest, bytes: bytes, refs: f.waiters, used: c.clock}
	c.kept[f.digest] = u
	c.bytes += bytes
	return u, append(doomed, c.trimLocked()...), nil
}

// asideLocked is a name under which a directory waits to be removed.
func (c *Cache) asideLocked(digest string) string {
	c.clock++
	return filepath.Join(c.dir, fmt.Sprintf("%sold-%s-%d", temporaryPrefix, digest, c.clock))
}

func (c *Cache) release(u *unpacked) {
	c.mu.Lock()
	u.refs--
	doomed := c.trimLocked()
	c.mu.Unlock()
	c.remove(doomed)
}

// trimLocked takes the least recently used code out of the cache until it is small
// enough, and gives the directories to remove. They have other names by then, so that
// a crash half way leaves no half code behind.
func (c *Cache) trimLocked() (doomed []string) {
	for c.bytes > c.max {
		var oldest *unpacked
		for _, u := range c.kept {
			if u.refs == 0 && (oldest == nil || u.used < oldest.used) {
				oldest = u
			}
		}
		if oldest == nil {
			return doomed
		}
		delete(c.kept, oldest.digest)
		c.bytes -= oldest.bytes
		name := c.asideLocked(oldest.digest)
		if err := os.Rename(filepath.Join(c.dir, oldest.digest), name); err != nil {
			c.log.Warn("could not take code out of the cache", "digest", oldest.digest, "error", err)
			continue
		}
		doomed = append(doomed, name)
	}
	return doomed
}

func (c *Cache) remove(dirs []string) {
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			c.log.Warn("could not remove code", "directory", dir, "error", err)
		}
	}
}

func isDigest(s string) bool {
	_, err := hex.DecodeString(s)
	return len(s) == 64 && err == nil && strings.ToLower(s) == s
}

func short(digest string) string { return digest[:min(12, len(digest))] }
