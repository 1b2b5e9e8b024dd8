package registry

import (
	"cmp"
	"context"
	"slices"

	"hearth/internal/hearth"
)

// AliasUpdate says how to change an alias; nil fields stay as they are.
type AliasUpdate struct {
	// IfRevision, when not empty, makes the update fail with ErrPrecondition unless
	// the alias still is at this revision (Lambda API, RevisionId).
	IfRevision  string
	Description *string
	// Route changes where the alias leads; nil changes nothing. It gets the alias as
	// it is and returns the new route; its error ends the update. It may be called
	// several times.
	Route func(a hearth.Alias) (hearth.Route, error)
}

// CreateAlias makes an alias of a function. Of a it takes name, route and description.
// When it returns the alias is durable, and Resolve on this node finds it. Errors are
// *hearth.Error: ErrConflict when the name is taken, ErrNotFound when the function, or
// a version that the alias would lead to, does not exist.
func (r *Registry) CreateAlias(ctx context.Context, name string, a hearth.Alias) (hearth.Alias, error) {
	if err := hearth.ValidateAliasName(a.Name); err != nil {
		return hearth.Alias{}, err
	}
	return r.changeAlias(ctx, name, a.Name, func(f *hearth.Function, _ int) error {
		if f.Alias(a.Name) != nil {
			return hearth.Errorf(hearth.ErrConflict, "Alias already exists: %s", r.ARN(name, a.Name))
		}
		if len(f.Aliases) >= hearth.MaxAliases {
			return hearth.Errorf(hearth.ErrInvalid, "Function %s has %d aliases, and no more are allowed: delete some first.", name, len(f.Aliases))
		}
		made := hearth.Alias{Name: a.Name, Route: a.Route, Description: a.Description}
		if err := r.checkAlias(f, &made); err != nil {
			return err
		}
		f.Aliases = append(f.Aliases, stamped(made))
		slices.SortFunc(f.Aliases, func(a, b hearth.Alias) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
}

// UpdateAlias changes an alias. If nothing changes, it and its revision stay as they
// are. When it returns the change is durable, and Resolve on this node sees it. Errors
// are *hearth.Error or Route's own.
func (r *Registry) UpdateAlias(ctx context.Context, name, alias string, u AliasUpdate) (hearth.Alias, error) {
	return r.changeAlias(ctx, name, alias, func(f *hearth.Function, i int) error {
		if i < 0 {
			return r.noAlias(name, alias)
		}
		a := f.Aliases[i]
		if u.IfRevision != "" && u.IfRevision != a.Revision {
			return stale()
		}
		old := a
		if u.Description != nil {
			a.Description = *u.Description
		}
		if u.Route != nil {
			to, err := u.Route(old)
			if err != nil {
				return err
			}
			a.Route = to
		}
		if err := r.checkAlias(f, &a); err != nil {
			return err
		}
		if a == old {
			return nil
		}
		if a.Route != old.Route {
			from := old.Route
			a.Previous = &from
		}
		f.Aliases[i] = stamped(a)
		return nil
	})
}

// DeleteAlias removes an alias with its provisioned concurrency; the version stays. Errors are *hearth.Error; for an
// alias that is not there ErrNotFound.
func (r *Registry) DeleteAlias(ctx context.Context, name, alias string) error {
	_, err := r.changeAlias(ctx, name, alias, func(f *hearth.Function, i int) error {
		if i < 0 {
			return r.noAlias(name, alias)
		}
		f.Aliases = slices.Delete(f.Aliases, i, i+1)
		f.Provision(alias, 0, now())
		return nil
	})
	return err
}

// changeAlias lets step change a copy of the function, i being the alias's place among
// the others, -1 if there is none. It returns what the alias is then.
func (r *Registry) changeAlias(ctx context.Context, name, alias string, step func(f *hearth.Function, i int) error) (hearth.Alias, error) {
	f, err := r.change(ctx, name, func(old *hearth.Function) (*hearth.Function, error) {
		next := old.Clone()
		i := slices.IndexFunc(next.Aliases, func(a hearth.Alias) bool { return a.Name == alias })
		if err := step(next, i); err != nil {
			return nil, err
		}
		if slices.Equal(old.Aliases, next.Aliases) {
			return nil, nil
		}
		return next, nil
	})
	if err != nil {
		return hearth.Alias{}, err
	}
	if a := f.Alias(alias); a != nil {
		return *a, nil
	}
	return hearth.Alias{}, nil
}

// checkAlias also sees to it that the versions exist: f is what will be written.
func (r *Registry) checkAlias(f *hearth.Function, a *hearth.Alias) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if len([]rune(a.Description)) > hearth.MaxDescriptionLen {
		return hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to %d", hearth.MaxDescriptionLen)
	}
	for _, number := range []string{a.Version, a.Also} {
		if number != "" && f.Version(number) == nil {
			return r.notFound(f.Name, number)
		}
	}
	return nil
}

func stamped(a hearth.Alias) hearth.Alias {
	a.Revision, a.LastModified = hearth.NewRequestID(), now()
	return a
}

// noAlias is in Lambda's words.
func (r *Registry) noAlias(name, alias string) *hearth.Error {
	return hearth.Errorf(hearth.ErrNotFound, "Cannot find alias arn: %s", r.ARN(name, alias))
}
