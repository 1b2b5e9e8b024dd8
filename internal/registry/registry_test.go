package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/hearth"
)

func wantCode(t *testing.T, what string, err error, code hearth.ErrorCode, words string) {
	t.Helper()
	var e *hearth.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, words) {
		t.Errorf("%s: %v, want %s with %q", what, err, code, words)
	}
}

func TestCreateFillsInTheRest(t *testing.T) {
	n := startNode(t)
	n.cfg.Inspect = nil // the real one
	n.restart()
	asked := function("hello")
	asked.Tags = map[string]string{"team": "x"}
	asked.Latest.Number, asked.Latest.Revision, asked.Latest.Identity = "7", "mine", "mine"
	before := now()
	f, err := n.Create(testContext(t), asked, realZip(t))
	if err != nil {
		t.Fatal(err)
	}
	v := f.Latest
	if v.Function != "hello" || v.Number != hearth.Latest || v.Revision == "mine" || len(v.Revision) != 36 || v.ID() != "hello@"+v.Revision {
		t.Errorf("%+v", v)
	}
	if v.LastModified.Before(before) || f.Created.Before(before) || v.Code.Size != int64(len(realZip(t))) {
		t.Errorf("%+v", f)
	}
	asked.Tags["team"] = "changed by the caller"
	if got, _, err := n.Resolve("hello", ""); err != nil || !reflect.DeepEqual(got, f) || got.Tags["team"] != "x" {
		t.Errorf("resolve: %+v, %v", got, err)
	}
	r, err := n.OpenCode(testContext(t), v.Code.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != string(realZip(t)) {
		t.Errorf("code: %d bytes, %v", len(got), err)
	}
	_, err = n.Create(testContext(t), function("other"), []byte("not a zip"))
	wantCode(t, "bad archive", err, hearth.ErrInvalidZip, "")
}

func TestWordsOfRefusal(t *testing.T) {
	n := startNode(t)
	ctx := testContext(t)
	f := n.create("hello", "code")
	_, err := n.Create(ctx, function("hello"), []byte("code"))
	wantCode(t, "second create", err, hearth.ErrConflict, "Function already exist: hello")
	_, err = n.Create(ctx, function("a b"), []byte("code"))
	wantCode(t, "bad name", err, hearth.ErrInvalid, "functionName")
	_, _, err = n.Resolve("nobody", "")
	wantCode(t, "unknown", err, hearth.ErrNotFound, "Function not found: arn:aws:lambda:eu-west-1:123456789012:function:nobody")
	_, _, err = n.Resolve("hello", "live")
	wantCode(t, "unknown alias", err, hearth.ErrNotFound, "arn:aws:lambda:eu-west-1:123456789012:function:hello:live")
	_, err = n.Get("nobody")
	wantCode(t, "get", err, hearth.ErrNotFound, ":function:nobody")
	_, err = n.Update(ctx, "nobody", describe("x"))
	wantCode(t, "update", err, hearth.ErrNotFound, ":function:nobody")
	wantCode(t, "delete", n.Delete(ctx, "nobody"), hearth.ErrNotFound, ":function:nobody")
	wantCode(t, "delete of no name", n.Delete(ctx, "a.b*>"), hearth.ErrNotFound, "a.b*>")
	_, err = n.OpenCode(ctx, digestOf("other"))
	wantCode(t, "no such code", err, hearth.ErrNotFound, digestOf("other"))
	_, err = n.Update(ctx, "hello", memory(1))
	wantCode(t, "bad config", err, hearth.ErrInvalid, "memorySize")
	stale := describe("x")
	stale.IfRevision = hearth.NewRequestID()
	_, err = n.Update(ctx, "hello", stale)
	wantCode(t, "stale revision", err, hearth.ErrPrecondition, "The RevisionId provided does not match the latest RevisionId")
	mine := errors.New("mine")
	_, err = n.Update(ctx, "hello", Update{Edit: func(*hearth.Function) error { return mine }})
	if err != mine {
		t.Errorf("edit's own error: %v", err)
	}
	if got, _ := n.Get("hello"); !reflect.DeepEqual(got, f) {
		t.Errorf("after all that: %+v", got)
	}
}

// TestWhatKeepsInstancesWarm: the revision changes with everything, the identity only
// with what instances notice, and neither when nothing changes.
func TestWhatKeepsInstancesWarm(t *testing.T) {
	edit := func(e func(*hearth.Function)) Update {
		return Update{Edit: func(f *hearth.Function) error { e(f); return nil }}
	}
	seven := 7
	for _, c := range []struct {
		name               string
		u                  Update
		revision, identity bool // change
	}{
		{"nothing", Update{}, false, false},
		{"an empty edit", edit(func(*hearth.Function) {}), false, false},
		{"the same code", Update{Zip: []byte("code")}, false, false},
		{"what may not be edited", edit(func(f *hearth.Function) {
			f.Name, f.Created, f.Latest.Revision, f.Latest.Code.Digest, f.Latest.Number, f.Latest.Identity = "x", time.Time{}, "x", "x", "1", "x"
		}), false, false},
		{"a tag", edit(func(f *hearth.Function) { f.Tags = map[string]string{"a": "b"} }), true, false},
		{"description", describe("x"), true, false},
		{"role", edit(func(f *hearth.Function) { f.Latest.Config.Role = "x" }), true, false},
		{"reserved", edit(func(f *hearth.Function) { f.Reserved = &seven }), true, false},
		{"URL", edit(func(f *hearth.Function) { f.URL = &hearth.URLConfig{AuthType: "NONE"} }), true, false},
		{"memory", memory(256), true, true},
		{"environment", edit(func(f *hearth.Function) { f.Latest.Config.Env = map[string]string{"KEY": "x"} }), true, true},
		{"model", edit(func(f *hearth.Function) { f.Latest.Config.Model = hearth.Concurrent }), true, true},
		{"code", Update{Zip: []byte("other code")}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := startNode(t)
			old := n.create("f", "code")
			f := n.update("f", c.u)
			if (f.Latest.Revision != old.Latest.Revision) != c.revision || (f.Latest.ID() != old.Latest.ID()) != c.identity {
				t.Errorf("from %+v to %+v", old.Latest, f.Latest)
			}
			got, v, err := n.Resolve("f", hearth.Latest)
			if err != nil || !reflect.DeepEqual(got, f) || v.Revision != f.Latest.Revision || !got.Created.Equal(old.Created) {
				t.Errorf("resolve: %+v, %v; want %+v", got, err, f)
			}
			n.restart()
			if again, err := n.Get("f"); err != nil || !reflect.DeepEqual(again, f) {
				t.Errorf("after a restart: %+v, %v; want %+v", again, err, f)
			}
		})
	}
}

func TestIfRevision(t *testing.T) {
	n := startNode(t)
	old := n.create("f", "code")
	u := describe("one")
	u.IfRevision = old.Latest.Revision
	n.update("f", u)
	_, err := n.Update(testContext(t), "f", u)
	wantCode(t, "used twice", err, hearth.ErrPrecondition, "RevisionId")
}

// TestIdentityIsNeverUsedTwice: neither a change there and back, nor a delete and a
// create, bring an old identity back.
func TestIdentityIsNeverUsedTwice(t *testing.T) {
	n := startNode(t)
	seen := map[string]bool{}
	note := func(f *hearth.Function) {
		if seen[f.Latest.ID()] {
			t.Errorf("%s again", f.Latest.ID())
		}
		seen[f.Latest.ID()] = true
	}
	note(n.create("f", "code"))
	note(n.update("f", memory(256)))
	note(n.update("f", memory(128)))
	n.delete("f")
	note(n.create("f", "code"))
}

func TestStates(t *testing.T) {
	n := startNode(t)
	if s := n.State("f"); s != (hearth.FunctionState{}) {
		t.Errorf("of nothing: %+v", s)
	}
	f := n.create("f", "code")
	if s := n.State("f"); s.State != "Pending" || s.ReasonCode != "Creating" {
		t.Errorf("created: %+v", s)
	}
	if n.SetState("f", "another", active) || n.SetState("g", f.Latest.ID(), active) {
		t.Error("set the state of what does not exist")
	}
	if !n.SetState("f", f.Latest.ID(), active) || n.State("f") != active {
		t.Errorf("set: %+v", n.State("f"))
	}
	if n.update("f", describe("x")); n.State("f") != active {
		t.Errorf("described: %+v", n.State("f"))
	}
	g := n.update("f", memory(256))
	if s := n.State("f"); s.State != "Active" || s.UpdateStatus != "InProgress" {
		t.Errorf("updated: %+v", s)
	}
	if n.SetState("f", f.Latest.ID(), active) {
		t.Error("set by a version that is gone")
	}
	failed := hearth.FunctionState{State: "Failed", Reason: "disk", ReasonCode: "InternalError"}
	if !n.SetState("f", g.Latest.ID(), failed) || n.State("f") != failed {
		t.Errorf("failed: %+v", n.State("f"))
	}
	if n.update("f", memory(128)); n.State("f").State != "Pending" {
		t.Errorf("updated after a failure: %+v", n.State("f"))
	}
	if n.restart(); n.State("f") != active {
		t.Errorf("restarted: %+v", n.State("f"))
	}
	if n.delete("f"); n.State("f") != (hearth.FunctionState{}) {
		t.Errorf("deleted: %+v", n.State("f"))
	}
}

func TestListIsSorted(t *testing.T) {
	n := startNode(t)
	for _, name := range []string{"b", "a", "Z", "c-1", "c_1"} {
		n.create(name, "code")
	}
	n.delete("b")
	var names []string
	for _, f := range n.List() {
		names = append(names, f.Name)
	}
	if want := []string{"Z", "a", "c-1", "c_1"}; !slices.Equal(names, want) || n.Len() != len(want) {
		t.Errorf("%d: %v, want %v", n.Len(), names, want)
	}
}

// recorder writes changes down as words.
type recorder struct {
	mu    sync.Mutex
	words []string
	news  chan struct{}
}

func (r *recorder) note(c Change) {
	word := func(f *hearth.Function) string {
		if f == nil {
			return "nothing"
		}
		return fmt.Sprintf("%s %q", f.Name, f.Latest.Config.Description)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.words = append(r.words, word(c.Old)+" → "+word(c.New))
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// wait blocks until there are n words.
func (r *recorder) wait(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.After(testTime); ; {
		r.mu.Lock()
		words := slices.Clone(r.words)
		r.mu.Unlock()
		if len(words) >= n {
			return words
		}
		select {
		case <-r.news:
		case <-deadline:
			t.Fatalf("only %q", words)
		}
	}
}

func TestSubscribersAreToldInOrder(t *testing.T) {
	n := startNode(t)
	n.create("before", "code")
	one, two := &recorder{news: make(chan struct{}, 1)}, &recorder{news: make(chan struct{}, 1)}
	stale := 0
	n.Subscribe(func(c Change) { // the cache has the new value, or a newer one
		if f, err := n.Get("f"); c.New != nil && c.Old == nil && c.New.Name == "f" && (err != nil || f.Latest.LastModified.Before(c.New.Latest.LastModified)) {
			stale++
		}
	})
	n.Subscribe(one.note)
	cancel := n.Subscribe(two.note)
	n.create("f", "code")
	n.update("f", describe("a"))
	want := []string{`nothing → f ""`, `f "" → f "a"`}
	two.wait(t, 2)
	cancel()
	n.update("f", describe("a")) // nothing
	n.update("f", describe("b"))
	n.create("g", "code")
	n.delete("g")
	want = append(want, `f "a" → f "b"`, `nothing → g ""`, `g "" → nothing`)
	if got := one.wait(t, 5); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := two.wait(t, 2); !slices.Equal(got, want[:2]) {
		t.Errorf("the one that left: %q", got)
	}
	n.Registry.Close()
	if stale > 0 {
		t.Errorf("the cache was behind %d times", stale)
	}
}

func TestSubscriberMayWrite(t *testing.T) {
	n := startNode(t)
	done := make(chan error, 1)
	n.Subscribe(func(c Change) {
		if c.Old == nil && c.New.Name == "f" {
			_, err := n.Update(context.Background(), "f", describe("from a subscriber"))
			done <- err
		}
	})
	n.create("f", "code")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if f, _ := n.Get("f"); f.Latest.Config.Description != "from a subscriber" {
		t.Errorf("%+v", f)
	}
}

// TestNodesLearnFromEachOther: what one registry writes the other has, by the watch.
func TestNodesLearnFromEachOther(t *testing.T) {
	n := startNode(t)
	n.create("old", "code")
	other := n.second()
	seen := &recorder{news: make(chan struct{}, 1)}
	other.Subscribe(seen.note)
	n.create("f", "code")
	n.update("f", describe("a"))
	n.delete("old")
	last := `old "" → nothing`
	for k := 1; ; k++ { // the first two may come as one
		if words := seen.wait(t, k); words[k-1] == last {
			break
		}
	}
	if f, err := other.Get("f"); err != nil || f.Latest.Config.Description != "a" {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := other.Get("old"); err == nil || other.Len() != 1 {
		t.Errorf("old is still there: %v, %d functions", err, other.Len())
	}
}

// TestUnreadableRecord: it does not keep the others from being served, its code is
// kept, and its name can be deleted and used again.
func TestUnreadableRecord(t *testing.T) {
	n := startNode(t)
	n.create("good", "code")
	n.create("bad", "precious")
	if _, err := n.table.Update(testContext(t), "bad", []byte(`{"name":`), revisionOf(t, n, "bad")); err != nil {
		t.Fatal(err)
	}
	n.restart()
	if _, err := n.Get("good"); err != nil {
		t.Error(err)
	}
	if _, err := n.Get("bad"); hearth.CodeOf(err) != hearth.ErrNotFound {
		t.Error(err)
	}
	if !n.digests()[digestOf("precious")] {
		t.Error("its code is gone")
	}
	n.delete("bad")
	n.create("bad", "new")
}

func revisionOf(t *testing.T, n *node, name string) uint64 {
	t.Helper()
	e, err := n.table.Get(testContext(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return e.Revision
}

func TestClosedTwice(t *testing.T) {
	n := startNode(t)
	f := n.create("f", "code")
	n.Registry.Close()
	n.Registry.Close()
	if got, err := n.Get("f"); err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("reads work no more: %+v, %v", got, err)
	}
}
