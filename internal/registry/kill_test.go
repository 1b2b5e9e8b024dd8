package registry

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// childEnv makes the test binary the process that TestKill kills; its value is the
// store's directory.
const childEnv = "HEARTH_REGISTRY_TEST_CHILD"

// TestKill kills a node that creates, updates and deletes functions, at a random
// moment, again and again. After each death everything acknowledged is there, every
// function has its code, and there is no code without a function.
func TestKill(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	n := startNode(t)
	acked := map[string]string{} // name → "memory digest"; "" when deleted
	total := 0
	for round := range rounds {
		n.stop()
		for _, line := range runAndKill(t, n.dir, 1+rand.IntN(60)) {
			name, value, _ := strings.Cut(line, " ")
			acked[name] = value
			total++
		}
		n.start()
		verifyAcked(t, n, acked)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d changes were acknowledged before %d deaths", total, rounds)
}

// runAndKill returns what the child acknowledged: n lines, and those that were on
// their way.
func runAndKill(t *testing.T, dir string, n int) (lines []string) {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(out); in.Scan(); {
		if lines = append(lines, in.Text()); len(lines) == n {
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

func verifyAcked(t *testing.T, n *node, acked map[string]string) {
	t.Helper()
	for name, want := range acked {
		f, err := n.Get(name)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s was deleted and is back", name)
		case want != "" && err != nil:
			t.Errorf("%s is lost: %v", name, err)
		case want != "" && describeVersion(f) != want:
			t.Errorf("%s: %s, want %s", name, describeVersion(f), want)
		}
	}
	digests := n.digests()
	for _, f := range n.List() {
		r, err := n.OpenCode(testContext(t), f.Latest.Code.Digest)
		if err != nil {
			t.Fatalf("%s has lost its code: %v", f.Name, err)
		}
		if got, err := io.ReadAll(r); err != nil || int64(len(got)) != f.Latest.Code.Size {
			t.Errorf("code of %s: %d bytes, %v", f.Name, len(got), err)
		}
		r.Close()
		delete(digests, f.Latest.Code.Digest)
	}
	if len(digests) > 0 {
		t.Errorf("%d archives belong to no function", len(digests))
	}
}

func describeVersion(f *hearth.Function) string {
	return fmt.Sprint(f.Latest.Config.MemoryMB, " ", f.Latest.Code.Digest)
}

// changeUntilKilled is the child. A name is new in every life and is acknowledged
// once, when all that is done to it is done.
func changeUntilKilled(dir string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Dir: dir})
	if err != nil {
		return err
	}
	r, err := New(ctx, s, Config{Logger: slog.New(slog.DiscardHandler), Inspect: justHash})
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	var say sync.Mutex
	for w := range cap(failed) {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("f%d-%d-%d", os.Getpid(), w, i)
				ack, err := changeOne(ctx, r, name, i)
				if err != nil {
					failed <- err
					return
				}
				say.Lock()
				fmt.Println(name, ack)
				say.Unlock()
			}
		}()
	}
	return <-failed
}

// changeOne creates a function and then, in turn, updates it, deletes it or leaves it.
func changeOne(ctx context.Context, r *Registry, name string, i int) (ack string, err error) {
	code := func() []byte { return []byte(strings.Repeat(fmt.Sprint(rand.IntN(50)), 40_000)) }
	f, err := r.Create(ctx, function(name), code())
	switch {
	case err != nil:
		return "", err
	case i%3 == 1:
		u := memory(256)
		u.Zip = code()
		f, err = r.Update(ctx, name, u)
	case i%3 == 2:
		return "", r.Delete(ctx, name)
	}
	if err != nil {
		return "", err
	}
	return describeVersion(f), nil
}
