package hearth

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// MaxAliases bounds the aliases of one function.
const MaxAliases = 200

// Alias is a named pointer to a version of a function, or to two of them.
type Alias struct {
	Name string `json:"name"`
	Route
	Description string `json:"description,omitempty"`
	// Revision is Lambda's RevisionId of the alias: a new one with every change.
	Revision     string    `json:"revision"`
	LastModified time.Time `json:"lastModified"`
	// Previous is where the alias led before its route was last changed; nil if it
	// never was. A rollback goes back to it.
	Previous *Route `json:"previous,omitempty"`
}

// Route is where an alias leads.
type Route struct {
	Version string `json:"version"` // Number of a version; Latest only without Also
	// Also is a second version that gets the share Weight of the invocations, from 0 to
	// 1; "" means that there is none (Lambda API, AdditionalVersionWeights).
	Also   string  `json:"also,omitempty"`
	Weight float64 `json:"weight,omitempty"`
}

// Threshold is Weight as a share of all uint64: a random number below it goes to Also.
// A weight of 1 means all of them but one in 2^64.
func (r *Route) Threshold() uint64 {
	if r.Weight >= 1 {
		return math.MaxUint64
	}
	return uint64(r.Weight * (1 << 64))
}

// Validate checks the route by itself (Lambda API); whether its versions exist is for
// the registry to say. The error is an *Error with ErrInvalid.
func (r *Route) Validate() error {
	var v violations
	switch {
	case r.Version == "":
		v.add("functionVersion", "", "Member must have length greater than or equal to 1 (a version's number, or %s)", Latest)
		return v.err()
	case r.Version != Latest && !IsVersionNumber(r.Version):
		v.add("functionVersion", r.Version, "Member must satisfy regular expression pattern: (\\$LATEST|[0-9]+) (a version's number, or %s)", Latest)
		return v.err()
	case r.Also == "":
		return nil
	}
	weights := "{" + r.Also + "=" + strconv.FormatFloat(r.Weight, 'f', -1, 64) + "}"
	switch {
	case !IsVersionNumber(r.Also):
		v.add("routingConfig.additionalVersionWeights", weights, "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [0-9]+] (a version's number)")
	case !(r.Weight >= 0 && r.Weight <= 1):
		v.add("routingConfig.additionalVersionWeights", weights, "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0]")
	case r.Version == Latest:
		return Errorf(ErrInvalid, "%s is not supported for an alias pointing to more than 1 version", Latest)
	case r.Also == r.Version:
		return Errorf(ErrInvalid, "Invalid function version %s. Function version %s is already included in routing configuration.", r.Also, r.Also)
	}
	return v.err()
}

// Uses tells whether the route leads to this version.
func (r *Route) Uses(number string) bool {
	return r.Version == number || r.Also == number && number != ""
}

// IsVersionNumber tells whether q has the form of a published version's number: digits
// without a zero first, at most ten of them.
func IsVersionNumber(q string) bool {
	if q == "" || len(q) > 10 || q[0] == '0' {
		return false
	}
	for i := range len(q) {
		if q[i] < '0' || q[i] > '9' {
			return false
		}
	}
	return true
}

// ValidateAliasName checks an alias's name: 1 to 128 letters, digits, '-' and '_', and
// not digits only, which would look like a version (Lambda API). The error is an
// *Error with ErrInvalid.
func ValidateAliasName(name string) error {
	if len(name) <= MaxQualifierLen && isWord(name) && !isDigits(name) {
		return nil
	}
	var v violations
	v.add("name", name, "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+) (1 to %d letters, digits, '-' and '_', and not digits only)", MaxQualifierLen)
	return v.err()
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Version returns the published version with this number, Latest's for Latest and "",
// nil if there is none. It does not know aliases.
func (f *Function) Version(number string) *Version {
	if number == "" || number == Latest {
		return &f.Latest
	}
	i, ok := slices.BinarySearchFunc(f.Versions, number, func(v *Version, number string) int {
		return cmp.Or(cmp.Compare(len(v.Number), len(number)), cmp.Compare(v.Number, number))
	})
	if !ok {
		return nil
	}
	return f.Versions[i]
}

// Alias returns the alias of this name, nil if there is none. The caller may change it
// in a clone of f only.
func (f *Function) Alias(name string) *Alias {
	for i := range f.Aliases {
		if f.Aliases[i].Name == name {
			return &f.Aliases[i]
		}
	}
	return nil
}

// Has tells whether one of the function's versions has this ID: instances of it are
// still of use.
func (f *Function) Has(id string) bool {
	if f.Latest.ID() == id {
		return true
	}
	return slices.ContainsFunc(f.Versions, func(v *Version) bool { return v.ID() == id })
}

// Unpublished tells whether $LATEST differs from the version published last, or that
// is gone: then publishing makes a new one (Lambda API).
func (f *Function) Unpublished() bool {
	if len(f.Versions) == 0 {
		return true
	}
	last := f.Versions[len(f.Versions)-1]
	if last.Number != strconv.Itoa(f.Published) || last.Code != f.Latest.Code {
		return true
	}
	then := last.Config
	then.Description = last.Origin
	return !then.Equal(&f.Latest.Config)
}
