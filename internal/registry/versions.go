package registry

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// Publish says how to publish a version.
type Publish struct {
	// IfRevision, when not empty, makes it fail with ErrPrecondition unless the
	// function still is at this revision (Lambda API, RevisionId).
	IfRevision string
	// IfSHA256, when not empty, makes it fail unless this is the code's SHA-256 in
	// base64 (Lambda API, CodeSha256).
	IfSHA256 string
	// Description of the version; nil keeps that of $LATEST.
	Description *string
}

// Publish makes a version of what $LATEST is now, with the next number. If nothing has
// changed since the last version was published, and that still exists, it is returned
// as it is (Lambda API). When Publish returns the version is durable, and Resolve on
// this node finds it. Errors are *hearth.Error.
func (r *Registry) Publish(ctx context.Context, name string, p Publish) (*hearth.Function, *hearth.Version, error) {
	f, err := r.change(ctx, name, func(old *hearth.Function) (*hearth.Function, error) {
		if p.IfRevision != "" && p.IfRevision != old.Latest.Revision {
			return nil, stale()
		}
		if sum := base64Of(old.Latest.Code.Digest); p.IfSHA256 != "" && p.IfSHA256 != sum {
			return nil, hearth.Errorf(hearth.ErrInvalid, "CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). "+
				"Please try again with the CodeSHA256 in $LATEST.", p.IfSHA256, sum)
		}
		next := old.Clone()
		published, err := r.publish(ctx, next, p.Description)
		if err != nil || !published {
			return nil, err
		}
		return next, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return f, f.Versions[len(f.Versions)-1], nil
}

func base64Of(digest string) string {
	sum, err := hex.DecodeString(digest)
	if err != nil {
		return digest
	}
	return base64.StdEncoding.EncodeToString(sum)
}

// publish adds a version to f, which must not be shared, unless nothing has changed
// since the last one. Whether it has added one is the first result.
func (r *Registry) publish(ctx context.Context, f *hearth.Function, description *string) (bool, error) {
	if !f.Unpublished() {
		return false, nil
	}
	last := f.Published
	if last == 0 {
		var err error
		if last, err = r.lastOf(ctx, f); err != nil {
			return false, err
		}
	}
	v := f.Latest
	v.Config = v.Config.Clone()
	v.Number = strconv.Itoa(last + 1)
	v.Revision = hearth.NewRequestID()
	v.Identity = identityOf(f.Name, v.Revision)
	v.LastModified = now()
	v.Origin = v.Config.Description
	if description != nil {
		v.Config.Description = *description
		if err := v.Config.Validate(); err != nil {
			return false, err
		}
	}
	f.Versions = append(slices.Clone(f.Versions), &v)
	f.Published = last + 1
	return true, r.reached(ctx, f)
}

// DeleteVersion removes a published version with its provisioned concurrency and,
// unless another has the same, its code. It fails with ErrConflict while an alias leads to the version. When it
// returns the removal is durable. The error is a *hearth.Error.
func (r *Registry) DeleteVersion(ctx context.Context, name, number string) error {
	_, err := r.change(ctx, name, func(old *hearth.Function) (*hearth.Function, error) {
		if !hearth.IsVersionNumber(number) || old.Version(number) == nil {
			return nil, r.notFound(name, number)
		}
		for i := range old.Aliases {
			if a := &old.Aliases[i]; a.Uses(number) {
				return nil, hearth.Errorf(hearth.ErrConflict, "Version %s of function %s cannot be deleted: alias %s leads to it. "+
					"Point the alias to another version, or delete it, first.", number, name, a.Name)
			}
		}
		next := old.Clone()
		next.Versions = slices.DeleteFunc(next.Versions, func(v *hearth.Version) bool { return v.Number == number })
		next.Provision(number, 0, now())
		return next, nil
	})
	return err
}

// retire sees to it, before a function is deleted, that the number is known which its
// versions have reached: a function of the same name that is made later goes on from
// there. It returns the function, nil if its record cannot be read, and the record's
// revision.
func (r *Registry) retire(ctx context.Context, name string) (*hearth.Function, uint64, error) {
	e, err := r.table.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, r.notFound(name, "")
	}
	if err != nil {
		return nil, 0, storeError(err, "delete function "+name)
	}
	f, err := decode(e)
	if err != nil {
		return nil, e.Revision, nil // deleting it is the way out
	}
	if f.Published > 0 { // noted when it was published, unless that was long ago
		switch err := r.reached(ctx, f); {
		case errors.Is(err, store.ErrFull): // then deleting functions is the way out
			r.cfg.Logger.Warn("registry: the disk is full: a new function of this name will count its versions from 1 again", "function", name)
		case err != nil:
			return nil, 0, err
		}
	}
	return f, e.Revision, nil
}

// reach is what is kept of a name's version numbers beside the function's record, which
// may be unreadable when the function is deleted.
type reach struct {
	Number  int   `json:"n"`    // the last one
	Base    int   `json:"base"` // that of earlier functions of the name
	Created int64 `json:"of"`   // when the last function of the name was; Unix nanoseconds
}

// reachOf reads it; nothing is the zero reach. Earlier it was the number alone.
func (r *Registry) reachOf(ctx context.Context, name string) (at reach, err error) {
	e, err := r.last.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return at, nil
	}
	if err != nil {
		return at, storeError(err, "publish function "+name)
	}
	if at.Number, err = strconv.Atoi(string(e.Value)); err == nil {
		return at, nil
	}
	if err := json.Unmarshal(e.Value, &at); err != nil {
		return at, hearth.Errorf(hearth.ErrInternal, "Cannot publish function %s: the number of its last version cannot be read.", name).WithCause(err)
	}
	return at, nil
}

// reached notes which number the versions of f have reached, before its record says so:
// when f is deleted the disk may be full, or the record unreadable.
func (r *Registry) reached(ctx context.Context, f *hearth.Function) error {
	at, err := r.reachOf(ctx, f.Name)
	if err != nil {
		return err
	}
	next := reach{Number: f.Published, Base: at.Number, Created: f.Created.UnixNano()}
	if at.Created == next.Created {
		if next.Base = at.Base; at.Number >= next.Number {
			return nil
		}
	}
	text, err := json.Marshal(next)
	if err == nil {
		_, err = r.last.Put(ctx, f.Name, text)
	}
	return storeError(err, "publish function "+f.Name)
}

// lastOf is the number that the versions of deleted functions of f's name have reached.
// f must exist when it is asked for, so that no deletion of an earlier one can still be
// under way.
func (r *Registry) lastOf(ctx context.Context, f *hearth.Function) (int, error) {
	at, err := r.reachOf(ctx, f.Name)
	if at.Created == f.Created.UnixNano() {
		return at.Base, err
	}
	return at.Number, err
}
