package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"hearth/internal/sandbox/statedir"
)

// Recover removes what an earlier process left behind: see sandbox.Driver. The
// sandboxes themselves usually have ended by then: their descriptor 3 was closed
// with the process that held its other end.
func (d *Driver) Recover(ctx context.Context) (int, error) {
	ids, err := d.leftovers()
	if err != nil {
		return 0, fmt.Errorf("recover: %w", err)
	}
	var errs []error
	for _, id := range ids {
		// A box that is no more than a name: its processes are not our children.
		if err := newBox(d, id).remove(ctx); err != nil {
			errs = append(errs, fmt.Errorf("sandbox %s: %w", id, err))
		}
	}
	errs = append(errs, d.scratch.Recover())
	if d.network != nil {
		_, err := d.network.Recover(ctx)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return len(ids), fmt.Errorf("recover: %w", err)
	}
	return len(ids), nil
}

// leftovers names everything of which the runtime, the cgroups or our own
// directories still know.
func (d *Driver) leftovers() ([]string, error) {
	known, err := d.engine.list()
	if err != nil {
		return nil, err
	}
	dirs, err := statedir.Names(d.cfg.boxDir())
	if err != nil {
		return nil, err
	}
	groups, err := d.cgroups.Leftovers(d.cfg.cgroupParent())
	if err != nil {
		return nil, err
	}
	all := slices.Concat(known, dirs, groups)
	slices.Sort(all)
	return slices.Compact(all), nil
}
