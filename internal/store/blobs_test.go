package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

// noise is n bytes that do not repeat.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = rng.Read(b)
	return b
}

func putBlob(t testing.TB, b *Blobs, content []byte) string {
	t.Helper()
	digest := digestOf(content)
	if err := b.Put(testContext(t), digest, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return digest
}

func readBlob(t testing.TB, b *Blobs, digest string) ([]byte, error) {
	t.Helper()
	r, err := b.Get(testContext(t), digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// messages counts what the bucket really holds: chunks and metadata.
func messages(t testing.TB, b *Blobs) uint64 {
	t.Helper()
	info, err := b.stream.Info(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

func TestBlobsOfAllSizes(t *testing.T) {
	b := openBlobs(t, openIn(t, t.TempDir()))
	for i, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 17} {
		content := noise(uint64(i), n)
		digest := putBlob(t, b, content)
		got, err := readBlob(t, b, digest)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
	}
	infos, err := b.List(testContext(t))
	if err != nil || len(infos) != 6 {
		t.Errorf("list: %d blobs, %v", len(infos), err)
	}
}

// TestBlobReaderIsAReader holds it to the rules of io.Reader.
func TestBlobReaderIsAReader(t *testing.T) {
	b := openBlobs(t, openIn(t, t.TempDir()))
	content := noise(1, chunkSize+1000)
	r, err := b.Get(testContext(t), putBlob(t, b, content))
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, content); err != nil {
		t.Error(err)
	}
	r.Close()
	if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read of a closed blob: %v", err)
	}
}

func TestPutIsIdempotent(t *testing.T) {
	b := openBlobs(t, openIn(t, t.TempDir()))
	content := noise(1, chunkSize+1)
	digest := putBlob(t, b, content)
	before := messages(t, b)
	if err := b.Put(testContext(t), digest, iotest.ErrReader(errors.New("was read"))); err != nil {
		t.Errorf("second put: %v", err)
	}
	var wg sync.WaitGroup
	other := noise(2, chunkSize+1)
	for range 8 {
		wg.Go(func() {
			if err := b.Put(testContext(t), digestOf(other), bytes.NewReader(other)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if after := messages(t, b); after != 2*before {
		t.Errorf("%d messages, want %d: one copy of each", after, 2*before)
	}
}

// TestFailedPutLeavesNothing: neither wrong content, nor a broken reader, nor a caller
// who gives up leave a blob or a chunk.
func TestFailedPutLeavesNothing(t *testing.T) {
	b := openBlobs(t, openIn(t, t.TempDir()))
	content := noise(1, 3*chunkSize)
	digest := digestOf(content)
	boom := errors.New("boom")
	if err := b.Put(testContext(t), digest, bytes.NewReader(content[1:])); !errors.Is(err, ErrCorrupt) {
		t.Errorf("wrong content: %v", err)
	}
	if err := b.Put(testContext(t), digest, io.MultiReader(bytes.NewReader(content[:2*chunkSize]), iotest.ErrReader(boom))); !errors.Is(err, boom) {
		t.Errorf("broken reader: %v", err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	gaveUp := readerFunc(func(p []byte) (int, error) { cancel(); return copy(p, content), nil })
	if err := b.Put(ctx, digest, io.MultiReader(bytes.NewReader(content[:2*chunkSize]), gaveUp)); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if n := messages(t, b); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if _, err := b.Get(testContext(t), digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestDeleteLeavesNothing(t *testing.T) {
	b := openBlobs(t, openIn(t, t.TempDir()))
	content := noise(1, 2*chunkSize)
	digest := putBlob(t, b, content)
	for range 2 {
		if err := b.Delete(testContext(t), digest); err != nil {
			t.Fatal(err)
		}
	}
	if n := messages(t, b); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if putBlob(t, b, content); messages(t, b) != 3 {
		t.Errorf("%d messages after putting it back", messages(t, b))
	}
}

func TestBadDigests(t *testing.T) {
	b := openBlobs(t, openIn(t, t.TempDir()))
	good := digestOf(nil)
	for _, digest := range []string{"", "abc", good + "0", "../../../etc/passwd", "G" + good[1:], "A" + good[1:], "*" + good[1:], ">"} {
		if err := b.Put(testContext(t), digest, bytes.NewReader(nil)); !errors.Is(err, ErrInvalidKey) {
			t.Errorf("put %q: %v", digest, err)
		}
		if _, err := b.Get(testContext(t), digest); !errors.Is(err, ErrInvalidKey) {
			t.Errorf("get %q: %v", digest, err)
		}
		if err := b.Delete(testContext(t), digest); !errors.Is(err, ErrInvalidKey) {
			t.Errorf("delete %q: %v", digest, err)
		}
	}
}

// TestDamageIsNoticed: a chunk that has changed or gone is an error, never content.
func TestDamageIsNoticed(t *testing.T) {
	b := openBlobs(t, openIn(t, t.TempDir()))
	content := noise(1, 3*chunkSize)
	digest := putBlob(t, b, content)
	info, err := b.info(testContext(t), digest)
	if err != nil {
		t.Fatal(err)
	}
	chunks := jetstream.WithPurgeSubject(b.chunkSubject(info.NUID))
	if err := b.stream.Purge(testContext(t), chunks, jetstream.WithPurgeKeep(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := readBlob(t, b, digest); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a chunk is gone: %v", err)
	}
	if _, err := b.store.js.Publish(testContext(t), b.chunkSubject(info.NUID), content[:chunkSize]); err != nil {
		t.Fatal(err)
	}
	if got, err := readBlob(t, b, digest); !errors.Is(err, ErrCorrupt) {
		t.Errorf("chunks in another order: %d bytes, %v", len(got), err)
	}
	if err := b.stream.Purge(testContext(t), chunks); err != nil {
		t.Fatal(err)
	}
	putBlob(t, b, content) // not there any more, as far as Put is concerned
	if got, err := readBlob(t, b, digest); err != nil || !bytes.Equal(got, content) {
		t.Errorf("put again: %d bytes, %v", len(got), err)
	}
}

// TestTheLayoutIsTheObjectStores: JetStream's own client reads what Put has written,
// and Get reads what it has written.
func TestTheLayoutIsTheObjectStores(t *testing.T) {
	ctx, b := testContext(t), openBlobs(t, openIn(t, t.TempDir()))
	ours, theirs := noise(1, 2*chunkSize+5), noise(2, 2*chunkSize+5)
	if got, err := b.obs.GetBytes(ctx, putBlob(t, b, ours)); err != nil || !bytes.Equal(got, ours) {
		t.Errorf("their client: %d bytes, %v", len(got), err)
	}
	if _, err := b.obs.PutBytes(ctx, digestOf(theirs), theirs); err != nil {
		t.Fatal(err)
	}
	if got, err := readBlob(t, b, digestOf(theirs)); err != nil || !bytes.Equal(got, theirs) {
		t.Errorf("ours: %d bytes, %v", len(got), err)
	}
}

// TestOpenSweepsStrayChunks: what a killed Put has left goes at the next start, and
// nothing else does.
func TestOpenSweepsStrayChunks(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	b := openBlobs(t, s)
	content := noise(1, 2*chunkSize)
	digest := putBlob(t, b, content)
	for range 3 {
		if _, err := s.js.Publish(testContext(t), b.chunkSubject("killed"), []byte("half a blob")); err != nil {
			t.Fatal(err)
		}
	}
	closeNow(t, s)
	b = openBlobs(t, openIn(t, dir))
	if n := messages(t, b); n != 3 {
		t.Errorf("%d messages, want the blob's 3", n)
	}
	if got, err := readBlob(t, b, digest); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the blob: %d bytes, %v", len(got), err)
	}
}

// TestExternalSweepSparesOthers: in a cluster, young chunks may be another node's.
func TestExternalSweepSparesOthers(t *testing.T) {
	c := startCluster(t)
	open := func() *Store {
		s, err := Open(testContext(t), Config{URL: c.srv.ClientURL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeNow(t, s) })
		return s
	}
	one, two := open(), open()
	b := openBlobs(t, one)
	content := noise(3, chunkSize)
	interrupted := readerFunc(func([]byte) (int, error) {
		openBlobs(t, two)
		return 0, io.EOF
	})
	if err := b.Put(testContext(t), digestOf(content), io.MultiReader(bytes.NewReader(content), interrupted)); err != nil {
		t.Fatal(err)
	}
	if got, err := readBlob(t, openBlobs(t, two), digestOf(content)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestBlobsModel runs random puts, deletes, reads and restarts against a map.
func TestBlobsModel(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	b := openBlobs(t, s)
	model := map[string][]byte{} // over all runs: the bucket stays
	rapid.Check(t, func(rt *rapid.T) {
		contents := rapid.Custom(func(rt *rapid.T) []byte {
			return noise(rapid.Uint64Range(0, 5).Draw(rt, "seed"), rapid.SampledFrom([]int{0, 10, chunkSize + 1}).Draw(rt, "size"))
		})
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				content := contents.Draw(rt, "content")
				model[putBlob(t, b, content)] = content
			},
			"delete": func(rt *rapid.T) {
				digest := digestOf(contents.Draw(rt, "content"))
				if err := b.Delete(testContext(t), digest); err != nil {
					rt.Fatal(err)
				}
				delete(model, digest)
			},
			"read": func(rt *rapid.T) {
				digest := digestOf(contents.Draw(rt, "content"))
				got, err := readBlob(t, b, digest)
				want, there := model[digest]
				if there != (err == nil) || !there && !errors.Is(err, ErrNotFound) || !bytes.Equal(got, want) {
					rt.Fatalf("%d bytes, %v; there: %v", len(got), err, there)
				}
			},
			"": func(rt *rapid.T) {
				infos, err := b.List(testContext(t))
				if err != nil || len(infos) != len(model) {
					rt.Fatalf("%d blobs, %v; want %d", len(infos), err, len(model))
				}
				for _, info := range infos {
					if content, there := model[info.Digest]; !there || info.Size != int64(len(content)) {
						rt.Fatalf("%+v is not in the model", info)
					}
				}
			},
		})
		if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
			closeNow(t, s)
			s = openIn(t, dir)
			b = openBlobs(t, s)
		}
	})
}
