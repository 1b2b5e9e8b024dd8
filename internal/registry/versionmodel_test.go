package registry

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

// modelFunction is what a function should be: contents by version number, "" for
// $LATEST, and where aliases lead.
type modelFunction struct {
	latest    content
	versions  map[int]content
	published int
	aliases   map[string]hearth.Route
	previous  map[string]hearth.Route
}

// content is what tells versions apart here.
type content struct{ code, description string }

// TestVersionModel publishes, points and deletes at random, with restarts, and compares
// with maps. Numbers outlive functions.
func TestVersionModel(t *testing.T) {
	n := startNode(t)
	n.cfg.Random = func() uint64 { return 1<<63 - 1 } // just below the half
	n.restart()
	m := &versionModel{n: n, functions: map[string]*modelFunction{}, numbers: map[string]int{}}
	rapid.Check(t, func(rt *rapid.T) {
		rt.Repeat(map[string]func(*rapid.T){
			"create":         m.create,
			"update":         m.update,
			"publish":        m.publish,
			"delete":         m.delete,
			"delete version": m.deleteVersion,
			"set alias":      m.setAlias,
			"delete alias":   m.deleteAlias,
			"":               m.compare,
		})
		if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
			n.restart()
			m.compare(rt)
		}
	})
}

type versionModel struct {
	n         *node
	functions map[string]*modelFunction // over all runs: the store stays
	numbers   map[string]int            // of functions that were deleted
}

// draw picks a function that is there, nil if it happens not to be.
func (m *versionModel) draw(rt *rapid.T) (string, *modelFunction) {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "name")
	return name, m.functions[name]
}

func drawContent(rt *rapid.T) content {
	return content{rapid.SampledFrom([]string{"one", "two", "three"}).Draw(rt, "code"), rapid.SampledFrom([]string{"", "x"}).Draw(rt, "description")}
}

func (m *versionModel) create(rt *rapid.T) {
	name, f := m.draw(rt)
	if f != nil {
		return
	}
	code := rapid.SampledFrom([]string{"one", "two"}).Draw(rt, "code")
	m.n.create(name, code)
	m.functions[name] = &modelFunction{latest: content{code: code}, versions: map[int]content{}, aliases: map[string]hearth.Route{}, previous: map[string]hearth.Route{}}
}

func (m *versionModel) update(rt *rapid.T) {
	name, f := m.draw(rt)
	if f == nil {
		return
	}
	f.latest = drawContent(rt)
	u := describe(f.latest.description)
	u.Zip, u.Publish = []byte(f.latest.code), rapid.Bool().Draw(rt, "publish")
	m.n.update(name, u)
	if u.Publish {
		m.published(name, f)
	}
}

// published is what publishing should do; it returns the number.
func (m *versionModel) published(name string, f *modelFunction) int {
	if last, ok := f.versions[f.published]; !ok || last != f.latest {
		f.published = max(f.published, m.numbers[name]) + 1
		f.versions[f.published] = f.latest
	}
	return f.published
}

func (m *versionModel) publish(rt *rapid.T) {
	name, f := m.draw(rt)
	_, v, err := m.n.Publish(testContext(m.n.t), name, Publish{})
	if f == nil {
		if hearth.CodeOf(err) != hearth.ErrNotFound {
			rt.Fatal(err)
		}
		return
	}
	if want := strconv.Itoa(m.published(name, f)); err != nil || v.Number != want {
		rt.Fatalf("published %+v, %v; want %s", v, err, want)
	}
}

func (m *versionModel) delete(rt *rapid.T) {
	name, f := m.draw(rt)
	if f == nil || rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
		return
	}
	m.n.delete(name)
	m.numbers[name] = max(m.numbers[name], f.published)
	delete(m.functions, name)
}

// drawNumber is mostly that of a version.
func drawNumber(rt *rapid.T, f *modelFunction, what string) string {
	if f == nil || len(f.versions) == 0 || rapid.IntRange(0, 9).Draw(rt, what+" unknown") == 0 {
		return "999999999"
	}
	return strconv.Itoa(rapid.SampledFrom(slices.Sorted(maps.Keys(f.versions))).Draw(rt, what))
}

func (f *modelFunction) has(number string) bool {
	n, err := strconv.Atoi(number)
	_, ok := f.versions[n]
	return err == nil && ok || number == hearth.Latest
}

func (m *versionModel) deleteVersion(rt *rapid.T) {
	name, f := m.draw(rt)
	number := drawNumber(rt, f, "number")
	err := m.n.DeleteVersion(testContext(m.n.t), name, number)
	switch {
	case f == nil || !f.has(number):
		if hearth.CodeOf(err) != hearth.ErrNotFound {
			rt.Fatal(err)
		}
	case slices.ContainsFunc(slices.Collect(maps.Values(f.aliases)), func(r hearth.Route) bool { return r.Uses(number) }):
		wantConflict(rt, err)
	case err != nil:
		rt.Fatal(err)
	default:
		k, _ := strconv.Atoi(number)
		delete(f.versions, k)
	}
}

func (m *versionModel) setAlias(rt *rapid.T) {
	name, f := m.draw(rt)
	if f == nil {
		return
	}
	alias := rapid.SampledFrom([]string{"prod", "beta"}).Draw(rt, "alias")
	r := hearth.Route{Version: drawNumber(rt, f, "version")}
	if rapid.Bool().Draw(rt, "weighted") {
		r.Also, r.Weight = drawNumber(rt, f, "also"), rapid.SampledFrom([]float64{0, 0.4, 0.6, 1}).Draw(rt, "weight")
	}
	old, there := f.aliases[alias]
	var err error
	if there {
		_, err = m.n.UpdateAlias(testContext(m.n.t), name, alias, lead(r))
	} else {
		_, err = m.n.CreateAlias(testContext(m.n.t), name, hearth.Alias{Name: alias, Route: r})
	}
	switch {
	case r.Validate() != nil:
		if hearth.CodeOf(err) != hearth.ErrInvalid {
			rt.Fatal(err)
		}
	case !f.has(r.Version) || r.Also != "" && !f.has(r.Also):
		if hearth.CodeOf(err) != hearth.ErrNotFound {
			rt.Fatal(err)
		}
	case err != nil:
		rt.Fatal(err)
	default:
		if there && old != r {
			f.previous[alias] = old
		}
		f.aliases[alias] = r
	}
}

func (m *versionModel) deleteAlias(rt *rapid.T) {
	name, f := m.draw(rt)
	if f == nil {
		return
	}
	err := m.n.DeleteAlias(testContext(m.n.t), name, "beta")
	if _, there := f.aliases["beta"]; there != (err == nil) {
		rt.Fatal(err)
	}
	delete(f.aliases, "beta")
	delete(f.previous, "beta")
}

// compare asks for everything that is there and for what is not.
func (m *versionModel) compare(rt *rapid.T) {
	codes := map[string]bool{}
	ids := map[string]bool{}
	for name, f := range m.functions {
		m.check(rt, name, hearth.Latest, hearth.Latest, f.latest)
		codes[digestOf(f.latest.code)] = true
		for k, want := range f.versions {
			v := m.check(rt, name, strconv.Itoa(k), strconv.Itoa(k), want)
			if ids[v.ID()] {
				rt.Fatalf("two versions have the identity %s", v.ID())
			}
			ids[v.ID()] = true
			codes[digestOf(want.code)] = true
		}
		got, err := m.n.Get(name)
		if err != nil || len(got.Versions) != len(f.versions) || len(got.Aliases) != len(f.aliases) {
			rt.Fatalf("%+v, %v; want %+v", got, err, f)
		}
		for alias, r := range f.aliases {
			number := r.Version
			if r.Also != "" && r.Weight > 0.5 { // see the test's Random
				number = r.Also
			}
			k, _ := strconv.Atoi(number)
			m.check(rt, name, alias, number, f.versions[k])
			previous, moved := f.previous[alias]
			if a := got.Alias(alias); (a.Previous != nil) != moved || moved && *a.Previous != previous {
				rt.Fatalf("%s led to %+v before, want %+v", alias, a.Previous, previous)
			}
		}
		if _, _, err := m.n.Resolve(name, "999999999"); hearth.CodeOf(err) != hearth.ErrNotFound {
			rt.Fatal(err)
		}
	}
	if got := m.n.digests(); len(got) != len(codes) {
		rt.Fatalf("%d archives for %d", len(got), len(codes))
	}
}

func (m *versionModel) check(rt *rapid.T, name, qualifier, number string, want content) *hearth.Version {
	f, v, err := m.n.Resolve(name, qualifier)
	if err != nil || f.Name != name || v.Number != number || v.Code.Digest != digestOf(want.code) || v.Config.Description != want.description {
		rt.Fatalf("%s:%s is %+v, %v; want version %s with %+v", name, qualifier, v, err, number, want)
	}
	return v
}
