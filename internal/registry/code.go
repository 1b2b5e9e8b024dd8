package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// collectTimeout bounds the removal of one archive that nobody needs.
const collectTimeout = 10 * time.Second

// codeKeeper keeps archives as long as somebody needs them. An archive is needed
// while a cached function refers to it, and while it is pinned: from before it is
// put until its function is cached, and while it is being read.
//
// An archive is removed only when both counts are zero, and from that decision until
// it is gone its digest is doomed: who pins it waits, and then puts it anew. So there
// is no moment at which a function is stored and its archive can go.
type codeKeeper struct {
	blobs  blobs
	logger *slog.Logger

	mu      sync.Mutex
	collect bool                     // unneeded archives may be removed
	refs    map[string]int           // digest → versions that refer to it
	pins    map[string]int           // digest → puts and reads under way
	doomed  map[string]chan struct{} // digest → closed when it is gone
	holds   int                      // who wants nothing to be removed for now
}

func (k *codeKeeper) init(b blobs, logger *slog.Logger, collect bool) {
	k.blobs, k.logger, k.collect = b, logger, collect
	k.refs, k.pins, k.doomed = map[string]int{}, map[string]int{}, map[string]chan struct{}{}
}

// refer counts what the cache refers to: old, which may be nil, becomes f, likewise.
func (k *codeKeeper) refer(old, f *hearth.Function) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f != nil {
		k.refs[f.Latest.Code.Digest]++
		for _, v := range f.Versions {
			k.refs[v.Code.Digest]++
		}
	}
	if old != nil {
		drop(k.refs, old.Latest.Code.Digest)
		for _, v := range old.Versions {
			drop(k.refs, v.Code.Digest)
		}
	}
}

// releaseAll removes those archives of old that nobody needs.
func (k *codeKeeper) releaseAll(old *hearth.Function) {
	digests := map[string]bool{old.Latest.Code.Digest: true}
	for _, v := range old.Versions {
		digests[v.Code.Digest] = true
	}
	for digest := range digests {
		k.release(digest)
	}
}

func drop(counts map[string]int, digest string) {
	if counts[digest]--; counts[digest] == 0 {
		delete(counts, digest)
	}
}

// keepEverything stops the removal of archives: something may need them that cannot
// be read.
func (k *codeKeeper) keepEverything() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.collect = false
}

// hold keeps every archive until release, which then removes those that nobody needs.
func (k *codeKeeper) hold() (release func()) {
	k.mu.Lock()
	k.holds++
	k.mu.Unlock()
	return sync.OnceFunc(func() {
		k.mu.Lock()
		k.holds--
		last := k.holds == 0
		k.mu.Unlock()
		if last {
			ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
			defer cancel()
			k.collectAll(ctx)
		}
	})
}

// pin keeps the archive, once a removal under way has ended, until unpin.
func (k *codeKeeper) pin(ctx context.Context, digest string) error {
	for {
		k.mu.Lock()
		gone := k.doomed[digest]
		if gone == nil {
			k.pins[digest]++
			k.mu.Unlock()
			return nil
		}
		k.mu.Unlock()
		select {
		case <-gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unpin gives the archive up, and removes it if nobody else needs it.
func (k *codeKeeper) unpin(digest string) {
	k.mu.Lock()
	drop(k.pins, digest)
	k.mu.Unlock()
	k.release(digest)
}

// release removes the archive if nobody needs it. A failure is only logged: what
// stays is removed at the next start.
func (k *codeKeeper) release(digest string) {
	gone := k.doom(digest)
	if gone == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	if err := k.blobs.Delete(ctx, digest); err != nil {
		k.logger.Warn("registry: cannot remove code that no function needs", "digest", digest, "error", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.doomed, digest)
	close(gone)
}

// doom is nil if somebody needs the archive or removes it already.
func (k *codeKeeper) doom(digest string) chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.collect || k.holds > 0 || k.refs[digest] > 0 || k.pins[digest] > 0 || k.doomed[digest] != nil {
		return nil
	}
	gone := make(chan struct{})
	k.doomed[digest] = gone
	return gone
}

// collectAll removes every archive that nobody needs. Call it when all functions
// have been read.
func (k *codeKeeper) collectAll(ctx context.Context) {
	k.mu.Lock()
	collect := k.collect
	k.mu.Unlock()
	if !collect {
		return
	}
	infos, err := k.blobs.List(ctx)
	if err != nil {
		k.logger.Warn("registry: cannot look for code that no function needs", "error", err)
	}
	for _, info := range infos {
		k.release(info.Digest)
	}
}

// put pins the archive and stores it. On an error it is not pinned.
func (k *codeKeeper) put(ctx context.Context, digest string, zip []byte) error {
	if err := k.pin(ctx, digest); err != nil {
		return err
	}
	if err := k.blobs.Put(ctx, digest, bytes.NewReader(zip)); err != nil {
		k.unpin(digest)
		return err
	}
	return nil
}

func (k *codeKeeper) open(ctx context.Context, digest string) (io.ReadCloser, error) {
	if err := k.pin(ctx, digest); err != nil {
		return nil, storeError(err, "open code")
	}
	r, err := k.blobs.Get(ctx, digest)
	if err != nil {
		k.unpin(digest)
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalidKey) {
			return nil, hearth.Errorf(hearth.ErrNotFound, "There is no code with digest %s: its function has been updated or deleted.", digest).WithCause(err)
		}
		return nil, storeError(err, "open code")
	}
	return &pinnedReader{ReadCloser: r, unpin: sync.OnceFunc(func() { k.unpin(digest) })}, nil
}

// pinnedReader keeps an archive while it is read.
type pinnedReader struct {
	io.ReadCloser
	unpin func()
}

// Close implements io.Closer.
func (r *pinnedReader) Close() error {
	defer r.unpin()
	return r.ReadCloser.Close()
}
