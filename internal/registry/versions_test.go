package registry

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hearth/internal/hearth"
)

func (n *node) publish(name string) *hearth.Version {
	n.t.Helper()
	_, v, err := n.Publish(testContext(n.t), name, Publish{})
	if err != nil {
		n.t.Fatal(err)
	}
	return v
}

func (n *node) alias(function, name string, r hearth.Route) hearth.Alias {
	n.t.Helper()
	a, err := n.CreateAlias(testContext(n.t), function, hearth.Alias{Name: name, Route: r})
	if err != nil {
		n.t.Fatal(err)
	}
	return a
}

func (n *node) resolve(name, qualifier string) *hearth.Version {
	n.t.Helper()
	_, v, err := n.Resolve(name, qualifier)
	if err != nil {
		n.t.Fatal(err)
	}
	return v
}

// lead points an alias somewhere else.
func lead(to hearth.Route) AliasUpdate {
	return AliasUpdate{Route: func(hearth.Alias) (hearth.Route, error) { return to, nil }}
}

// TestProvisionedGoesAlong: provisioned concurrency survives a restart and publishing,
// and goes with its alias or version.
func TestProvisionedGoesAlong(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	n.publish("f")
	n.alias("f", "prod", hearth.Route{Version: "1"})
	n.alias("f", "test", hearth.Route{Version: hearth.Latest})
	want := map[string]int{hearth.Latest: 1, "1": 2, "prod": 3, "test": 4}
	if _, err := n.Update(testContext(t), "f", Update{Edit: func(f *hearth.Function) error {
		for qualifier, executions := range want {
			f.Provision(qualifier, executions, now())
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	n.restart()
	if _, err := n.Update(testContext(t), "f", Update{Zip: []byte("two"), Publish: true}); err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteAlias(testContext(t), "f", "prod"); err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteVersion(testContext(t), "f", "1"); err != nil {
		t.Fatal(err)
	}
	delete(want, "1")
	delete(want, "prod")
	f, err := n.Get("f")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, p := range f.Provisioned {
		got[p.Qualifier] = p.Executions
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestVersionsStay: a version is what the function was, for ever, and $LATEST's
// instances are not its own.
func TestVersionsStay(t *testing.T) {
	n := startNode(t)
	f := n.create("f", "one")
	one := n.publish("f")
	if one.Number != "1" || one.Code != f.Latest.Code || !one.Config.Equal(&f.Latest.Config) {
		t.Fatalf("%+v", one)
	}
	if one.ID() == f.Latest.ID() {
		t.Error("version 1 and $LATEST would share instances, which know their version")
	}
	if again := n.publish("f"); again.Number != "1" || again.ID() != one.ID() {
		t.Errorf("nothing has changed, but %+v was published", again)
	}
	n.update("f", Update{Zip: []byte("two")})
	if f, err := n.Get("f"); err != nil || !reflect.DeepEqual(f.Version("1"), one) {
		t.Errorf("after an update version 1 is %+v, want %+v", f.Version("1"), one)
	}
	two := n.publish("f")
	n.update("f", Update{Zip: []byte("three"), Publish: true})
	n.update("f", memory(512))
	for range 2 {
		for number, want := range map[string]string{"1": "one", "2": "two", "3": "three", "$LATEST": "three"} {
			if v := n.resolve("f", number); v.Code.Digest != digestOf(want) || v.Number != number {
				t.Errorf("version %s is %+v, want the code %q", number, v, want)
			}
		}
		if v := n.resolve("f", "1"); !reflect.DeepEqual(v, one) {
			t.Errorf("version 1 is %+v, want %+v", v, one)
		}
		if v := n.resolve("f", "2"); v.ID() != two.ID() || v.Config.MemoryMB != 128 {
			t.Errorf("version 2 is %+v", v)
		}
		n.restart()
	}
	wantDigests(t, n, "one", "two", "three")
}

func TestPublishSees(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	n.publish("f")
	for i, u := range []Update{describe("x"), memory(256), {Zip: []byte("two")}} {
		n.update("f", u)
		if v := n.publish("f"); v.Number != strconv.Itoa(i+2) {
			t.Errorf("change %d: version %s", i, v.Number)
		}
	}
	n.update("f", Update{Edit: func(f *hearth.Function) error { f.Tags = map[string]string{"a": "b"}; return nil }})
	if v := n.publish("f"); v.Number != "4" {
		t.Errorf("a tag is not the version's, but %s was published", v.Number)
	}
	text := "mine"
	n.update("f", memory(512))
	_, v, err := n.Publish(testContext(t), "f", Publish{Description: &text})
	if err != nil || v.Config.Description != "mine" || v.Number != "5" {
		t.Errorf("with a description: %+v, %v", v, err)
	}
	n.restart()
	if v := n.publish("f"); v.Number != "5" || v.Config.Description != "mine" {
		t.Errorf("a description of its own does not make it differ: %+v", v)
	}
	if f, _ := n.Get("f"); f.Latest.Config.Description != "x" {
		t.Errorf("$LATEST has got the version's description: %+v", f.Latest)
	}
}

func TestPublishIsGuarded(t *testing.T) {
	n := startNode(t)
	f := n.create("f", "one")
	ctx := testContext(t)
	_, _, err := n.Publish(ctx, "f", Publish{IfRevision: "stale"})
	wantCode(t, "revision", err, hearth.ErrPrecondition, "RevisionId")
	_, _, err = n.Publish(ctx, "f", Publish{IfSHA256: "other"})
	wantCode(t, "digest", err, hearth.ErrInvalid, base64Of(digestOf("one")))
	_, _, err = n.Publish(ctx, "g", Publish{})
	wantCode(t, "no function", err, hearth.ErrNotFound, ":function:g")
	if _, v, err := n.Publish(ctx, "f", Publish{IfRevision: f.Latest.Revision, IfSHA256: base64Of(digestOf("one"))}); err != nil || v.Number != "1" {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestNumbersAreNeverUsedAgain: not after the version has gone, nor its function.
func TestNumbersAreNeverUsedAgain(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	n.publish("f")
	if err := n.DeleteVersion(testContext(t), "f", "1"); err != nil {
		t.Fatal(err)
	}
	if v := n.publish("f"); v.Number != "2" {
		t.Errorf("after the last version was deleted: %s", v.Number)
	}
	n.delete("f")
	wantDigests(t, n)
	n.restart()
	n.create("f", "one")
	if v := n.publish("f"); v.Number != "3" {
		t.Errorf("after the function was deleted: %s", v.Number)
	}
	n.delete("f")
	n.create("f", "one")
	n.delete("f") // without a version of its own
	n.create("f", "one")
	if v := n.publish("f"); v.Number != "4" {
		t.Errorf("after it was deleted three times: %s", v.Number)
	}
}

func TestDeleteVersion(t *testing.T) {
	n := startNode(t)
	ctx := testContext(t)
	n.create("f", "one")
	n.publish("f")
	n.update("f", Update{Zip: []byte("two"), Publish: true})
	n.alias("f", "prod", hearth.Route{Version: "2"})
	n.alias("f", "beta", hearth.Route{Version: "2", Also: "1", Weight: 0.1})
	wantCode(t, "used", n.DeleteVersion(ctx, "f", "2"), hearth.ErrConflict, "alias beta leads to it")
	wantCode(t, "used as the second", n.DeleteVersion(ctx, "f", "1"), hearth.ErrConflict, "alias beta leads to it")
	for _, number := range []string{"3", "prod", "$LATEST", "", "01", "-1"} {
		wantCode(t, number, n.DeleteVersion(ctx, "f", number), hearth.ErrNotFound, "Function not found")
	}
	wantCode(t, "no function", n.DeleteVersion(ctx, "g", "1"), hearth.ErrNotFound, ":function:g")
	if err := n.DeleteAlias(ctx, "f", "beta"); err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteVersion(ctx, "f", "1"); err != nil {
		t.Fatal(err)
	}
	_, _, err := n.Resolve("f", "1")
	wantCode(t, "gone", err, hearth.ErrNotFound, ":function:f:1")
	wantDigests(t, n, "two")
}

func TestAliases(t *testing.T) {
	n := startNode(t)
	ctx := testContext(t)
	n.create("f", "one")
	n.publish("f")
	n.update("f", Update{Zip: []byte("two"), Publish: true})
	made := n.alias("f", "prod", hearth.Route{Version: "1"})
	if n.resolve("f", "prod").Number != "1" || made.Revision == "" || made.Previous != nil {
		t.Errorf("%+v", made)
	}
	f, _ := n.Get("f")
	u := lead(hearth.Route{Version: "2"})
	u.IfRevision = made.Revision
	moved, err := n.UpdateAlias(ctx, "f", "prod", u)
	if err != nil || n.resolve("f", "prod").Number != "2" || moved.Previous == nil || *moved.Previous != made.Route {
		t.Errorf("%+v, %v", moved, err)
	}
	_, err = n.UpdateAlias(ctx, "f", "prod", u)
	wantCode(t, "used twice", err, hearth.ErrPrecondition, "RevisionId")
	same, err := n.UpdateAlias(ctx, "f", "prod", lead(hearth.Route{Version: "2"}))
	if err != nil || same.Revision != moved.Revision {
		t.Errorf("nothing has changed: %+v, %v", same, err)
	}
	text := "what people see"
	described, err := n.UpdateAlias(ctx, "f", "prod", AliasUpdate{Description: &text})
	if err != nil || described.Route != moved.Route || described.Revision == moved.Revision || *described.Previous != made.Route {
		t.Errorf("%+v, %v", described, err)
	}
	if g, _ := n.Get("f"); g.Latest.Revision != f.Latest.Revision {
		t.Error("an alias has changed the function's revision")
	}
	n.restart()
	if g, _ := n.Get("f"); !reflect.DeepEqual(*g.Alias("prod"), described) {
		t.Errorf("after a restart: %+v, want %+v", g.Alias("prod"), described)
	}
	if n.resolve("f", "prod").Number != "2" {
		t.Error("after a restart it leads elsewhere")
	}
}

func TestAliasRefusals(t *testing.T) {
	n := startNode(t)
	ctx := testContext(t)
	n.create("f", "one")
	n.publish("f")
	n.alias("f", "prod", hearth.Route{Version: "1"})
	for what, c := range map[string]struct {
		alias hearth.Alias
		code  hearth.ErrorCode
		words string
	}{
		"taken":         {hearth.Alias{Name: "prod", Route: hearth.Route{Version: "1"}}, hearth.ErrConflict, "Alias already exists: arn:"},
		"digits":        {hearth.Alias{Name: "12", Route: hearth.Route{Version: "1"}}, hearth.ErrInvalid, "not digits only"},
		"no version":    {hearth.Alias{Name: "a", Route: hearth.Route{Version: "2"}}, hearth.ErrNotFound, ":function:f:2"},
		"no second":     {hearth.Alias{Name: "a", Route: hearth.Route{Version: "1", Also: "2", Weight: 0.5}}, hearth.ErrNotFound, ":function:f:2"},
		"alias":         {hearth.Alias{Name: "a", Route: hearth.Route{Version: "prod"}}, hearth.ErrInvalid, "functionVersion"},
		"nothing":       {hearth.Alias{Name: "a"}, hearth.ErrInvalid, "functionVersion"},
		"itself":        {hearth.Alias{Name: "a", Route: hearth.Route{Version: "1", Also: "1", Weight: 0.5}}, hearth.ErrInvalid, "already included"},
		"$LATEST":       {hearth.Alias{Name: "a", Route: hearth.Route{Version: "$LATEST", Also: "1", Weight: 0.5}}, hearth.ErrInvalid, "not supported"},
		"heavy":         {hearth.Alias{Name: "a", Route: hearth.Route{Version: "1", Also: "2", Weight: 1.1}}, hearth.ErrInvalid, "less than or equal to 1.0"},
		"light":         {hearth.Alias{Name: "a", Route: hearth.Route{Version: "1", Also: "2", Weight: -0.1}}, hearth.ErrInvalid, "greater than or equal to 0.0"},
		"not a number":  {hearth.Alias{Name: "a", Route: hearth.Route{Version: "1", Also: "2", Weight: math.NaN()}}, hearth.ErrInvalid, "additionalVersionWeights"},
		"second LATEST": {hearth.Alias{Name: "a", Route: hearth.Route{Version: "1", Also: "$LATEST", Weight: 0.1}}, hearth.ErrInvalid, "additionalVersionWeights"},
	} {
		_, err := n.CreateAlias(ctx, "f", c.alias)
		wantCode(t, what, err, c.code, c.words)
	}
	_, err := n.CreateAlias(ctx, "g", hearth.Alias{Name: "a", Route: hearth.Route{Version: "1"}})
	wantCode(t, "no function", err, hearth.ErrNotFound, ":function:g")
	_, err = n.UpdateAlias(ctx, "f", "b", AliasUpdate{})
	wantCode(t, "no alias", err, hearth.ErrNotFound, "Cannot find alias arn: arn:")
	wantCode(t, "delete no alias", n.DeleteAlias(ctx, "f", "b"), hearth.ErrNotFound, "Cannot find alias arn: arn:")
	mine := errors.New("mine")
	_, err = n.UpdateAlias(ctx, "f", "prod", AliasUpdate{Route: func(hearth.Alias) (hearth.Route, error) { return hearth.Route{}, mine }})
	if err != mine {
		t.Errorf("Route's own error: %v", err)
	}
	_, _, err = n.Resolve("f", "nosuch")
	wantCode(t, "unknown qualifier", err, hearth.ErrNotFound, "Function not found: arn:aws:lambda:eu-west-1:123456789012:function:f:nosuch")
}

// TestWeights: the share that goes to the second version is its weight.
func TestWeights(t *testing.T) {
	n := startNode(t)
	var mu sync.Mutex
	source := rand.New(rand.NewPCG(1, 2))
	n.cfg.Random = func() uint64 { mu.Lock(); defer mu.Unlock(); return source.Uint64() }
	n.restart()
	n.create("f", "one")
	n.publish("f")
	n.update("f", Update{Zip: []byte("two"), Publish: true})
	n.alias("f", "prod", hearth.Route{Version: "1"})
	const calls = 100_000
	for _, weight := range []float64{0, 0.001, 0.1, 0.5, 0.9, 1} {
		if _, err := n.UpdateAlias(testContext(t), "f", "prod", lead(hearth.Route{Version: "1", Also: "2", Weight: weight})); err != nil {
			t.Fatal(err)
		}
		second := 0
		for range calls {
			if n.resolve("f", "prod").Number == "2" {
				second++
			}
		}
		// Five standard deviations: a fair choice is further off once in two million.
		if off := math.Abs(float64(second) - weight*calls); off > 5*math.Sqrt(calls*weight*(1-weight)) {
			t.Errorf("weight %v: %d of %d", weight, second, calls)
		}
	}
}

// TestPublishUnderUpdates: while code and aliases change on several nodes, every version
// is one that $LATEST was, numbers are without gaps, and an alias always leads somewhere.
func TestPublishUnderUpdates(t *testing.T) {
	n := startNode(t)
	other := n.second()
	n.create("f", "code 0")
	n.publish("f")
	n.alias("f", "prod", hearth.Route{Version: "1"})
	var updates atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, r := range []*Registry{n.Registry, other} {
		wg.Go(func() { // description and code always change together
			for range 15 {
				text := fmt.Sprint("code ", updates.Add(1))
				u := describe(text)
				u.Zip = []byte(text)
				if _, err := r.Update(testContext(t), "f", u); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 15 {
				_, v, err := r.Publish(testContext(t), "f", Publish{})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := r.UpdateAlias(testContext(t), "f", "prod", lead(hearth.Route{Version: v.Number})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			if _, v, err := n.Resolve("f", "prod"); err != nil || v.Number == hearth.Latest {
				t.Errorf("prod: %+v, %v", v, err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	wg.Wait()
	close(done)
	watching.Wait()
	n.restart()
	f, err := n.Get("f")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for i, v := range f.Versions {
		if v.Number != strconv.Itoa(i+1) {
			t.Errorf("version %d is called %s", i+1, v.Number)
		}
		if i > 0 && v.Code.Digest != digestOf(v.Config.Description) {
			t.Errorf("version %s has the description %q and the code of another", v.Number, v.Config.Description)
		}
		codes = append(codes, v.Code.Digest)
	}
	codes = append(codes, f.Latest.Code.Digest)
	slices.Sort(codes)
	if kept := n.digests(); len(kept) != len(slices.Compact(codes)) {
		t.Errorf("%d archives are kept for %d codes", len(kept), len(slices.Compact(codes)))
	}
}

// TestRecordHasRoom: thousands of versions fit, and when no more do the words say what
// to do.
func TestRecordHasRoom(t *testing.T) {
	f := function("f")
	f.Latest.Function = "f"
	big := map[string]string{"KEY": strings.Repeat("x", 4000)}
	for i := range 4000 {
		v := f.Latest
		v.Number, v.Revision, v.Config.Env = strconv.Itoa(i+1), hearth.NewRequestID(), big
		v.Code = hearth.Code{Digest: digestOf(v.Number), Size: 50_000_000}
		f.Versions = append(f.Versions, &v)
	}
	if text, err := encode(f); err != nil || len(text) > maxRecordBytes {
		t.Errorf("4000 versions have %d bytes, %v", len(text), err)
	}
	n := startNode(t)
	n.create("f", "one")
	env := func(i int) Update {
		return Update{Publish: true, Edit: func(f *hearth.Function) error {
			f.Latest.Config.Env = map[string]string{"KEY": fmt.Sprintf("%04080d", i)}
			return nil
		}}
	}
	var err error
	published := 0
	for ; err == nil && published < 1000; published++ {
		_, err = n.Update(testContext(t), "f", env(published))
	}
	wantCode(t, "full", err, hearth.ErrCodeStorage, "Delete versions")
	if published < 200 {
		t.Errorf("only %d versions with a full environment fit", published)
	}
	if err := n.DeleteVersion(testContext(t), "f", "1"); err != nil {
		t.Fatal(err)
	}
	n.update("f", env(published))
	n.restart()
	if v := n.resolve("f", "2"); v.Config.Env["KEY"] != fmt.Sprintf("%04080d", 1) {
		t.Errorf("version 2: %+v", v)
	}
}

// TestNumbersGoOn: a function that is made anew counts its versions on from those of the
// one before, also when that one's record could not be read, or nothing could be written
// when it was deleted; and a publication that fails leaves no gap.
func TestNumbersGoOn(t *testing.T) {
	n := startNode(t)
	n.create("f", "one")
	if v := n.publish("f"); v.Number != "1" {
		t.Fatal(v.Number)
	}
	if _, err := n.table.Update(testContext(t), "f", []byte(`{"name":`), revisionOf(t, n, "f")); err != nil {
		t.Fatal(err)
	}
	n.restart()
	n.delete("f")
	n.create("f", "two")
	f, err := n.Get("f")
	if err != nil {
		t.Fatal(err)
	}
	tried := f.Clone() // a publication whose record was not written
	if _, err := n.Registry.publish(testContext(t), tried, nil); err != nil {
		t.Fatal(err)
	}
	if v := n.publish("f"); v.Number != "2" {
		t.Errorf("%s after an unreadable record, want 2", v.Number)
	}
	n.delete("f")
	if _, err := n.last.Put(testContext(t), "f", []byte("7")); err != nil { // as it was written earlier
		t.Fatal(err)
	}
	n.create("f", "three")
	if v := n.publish("f"); v.Number != "8" {
		t.Errorf("%s after 7", v.Number)
	}
}
