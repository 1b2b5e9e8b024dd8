package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// writeTimeout bounds the writing of a function's record. Whoever asked for it may
// have gone: a write that has begun is seen through, so that its outcome is known.
const writeTimeout = 10 * time.Second

// Update says how to change a function.
type Update struct {
	// IfRevision, when not empty, makes the update fail with ErrPrecondition unless
	// the function still is at this revision (Lambda API, RevisionId).
	IfRevision string
	// Zip is the new code, an archive; nil leaves the code.
	Zip []byte
	// Publish has the outcome published as a version, in the same step: it is the
	// last of the function's Versions then.
	Publish bool
	// Edit changes the function; nil changes nothing. It may be called several times,
	// each time with a fresh copy. What it does to name, creation time, code, revision,
	// versions, aliases and the like is undone. Its error ends the update and is
	// returned as it is.
	Edit func(*hearth.Function) error
}

// Create stores a new function and its archive. Of f it takes name, configuration
// (complete: see hearth.Config.Normalize), tags, reserved concurrency and URL; the
// rest it sets itself. When it returns the function is durable, and Resolve on this
// node finds it. Errors are *hearth.Error; ErrConflict means that the name is taken.
func (r *Registry) Create(ctx context.Context, f *hearth.Function, zip []byte) (*hearth.Function, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if r.cache.get(f.Name) != nil {
		return nil, exists(f.Name)
	}
	code, err := r.cfg.Inspect(zip)
	if err != nil {
		return nil, err
	}
	next := f.Clone()
	next.Created = now()
	next.Latest = hearth.Version{Function: f.Name, Number: hearth.Latest, Code: code, Config: next.Latest.Config}
	next.Versions, next.Published, next.Aliases = nil, 0, nil
	stamp(next, nil)
	release, err := r.hold(ctx, code.Digest, zip)
	if err != nil {
		return nil, err
	}
	stored, err := r.write(ctx, next, r.table.Create)
	release(err)
	if errors.Is(err, store.ErrExists) {
		return nil, exists(f.Name)
	}
	return stored, storeError(err, "create function "+f.Name)
}

// Update changes a function, its code, or both, in one step. If nothing changes, the
// function and its revision stay as they are. When it returns the change is durable,
// and Resolve on this node sees it. Errors are *hearth.Error or Edit's own.
func (r *Registry) Update(ctx context.Context, name string, u Update) (*hearth.Function, error) {
	if r.cache.get(name) == nil { // before much work is done in vain
		if _, _, err := r.read(ctx, name); err != nil {
			return nil, err
		}
	}
	var code hearth.Code
	release := func(error) {}
	if u.Zip != nil {
		var err error
		if code, err = r.cfg.Inspect(u.Zip); err != nil {
			return nil, err
		}
		if release, err = r.hold(ctx, code.Digest, u.Zip); err != nil {
			return nil, err
		}
	}
	f, err := r.update(ctx, name, u, code)
	release(err)
	return f, err
}

func (r *Registry) update(ctx context.Context, name string, u Update, code hearth.Code) (*hearth.Function, error) {
	return r.change(ctx, name, func(old *hearth.Function) (*hearth.Function, error) {
		next, err := u.apply(old, code)
		if err != nil || !u.Publish {
			return next, err
		}
		if next == nil {
			next = old.Clone()
		}
		published, err := r.publish(ctx, next, nil)
		if err != nil || !published && equal(old, next) {
			return nil, err
		}
		return next, nil
	})
}

// change reads, changes and writes until nobody comes in between. step returns what
// the function becomes, nil if it stays as it is; it may be called several times.
func (r *Registry) change(ctx context.Context, name string, step func(old *hearth.Function) (*hearth.Function, error)) (*hearth.Function, error) {
	for {
		old, revision, err := r.read(ctx, name)
		if err != nil {
			return nil, err
		}
		next, err := step(old)
		if err != nil {
			return nil, err
		}
		if next == nil {
			r.applied(name, old, revision)
			return old, nil
		}
		stored, err := r.write(ctx, next, func(ctx context.Context, key string, value []byte) (uint64, error) {
			return r.table.Update(ctx, key, value, revision)
		})
		if errors.Is(err, store.ErrRevision) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, storeError(err, "update function "+name)
		}
		r.code.releaseAll(old)
		return stored, nil
	}
}

// apply returns what old becomes, nil if it stays as it is.
func (u *Update) apply(old *hearth.Function, code hearth.Code) (*hearth.Function, error) {
	if u.IfRevision != "" && u.IfRevision != old.Latest.Revision {
		return nil, stale()
	}
	next := old.Clone()
	if u.Edit != nil {
		if err := u.Edit(next); err != nil {
			return nil, err
		}
	}
	config := next.Latest.Config
	next.Name, next.Created, next.Latest = old.Name, old.Created, old.Latest
	next.Versions, next.Published, next.Aliases = old.Versions, old.Published, old.Aliases
	next.Latest.Config = config
	if u.Zip != nil {
		next.Latest.Code = code
	}
	if err := next.Validate(); err != nil {
		return nil, err
	}
	if equal(old, next) {
		return nil, nil
	}
	stamp(next, old)
	return next, nil
}

func stale() *hearth.Error {
	return hearth.Errorf(hearth.ErrPrecondition, "The RevisionId provided does not match the latest RevisionId. "+
		"Call the GetFunction/GetAlias API to retrieve the latest RevisionId")
}

// Delete removes a function with its versions and aliases and, unless another function has the same, its code.
// When it returns the removal is durable, and Resolve on this node finds the function
// no more. The error is a *hearth.Error.
func (r *Registry) Delete(ctx context.Context, name string) error {
	if hearth.ValidateName(name) != nil {
		return r.notFound(name, "") // and no key either
	}
	write, cancel := writing(ctx)
	defer cancel()
	for {
		old, revision, err := r.retire(write, name)
		if err != nil {
			return err
		}
		revision, err = r.table.Delete(write, name, revision)
		switch {
		case errors.Is(err, store.ErrRevision):
			continue
		case errors.Is(err, store.ErrNotFound):
			return r.notFound(name, "")
		case err != nil:
			return storeError(err, "delete function "+name)
		}
		r.applied(name, nil, revision)
		if old != nil {
			r.code.releaseAll(old)
		}
		return nil
	}
}

// hold stores an archive and keeps it until release is told how the write of the
// function's record went. If that is not known the archive is kept for good, or until
// the next start, which will know.
func (r *Registry) hold(ctx context.Context, digest string, zip []byte) (release func(error), err error) {
	if err := r.code.put(ctx, digest, zip); err != nil {
		return nil, storeError(err, "store code")
	}
	return func(err error) {
		if !errors.Is(err, errUnknownOutcome) {
			r.code.unpin(digest)
		}
	}, nil
}

// errUnknownOutcome marks a write that may or may not have happened.
var errUnknownOutcome = errors.New("outcome unknown")

// write stores f's record and puts it into the cache, as it will be read again:
// nothing of it is shared with the caller.
func (r *Registry) write(ctx context.Context, f *hearth.Function, put func(context.Context, string, []byte) (uint64, error)) (*hearth.Function, error) {
	value, err := encode(f)
	if err != nil {
		return nil, err
	}
	if len(value) > maxRecordBytes {
		return nil, hearth.Errorf(hearth.ErrCodeStorage, "Code storage limit exceeded: what is kept of function %s and its %d published versions would have %d bytes, at most %d are allowed. "+
			"Delete versions that no alias points to.", f.Name, len(f.Versions), len(value), maxRecordBytes)
	}
	stored, err := decode(store.Entry{Key: f.Name, Value: value})
	if err != nil {
		return nil, err
	}
	write, cancel := writing(ctx)
	defer cancel()
	revision, err := put(write, f.Name, value)
	switch {
	case err == nil:
		r.applied(f.Name, stored, revision)
		return stored, nil
	case errors.Is(err, store.ErrExists), errors.Is(err, store.ErrRevision), errors.Is(err, store.ErrFull):
		return nil, err
	}
	return nil, errors.Join(errUnknownOutcome, err)
}

func writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
}

// read reads a function from the store, which may be ahead of the cache.
func (r *Registry) read(ctx context.Context, name string) (*hearth.Function, uint64, error) {
	if hearth.ValidateName(name) != nil {
		return nil, 0, r.notFound(name, "") // and no key either
	}
	e, err := r.table.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, r.notFound(name, "")
	}
	if err != nil {
		return nil, 0, storeError(err, "read function "+name)
	}
	f, err := decode(e)
	if err != nil {
		return nil, 0, hearth.Errorf(hearth.ErrInternal, "The record of function %s cannot be read: delete the function and create it again.", name).WithCause(err)
	}
	return f, e.Revision, nil
}

// stamp gives f a new revision and, if instances made for old do not serve f, a new
// identity. old is nil when f is new. A keep-alive that nobody has set is the default.
func stamp(f, old *hearth.Function) {
	v := &f.Latest
	if v.Config.KeepAlive == 0 {
		v.Config.KeepAlive = hearth.DefaultKeepAlive
	}
	v.Revision = hearth.NewRequestID() // a UUID
	v.LastModified = now()
	if old == nil || v.Code != old.Latest.Code || !v.Config.SameInstances(&old.Latest.Config) {
		v.Identity = identityOf(f.Name, v.Revision)
	}
}

// equal compares what an update may change.
func equal(a, b *hearth.Function) bool {
	return a.Latest.Code == b.Latest.Code &&
		a.Latest.Config.Equal(&b.Latest.Config) &&
		maps.Equal(a.Tags, b.Tags) &&
		same(a.Reserved, b.Reserved) &&
		same(a.URL, b.URL) &&
		slices.Equal(a.Routes, b.Routes) &&
		slices.Equal(a.Provisioned, b.Provisioned) &&
		slices.EqualFunc(a.Triggers, b.Triggers, hearth.Trigger.Equal) &&
		a.Async.Equal(b.Async)
}

func same[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// now has Lambda's precision.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func exists(name string) *hearth.Error {
	return hearth.Errorf(hearth.ErrConflict, "Function already exist: %s", name)
}

// storeError words an error of the store for people; nil stays nil.
func storeError(err error, what string) error {
	var known *hearth.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, store.ErrFull):
		return hearth.Errorf(hearth.ErrCodeStorage, "Code storage limit exceeded: the disk of this node is full. Free some space, or delete functions.").WithCause(err)
	case errors.Is(err, store.ErrClosed):
		return hearth.Errorf(hearth.ErrShuttingDown, "Cannot %s: this node is stopping.", what).WithCause(err)
	}
	return hearth.Errorf(hearth.ErrInternal, "Cannot %s: the store failed. The node's log says why.", what).WithCause(err)
}
