package hearth

import (
	"reflect"
	"testing"
	"time"
)

func provisionedFunction() *Function {
	f := &Function{Name: "f", Latest: Version{Function: "f", Number: Latest, Identity: "f@latest"}}
	for _, n := range []string{"1", "2"} {
		f.Versions = append(f.Versions, &Version{Function: "f", Number: n, Identity: "f@" + n})
	}
	f.Aliases = []Alias{
		{Name: "canary", Route: Route{Version: "1", Also: "2", Weight: 0.1}},
		{Name: "prod", Route: Route{Version: "2"}},
	}
	return f
}

func TestProvisionedVersions(t *testing.T) {
	f := provisionedFunction()
	now := time.Unix(1, 0)
	f.Provision(Latest, 1, now)
	f.Provision("prod", 5, now)
	f.Provision("canary", 10, now)
	f.Provision("gone", 3, now)
	want := map[string]int{"f@latest": 1, "f@1": 9, "f@2": 5 + 1}
	got := map[string]int{}
	for _, p := range f.ProvisionedVersions() {
		got[p.Version.ID()] += p.Executions
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	f.Provision("prod", 0, now)
	if p := f.ProvisionOf("prod"); p != nil {
		t.Errorf("it is still there: %+v", p)
	}
	f.Provision(Latest, 1, now.Add(time.Hour))
	if p := f.ProvisionOf(Latest); !p.LastModified.Equal(now) {
		t.Error("nothing changed, but for the time")
	}
}

func TestProvisionInfos(t *testing.T) {
	f := provisionedFunction()
	f.Provision("prod", 5, time.Unix(1, 0))
	f.Provision("canary", 10, time.Unix(1, 0))
	state := map[string]ProvisionState{"f@1": {Allocated: 9, Available: 9}, "f@2": {Allocated: 4, Available: 3}}
	of := func(v *Version) ProvisionState { return state[v.ID()] }
	check := func(i, allocated, available int, status, reason string) {
		t.Helper()
		got := f.ProvisionInfos(of)[i]
		if got.Allocated != allocated || got.Available != available || got.Status != status || got.Reason != reason {
			t.Errorf("%s: got %+v, want %d, %d, %s, %q", got.Qualifier, got, allocated, available, status, reason)
		}
	}
	check(0, 10, 10, ProvisionReady, "")
	check(1, 3, 2, ProvisionInProgress, "")
	state["f@2"] = ProvisionState{Allocated: 4, Available: 3, Reason: "no memory"}
	check(0, 10, 10, ProvisionReady, "")
	check(1, 3, 2, ProvisionFailed, "no memory")
	state["f@2"] = ProvisionState{Allocated: 10, Available: 10} // instances hold several
	check(1, 5, 5, ProvisionReady, "")
}
