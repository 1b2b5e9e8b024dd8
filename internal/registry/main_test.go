package registry

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Fprintln(os.Stderr, changeUntilKilled(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// testTime bounds every step of a test, also on a disk that syncs slowly.
const testTime = 2 * time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	t.Cleanup(cancel)
	return ctx
}

// node is a store and a registry on it, which can be restarted.
type node struct {
	*Registry
	t     testing.TB
	dir   string
	cfg   Config
	store *store.Store
}

func startNode(t testing.TB) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), cfg: Config{
		Region: "eu-west-1", Account: "123456789012",
		Logger:  slog.New(slog.DiscardHandler),
		Inspect: justHash,
	}}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *node) start() {
	n.t.Helper()
	var err error
	if n.store, err = store.Open(testContext(n.t), store.Config{Dir: n.dir, Logger: n.cfg.Logger}); err != nil {
		n.t.Fatal(err)
	}
	if n.Registry, err = New(testContext(n.t), n.store, n.cfg); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) stop() {
	n.Registry.Close()
	if err := n.store.Close(testContext(n.t)); err != nil {
		n.t.Error(err)
	}
}

func (n *node) restart() {
	n.t.Helper()
	n.stop()
	n.start()
}

// second opens another registry on the same store, as another node would.
func (n *node) second() *Registry {
	n.t.Helper()
	r, err := New(testContext(n.t), n.store, n.cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(r.Close)
	return r
}

// digests are those of the archives in the store.
func (n *node) digests() map[string]bool {
	n.t.Helper()
	infos, err := n.code.blobs.List(testContext(n.t))
	if err != nil {
		n.t.Fatal(err)
	}
	digests := map[string]bool{}
	for _, info := range infos {
		digests[info.Digest] = true
	}
	return digests
}

func (n *node) create(name, code string) *hearth.Function {
	n.t.Helper()
	f, err := n.Create(testContext(n.t), function(name), []byte(code))
	if err != nil {
		n.t.Fatal(err)
	}
	return f
}

func (n *node) update(name string, u Update) *hearth.Function {
	n.t.Helper()
	f, err := n.Update(testContext(n.t), name, u)
	if err != nil {
		n.t.Fatal(err)
	}
	return f
}

func (n *node) delete(name string) {
	n.t.Helper()
	if err := n.Delete(testContext(n.t), name); err != nil {
		n.t.Fatal(err)
	}
}

func function(name string) *hearth.Function {
	f := &hearth.Function{Name: name}
	f.Latest.Config = hearth.Config{Runtime: "nodejs20.x", Handler: "index.handler"}
	f.Latest.Config.Normalize()
	return f
}

// justHash stands for code.Inspect where the contents of archives do not matter.
func justHash(zip []byte) (hearth.Code, error) {
	return hearth.Code{Digest: digestOf(string(zip)), Size: int64(len(zip))}, nil
}

func digestOf(code string) string {
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}

// realZip is an archive with one file.
func realZip(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("index.js")
	if err == nil {
		_, err = f.Write([]byte("exports.handler = async () => 1"))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func describe(text string) Update {
	return Update{Edit: func(f *hearth.Function) error { f.Latest.Config.Description = text; return nil }}
}

func memory(mb int) Update {
	return Update{Edit: func(f *hearth.Function) error { f.Latest.Config.MemoryMB = mb; return nil }}
}
