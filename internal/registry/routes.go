package registry

import (
	"cmp"
	"slices"

	"hearth/internal/hearth"
)

// routes is where the qualifiers of one function lead. What a lookup compares lies side
// by side: with thousands of functions, the way to memory is what it costs.
type routes struct {
	heads []uint64 // of the qualifiers, sorted
	to    []route  // in the same order
}

// route is what a qualifier leads to: version, or also for random numbers below
// threshold.
type route struct {
	qualifier     string
	version, also *hearth.Version
	threshold     uint64
}

// headLen is how many bytes of a qualifier its head has.
const headLen = 8

// head is the beginning of a qualifier as a number.
func head(qualifier string) uint64 {
	var h uint64
	for i := range min(len(qualifier), headLen) {
		h |= uint64(qualifier[i]) << (8 * (headLen - 1 - i))
	}
	return h
}

// find is nil for a qualifier that leads nowhere.
func (r *routes) find(qualifier string) *route {
	h := head(qualifier)
	low, high := 0, len(r.heads)
	for low < high {
		if middle := (low + high) / 2; r.heads[middle] < h {
			low = middle + 1
		} else {
			high = middle
		}
	}
	for ; low < len(r.heads) && r.heads[low] == h; low++ {
		to := &r.to[low]
		if len(to.qualifier) == len(qualifier) && (len(qualifier) <= headLen || to.qualifier == qualifier) {
			return to
		}
	}
	return nil
}

// routesOf prepares what Resolve looks up. An alias whose version does not exist leads
// nowhere: the registry makes no such record.
func routesOf(f *hearth.Function) routes {
	n := len(f.Versions) + len(f.Aliases)
	if n == 0 {
		return routes{}
	}
	r := routes{heads: make([]uint64, n), to: make([]route, 0, n)}
	for _, v := range f.Versions {
		r.to = append(r.to, route{qualifier: v.Number, version: v})
	}
	for i := range f.Aliases {
		a := &f.Aliases[i]
		to := route{qualifier: a.Name, version: f.Version(a.Version)}
		if to.version == nil {
			continue
		}
		if a.Also != "" {
			to.also, to.threshold = f.Version(a.Also), a.Threshold()
		}
		r.to = append(r.to, to)
	}
	slices.SortFunc(r.to, func(a, b route) int { return cmp.Compare(head(a.qualifier), head(b.qualifier)) })
	r.heads = r.heads[:len(r.to)]
	for i := range r.to {
		r.heads[i] = head(r.to[i].qualifier)
	}
	return r
}
