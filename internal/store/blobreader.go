package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/nats-io/nats.go/jetstream"
)

// blobReader reads a blob chunk by chunk. It is for one goroutine at a time.
type blobReader struct {
	ctx    context.Context
	blobs  *Blobs
	info   *jetstream.ObjectInfo
	digest string

	chunk []byte // what is left of the current one
	count uint32 // chunks fetched
	seq   uint64 // of the last one
	sum   hash.Hash
	err   error // sticky
}

// Read implements io.Reader.
func (r *blobReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 && r.err == nil {
		r.err = r.next()
	}
	if len(r.chunk) == 0 {
		return 0, r.err
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// next fetches a chunk; at the end it compares digests.
func (r *blobReader) next() error {
	if r.count == r.info.Chunks {
		if hex.EncodeToString(r.sum.Sum(nil)) != r.digest {
			return fmt.Errorf("store: read blob %s: %w", r.digest, ErrCorrupt)
		}
		return io.EOF
	}
	m, err := r.blobs.stream.GetMsg(r.ctx, r.seq+1, jetstream.WithGetMsgSubject(r.blobs.chunkSubject(r.info.NUID)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = fmt.Errorf("chunk %d of %d is gone: %w", r.count+1, r.info.Chunks, ErrCorrupt)
	}
	if err != nil {
		return wrap(err, "store: read blob %s", r.digest)
	}
	r.chunk, r.seq = m.Data, m.Sequence
	r.count++
	r.sum.Write(m.Data)
	return nil
}

// Close implements io.Closer.
func (r *blobReader) Close() error {
	r.chunk, r.err = nil, fs.ErrClosed
	return nil
}
