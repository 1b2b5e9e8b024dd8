package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// chunkSize is that of a blob's messages: larger than the client's own, because each
// one is synced to disk by itself, and well under a server's usual limit of 1 MiB.
const chunkSize = 512 << 10

// BlobInfo describes a stored blob.
type BlobInfo struct {
	Digest   string // lower-case hex SHA-256 of the content
	Size     int64  // bytes
	Modified time.Time
}

// Blobs is a set of blobs, each named by the digest of its content. The layout is
// that of JetStream's object store, so its tools can read it: chunks first, then one
// message of metadata that makes them a blob.
type Blobs struct {
	store  *Store
	bucket string
	stream jetstream.Stream
	obs    jetstream.ObjectStore

	mu   sync.Mutex
	busy map[string]chan struct{} // digests being put or deleted; closed when that ends
}

// Blobs opens the bucket of this name and makes it if need be. What an interrupted
// Put has left in it is swept away. There is one Blobs of a name; it needs no closing.
func (s *Store) Blobs(ctx context.Context, bucket string) (*Blobs, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.blobs[bucket]; b != nil {
		return b, nil
	}
	if err := s.room(0); err != nil {
		return nil, err
	}
	b := &Blobs{store: s, bucket: bucketPrefix + bucket, busy: map[string]chan struct{}{}}
	var err error
	if b.obs, err = s.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: b.bucket}); err != nil {
		return nil, wrap(err, "store: open bucket %s", bucket)
	}
	if b.stream, err = s.js.Stream(ctx, "OBJ_"+b.bucket); err != nil {
		return nil, wrap(err, "store: open bucket %s", bucket)
	}
	if err := b.sweep(ctx); err != nil {
		return nil, wrap(err, "store: sweep bucket %s", bucket)
	}
	s.blobs[bucket] = b
	return b, nil
}

func (b *Blobs) metaSubject(digest string) string {
	return "$O." + b.bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(digest))
}

func (b *Blobs) chunkSubject(id string) string { return "$O." + b.bucket + ".C." + id }

// Put stores what r yields under digest, its lower-case hex SHA-256. If the blob is
// there already Put returns at once, and r is not read. If the content does not
// match it fails with ErrCorrupt, and nothing stays. Puts of one digest wait for each
// other. Memory use is one chunk, whatever the size.
func (b *Blobs) Put(ctx context.Context, digest string, r io.Reader) error {
	if err := checkDigest(digest); err != nil {
		return err
	}
	release, err := b.acquire(ctx, digest)
	if err != nil {
		return err
	}
	defer release()
	if there, err := b.complete(ctx, digest); err != nil || there {
		return wrap(err, "store: look for blob %s", digest)
	}
	id := nuid.Next()
	if err := b.write(ctx, id, digest, r); err != nil {
		b.discard(ctx, id)
		return wrap(err, "store: put blob %s", digest)
	}
	return nil
}

// acquire makes the caller the only one in this process that changes digest.
func (b *Blobs) acquire(ctx context.Context, digest string) (release func(), err error) {
	for {
		b.mu.Lock()
		other := b.busy[digest]
		if other == nil {
			done := make(chan struct{})
			b.busy[digest] = done
			b.mu.Unlock()
			return func() {
				b.mu.Lock()
				defer b.mu.Unlock()
				delete(b.busy, digest)
				close(done)
			}, nil
		}
		b.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("store: blob %s is busy: %w", digest, ctx.Err())
		}
	}
}

// complete tells whether the blob is there with all of its chunks. They could only
// be missing if the power failed in the middle of a Delete.
func (b *Blobs) complete(ctx context.Context, digest string) (bool, error) {
	info, err := b.info(ctx, digest)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	subject := b.chunkSubject(info.NUID)
	state, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return false, err
	}
	return state.State.Subjects[subject] == uint64(info.Chunks), nil
}

// info reads the blob's metadata.
func (b *Blobs) info(ctx context.Context, digest string) (*jetstream.ObjectInfo, error) {
	m, err := b.stream.GetLastMsgForSubject(ctx, b.metaSubject(digest))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var info jetstream.ObjectInfo
	if err := json.Unmarshal(m.Data, &info); err != nil {
		return nil, fmt.Errorf("metadata: %w (%w)", ErrCorrupt, err)
	}
	if info.Deleted {
		return nil, ErrNotFound
	}
	return &info, nil
}

// write sends the chunks and, when all are acknowledged and match, the metadata.
func (b *Blobs) write(ctx context.Context, id, digest string, r io.Reader) error {
	info := &jetstream.ObjectInfo{Bucket: b.bucket, NUID: id}
	info.Name = digest
	info.Opts = &jetstream.ObjectMetaOptions{ChunkSize: uint32(b.chunkSize())}
	sum, chunk := sha256.New(), make([]byte, b.chunkSize())
	for end := false; !end; {
		n, err := io.ReadFull(r, chunk)
		end = err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return fmt.Errorf("read content: %w", err)
		}
		if n == 0 {
			break
		}
		if err := b.publish(ctx, &nats.Msg{Subject: b.chunkSubject(id), Data: chunk[:n]}); err != nil {
			return err
		}
		sum.Write(chunk[:n])
		info.Chunks++
		info.Size += uint64(n)
	}
	if hex.EncodeToString(sum.Sum(nil)) != digest {
		return ErrCorrupt
	}
	info.Digest = jetstream.GetObjectDigestValue(sum)
	return b.publishInfo(ctx, digest, info)
}

func (b *Blobs) chunkSize() int { return min(chunkSize, int(b.store.nc.MaxPayload()/2)) }

func (b *Blobs) publishInfo(ctx context.Context, digest string, info *jetstream.ObjectInfo) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	m := nats.NewMsg(b.metaSubject(digest))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = data
	return b.publish(ctx, m)
}

func (b *Blobs) publish(ctx context.Context, m *nats.Msg) error {
	if err := b.store.room(len(m.Data)); err != nil {
		return err
	}
	_, err := b.store.js.PublishMsg(ctx, m)
	return err
}

// discard removes the chunks of a Put that failed, also when that was because the
// caller gave up. What it cannot remove the next sweep will.
func (b *Blobs) discard(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := b.stream.Purge(ctx, jetstream.WithPurgeSubject(b.chunkSubject(id))); err != nil {
		b.store.cfg.Logger.Warn("store: cannot remove the chunks of an unfinished blob", "bucket", b.bucket, "error", err)
	}
}

// Get returns the blob's content, or ErrNotFound. Reading fetches one chunk at a
// time, under ctx, and ends with ErrCorrupt in place of io.EOF if the content does
// not match the digest. The caller closes it.
func (b *Blobs) Get(ctx context.Context, digest string) (io.ReadCloser, error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	info, err := b.info(ctx, digest)
	if err != nil {
		return nil, wrap(err, "store: get blob %s", digest)
	}
	return &blobReader{ctx: ctx, blobs: b, info: info, digest: digest, sum: sha256.New()}, nil
}

// Delete removes the blob. It is no error if it is not there.
func (b *Blobs) Delete(ctx context.Context, digest string) error {
	if err := checkDigest(digest); err != nil {
		return err
	}
	release, err := b.acquire(ctx, digest)
	if err != nil {
		return err
	}
	defer release()
	return wrap(b.remove(ctx, digest), "store: delete blob %s", digest)
}

// remove first says that the blob is gone, then removes its chunks, then its last
// trace: whatever happens in between, no metadata stands for chunks that are not there.
func (b *Blobs) remove(ctx context.Context, digest string) error {
	info, err := b.info(ctx, digest)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := b.stream.Purge(ctx, jetstream.WithPurgeSubject(b.metaSubject(digest))); err != nil {
		return err
	}
	return b.stream.Purge(ctx, jetstream.WithPurgeSubject(b.chunkSubject(info.NUID)))
}

// List returns all blobs, in no order.
func (b *Blobs) List(ctx context.Context) ([]BlobInfo, error) {
	objects, err := b.objects(ctx)
	if err != nil {
		return nil, wrap(err, "store: list bucket %s", b.bucket)
	}
	blobs := make([]BlobInfo, 0, len(objects))
	for _, o := range objects {
		blobs = append(blobs, BlobInfo{Digest: o.Name, Size: int64(o.Size), Modified: o.ModTime})
	}
	return blobs, nil
}

func (b *Blobs) objects(ctx context.Context) ([]*jetstream.ObjectInfo, error) {
	objects, err := b.obs.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	return objects, err
}

func checkDigest(digest string) error {
	if len(digest) == 2*sha256.Size && !bytes.ContainsFunc([]byte(digest), func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'f')
	}) {
		return nil
	}
	return fmt.Errorf("store: %w: %q is not a lower-case hex SHA-256", ErrInvalidKey, digest)
}
