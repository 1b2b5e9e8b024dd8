package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv makes the test binary play the part of a process that others test
// against; its value names the part.
const childEnv = "HEARTH_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		goleak.VerifyTestMain(m)
	case "write":
		writeUntilKilled(os.Args[1])
	case "publish":
		publishUntilKilled(os.Args[1])
	case "idle":
		measureIdle(os.Args[1])
	}
}

// testTime bounds every step of a test, also on a disk that syncs slowly.
const testTime = 2 * time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	t.Cleanup(cancel)
	return ctx
}

func openIn(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(testContext(t), Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, s) })
	return s
}

func closeNow(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}

func openTable(t testing.TB, s *Store) *Table {
	t.Helper()
	table, err := s.Table(testContext(t), "things")
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func openBlobs(t testing.TB, s *Store) *Blobs {
	t.Helper()
	blobs, err := s.Blobs(testContext(t), "code")
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
