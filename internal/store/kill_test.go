package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestKill kills a process that writes, at a random moment, again and again, and
// looks after each death whether everything that it had acknowledged is there: keys,
// blobs and deletes.
func TestKill(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	acked := map[string]string{} // key → value; a blob's value is its size; "" when deleted
	total := 0
	for round := range rounds {
		for _, line := range runAndKill(t, dir, 1+rand.IntN(150)) {
			key, value, _ := strings.Cut(line, " ")
			acked[key] = value
			total++
		}
		verifyAcked(t, dir, acked)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d writes were acknowledged before %d deaths", total, rounds)
}

// runAndKill lets the child acknowledge n writes and kills it while it goes on. It
// returns all that was acknowledged.
func runAndKill(t *testing.T, dir string, n int) []string {
	t.Helper()
	return runAndKillAs(t, "write", dir, n)
}

func runAndKillAs(t *testing.T, part, dir string, n int) []string {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), os.Args[0], dir)
	cmd.Env = append(os.Environ(), childEnv+"="+part)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for in := bufio.NewScanner(out); in.Scan(); {
		lines = append(lines, in.Text())
		if len(lines) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child was not killed: %v", err)
	}
	return lines
}

func verifyAcked(t *testing.T, dir string, acked map[string]string) {
	t.Helper()
	s := openIn(t, dir)
	defer closeNow(t, s)
	table, blobs := openTable(t, s), openBlobs(t, s)
	for key, value := range acked {
		if value == "" {
			if e, err := table.Get(testContext(t), key); !errors.Is(err, ErrNotFound) {
				t.Errorf("deleted key %s is back: %+v, %v", key, e, err)
			}
		} else if digest, isBlob := strings.CutPrefix(key, "blob:"); isBlob {
			if got, err := readBlob(t, blobs, digest); err != nil || fmt.Sprint(len(got)) != value {
				t.Errorf("blob %s of %s bytes: %d bytes, %v", digest, value, len(got), err)
			}
		} else if e, err := table.Get(testContext(t), key); err != nil || string(e.Value) != value {
			t.Errorf("key %s: %q, %v; want %q", key, e.Value, err, value)
		}
	}
	infos, err := blobs.List(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	want := uint64(0) // no chunk of an unfinished blob may be left
	for _, info := range infos {
		want += 1 + uint64(info.Size+chunkSize-1)/chunkSize
	}
	if got := messages(t, blobs); got != want {
		t.Errorf("%d messages stand for %d blobs, want %d", got, len(infos), want)
	}
}

// writeUntilKilled is the child: three writers put keys, update and delete them, and
// put blobs, and say so after each one has returned. Keys are new in every life.
func writeUntilKilled(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, Config{Dir: dir})
	check(err)
	table, err := s.Table(ctx, "things")
	check(err)
	blobs, err := s.Blobs(ctx, "code")
	check(err)
	var say sync.Mutex
	ack := func(key, value string) {
		say.Lock()
		defer say.Unlock()
		fmt.Printf("%s %s\n", key, value) // one write, unbuffered
	}
	var wg sync.WaitGroup
	for writer := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("k%d-%d-%d", os.Getpid(), writer, i)
				_, err := table.Create(ctx, key, []byte("first"))
				check(err)
				ack(key, "first")
				switch i % 3 {
				case 0:
					// No acknowledgement covers a key between two of its writes, so
					// it may have either value then: use it no more.
				case 1:
					other := key + "u"
					rev, err := table.Create(ctx, other, []byte("a"))
					check(err)
					_, err = table.Update(ctx, other, []byte("second"), rev)
					check(err)
					ack(other, "second")
				case 2:
					other := key + "d"
					_, err = table.Create(ctx, other, []byte("a"))
					check(err)
					_, err = table.Delete(ctx, other, 0)
					check(err)
					ack(other, "")
				}
				content := noise(uint64(rand.Uint32()), rand.IntN(3*chunkSize))
				check(blobs.Put(ctx, digestOf(content), bytes.NewReader(content)))
				ack("blob:"+digestOf(content), fmt.Sprint(len(content)))
			}
		})
	}
	wg.Wait()
}
