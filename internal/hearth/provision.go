package hearth

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Provision is the provisioned concurrency of one qualifier: room for so many
// invocations at once is kept initialised and ready (Lambda API).
type Provision struct {
	// Qualifier is the number of a version, the name of an alias, or Latest, which
	// Lambda's API does not allow and Hearth's own does.
	Qualifier    string    `json:"qualifier"`
	Executions   int       `json:"executions"` // invocations at once, 1 or more
	LastModified time.Time `json:"lastModified"`
}

// Status of a Provision (Lambda API).
const (
	ProvisionInProgress = "IN_PROGRESS"
	ProvisionReady      = "READY"
	ProvisionFailed     = "FAILED" // for now: it is tried again
)

// ProvisionState is how far a node is with the provisioned instances of a version.
type ProvisionState struct {
	Allocated int    // executions that there are instances for, also such as are starting
	Available int    // executions that can run now
	Reason    string // why the last attempt to start an instance failed; "" if it did not
}

// ProvisionInfo is a Provision and how far a node is with it.
type ProvisionInfo struct {
	Provision
	Allocated int    `json:"allocated"`
	Available int    `json:"available"`
	Status    string `json:"status"`
	Reason    string `json:"reason,omitempty"`
}

// ProvisionOf finds the provisioned concurrency of a qualifier, nil if it has none.
func (f *Function) ProvisionOf(qualifier string) *Provision {
	for i := range f.Provisioned {
		if f.Provisioned[i].Qualifier == qualifier {
			return &f.Provisioned[i]
		}
	}
	return nil
}

// Provision sets the provisioned concurrency of a qualifier; none at all removes it. f
// must not be shared.
func (f *Function) Provision(qualifier string, executions int, now time.Time) {
	if p := f.ProvisionOf(qualifier); p != nil && p.Executions == executions {
		return
	}
	f.Provisioned = slices.DeleteFunc(slices.Clone(f.Provisioned), func(p Provision) bool { return p.Qualifier == qualifier })
	if executions > 0 {
		f.Provisioned = append(f.Provisioned, Provision{qualifier, executions, now})
	}
	slices.SortFunc(f.Provisioned, func(a, b Provision) int { return cmp.Compare(a.Qualifier, b.Qualifier) })
	if len(f.Provisioned) == 0 {
		f.Provisioned = nil
	}
}

func (f *Function) provisionedSum() (n int) {
	for i := range f.Provisioned {
		n += f.Provisioned[i].Executions
	}
	return n
}

// ProvisionedVersion is for how many invocations at once a version is to be ready.
type ProvisionedVersion struct {
	Version    *Version
	Executions int
}

// shares splits a Provision over the versions that its qualifier leads to: a weighted
// alias gives either of its two what it needs for its part, rounded up.
func (f *Function) shares(p *Provision) []ProvisionedVersion {
	route := Route{Version: p.Qualifier}
	if a := f.Alias(p.Qualifier); a != nil {
		route = a.Route
	}
	first, second := p.Executions, 0
	if route.Also != "" {
		first, second = portion(p.Executions, 1-route.Weight), portion(p.Executions, route.Weight)
	}
	var list []ProvisionedVersion
	for _, s := range []ProvisionedVersion{{f.Version(route.Version), first}, {f.Version(route.Also), second}} {
		if s.Version != nil && s.Executions > 0 {
			list = append(list, s)
		}
	}
	return list
}

func portion(n int, weight float64) int {
	const roundingError = 1e-9 // 10 × (1 - 0.9) is a little more than 1
	return int(math.Ceil(float64(n)*weight - roundingError))
}

// ProvisionedVersions tells what each of f's versions is to be ready for. Qualifiers that
// lead to the same version add up.
func (f *Function) ProvisionedVersions() []ProvisionedVersion {
	var list []ProvisionedVersion
	for i := range f.Provisioned {
		for _, s := range f.shares(&f.Provisioned[i]) {
			at := slices.IndexFunc(list, func(p ProvisionedVersion) bool { return p.Version == s.Version })
			if at < 0 {
				list = append(list, s)
			} else {
				list[at].Executions += s.Executions
			}
		}
	}
	return list
}

// ProvisionInfos describes all of f's provisioned concurrency; of tells how far a
// version is. What a version has counts for the qualifiers in their order.
func (f *Function) ProvisionInfos(of func(*Version) ProvisionState) []ProvisionInfo {
	left := map[string]*ProvisionState{}
	var infos []ProvisionInfo
	for i := range f.Provisioned {
		info := ProvisionInfo{Provision: f.Provisioned[i], Status: ProvisionReady}
		for _, s := range f.shares(&f.Provisioned[i]) {
			rest := left[s.Version.ID()]
			if rest == nil {
				state := of(s.Version)
				rest = &state
				left[s.Version.ID()] = rest
			}
			allocated, available := min(s.Executions, rest.Allocated), min(s.Executions, rest.Available)
			rest.Allocated -= allocated
			rest.Available -= available
			info.Allocated += allocated
			info.Available += available
			info.settle(available < s.Executions, rest.Reason)
		}
		info.Allocated, info.Available = min(info.Allocated, info.Executions), min(info.Available, info.Executions)
		infos = append(infos, info)
	}
	return infos
}

func (p *ProvisionInfo) settle(lacking bool, reason string) {
	switch {
	case !lacking:
	case reason != "":
		p.Status, p.Reason = ProvisionFailed, reason
	case p.Status == ProvisionReady:
		p.Status = ProvisionInProgress
	}
}
