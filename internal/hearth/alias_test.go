package hearth

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAliasNames(t *testing.T) {
	for name, good := range map[string]bool{
		"prod": true, "v1": true, "1a": true, "-": true, "_": true, strings.Repeat("a", 128): true,
		"": false, "1": false, "123": false, "$LATEST": false, "a b": false, "a:b": false, "ä": false, strings.Repeat("a", 129): false,
	} {
		if err := ValidateAliasName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
		if good && ValidateQualifier(name) != nil {
			t.Errorf("%q is an alias, but no qualifier", name)
		}
	}
}

func TestIsVersionNumber(t *testing.T) {
	for q, want := range map[string]bool{"1": true, "10": true, "1234567890": true, "": false, "0": false, "01": false, "-1": false, "1a": false, "12345678901": false, "$LATEST": false} {
		if got := IsVersionNumber(q); got != want {
			t.Errorf("%q: %v", q, got)
		}
	}
}

// TestThreshold: the share of all numbers below it is the weight.
func TestThreshold(t *testing.T) {
	for weight, want := range map[float64]uint64{0: 0, 0.5: 1 << 63, 0.25: 1 << 62, 1: math.MaxUint64} {
		if got := (&Route{Weight: weight}).Threshold(); got != want {
			t.Errorf("%v: %d, want %d", weight, got, want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		weight := rapid.Float64Range(0, 1).Draw(rt, "weight")
		if got := float64((&Route{Weight: weight}).Threshold()) / (1 << 64); math.Abs(got-weight) > 1e-15 {
			rt.Fatalf("%v: %v", weight, got)
		}
	})
}

// TestFunctionVersion: every version is found by its number, and nothing else is, with
// gaps where versions have been deleted.
func TestFunctionVersion(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := &Function{Name: "f", Latest: Version{Function: "f", Revision: "r"}}
		for n := range 120 {
			if rapid.IntRange(0, 3).Draw(rt, "deleted") > 0 {
				f.Versions = append(f.Versions, &Version{Function: "f", Number: strconv.Itoa(n + 1), Identity: strconv.Itoa(n + 1)})
			}
		}
		there := map[string]*Version{Latest: &f.Latest, "": &f.Latest}
		for _, v := range f.Versions {
			there[v.Number] = v
		}
		for n := -1; n < 130; n++ {
			number := strconv.Itoa(n)
			if got := f.Version(number); got != there[number] {
				rt.Fatalf("%s: %+v", number, got)
			}
			if _, ok := there[number]; f.Has(number) != ok {
				rt.Fatalf("Has(%s) is %v", number, !ok)
			}
		}
		if f.Version("") != &f.Latest || f.Version(Latest) != &f.Latest || !f.Has(f.Latest.ID()) || f.Version("prod") != nil {
			rt.Fatal("$LATEST")
		}
	})
}
