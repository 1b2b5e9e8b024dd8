package hearth

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRetellTagsProperty: whatever the configuration has become, the tags that are there
// then set just that one, tags that were right are as the owner wrote them, and the
// owner's own are untouched.
func TestRetellTagsProperty(t *testing.T) {
	values := map[string]*rapid.Generator[string]{
		TagModel:          rapid.SampledFrom([]string{"exclusive", "concurrent", " Concurrent", "EXCLUSIVE"}),
		TagMaxConcurrency: rapid.SampledFrom([]string{"1", "5", "10", "010"}),
		TagKeepAlive:      rapid.SampledFrom([]string{"0", "0s", "90", "90s", "15m", "2h", "1500ms"}),
		TagFreeze:         rapid.SampledFrom([]string{"true", "false", " False", "TRUE"}),
		"team":            rapid.SampledFrom([]string{"a", "exclusive"}),
	}
	rapid.Check(t, func(t *rapid.T) {
		f := &Function{Tags: map[string]string{}}
		for key, value := range values {
			if rapid.Bool().Draw(t, key+" is there") {
				f.Tags[key] = value.Draw(t, key)
			}
		}
		c := &f.Latest.Config
		c.Normalize()
		c.Model = rapid.SampledFrom([]Model{Exclusive, Concurrent}).Draw(t, "model")
		c.MaxConcurrency = rapid.SampledFrom([]int{1, 5, 10}).Draw(t, "number")
		c.KeepAlive = rapid.SampledFrom([]time.Duration{NoKeepAlive, 90 * time.Second, DefaultKeepAlive, 1500 * time.Millisecond}).Draw(t, "keep-alive")
		c.NoFreeze = rapid.Bool().Draw(t, "no freezing")
		before, want := maps.Clone(f.Tags), c.Clone()

		RetellTags(f)
		if !c.Equal(&want) {
			t.Fatalf("the configuration became %+v", *c)
		}
		if err := ApplyTags(f); err != nil || !c.Equal(&want) {
			t.Fatalf("%v became %v, which mean %+v, %v; want %+v", before, f.Tags, *c, err, want)
		}
		f.Tags = maps.Clone(before)
		if err := ApplyTags(f); err == nil && c.Equal(&want) {
			RetellTags(f)
			if !maps.Equal(f.Tags, before) {
				t.Fatalf("%v were right and became %v", before, f.Tags)
			}
		}
		if f.Tags["team"] != before["team"] {
			t.Fatalf("%v became %v", before, f.Tags)
		}
	})
}
