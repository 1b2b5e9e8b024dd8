package api

import (
	"slices"

	"hearth/internal/hearth"
	"hearth/internal/registry"
)

// publishedDoc is one version of a function under /hearth/v1.
type publishedDoc struct {
	versionDoc
	Aliases   []string `json:"aliases,omitempty"` // that lead to it
	Instances int      `json:"instances"`         // alive now
}

// versionDocs lists a function's versions, newest first, $LATEST before all.
func (s *Server) versionDocs(r *request) error {
	f, err := s.named(r)
	if err != nil {
		return err
	}
	alive := map[string]int{} // by number
	for _, i := range s.deps.Platform.Instances(f.Name) {
		if i.State != hearth.Dead && i.State != hearth.Draining {
			alive[i.Version]++
		}
	}
	list := []publishedDoc{}
	add := func(v *hearth.Version) {
		doc := publishedDoc{versionDoc: versionDocOf(v), Instances: alive[v.Number]}
		for i := range f.Aliases {
			if f.Aliases[i].Uses(v.Number) {
				doc.Aliases = append(doc.Aliases, f.Aliases[i].Name)
			}
		}
		list = append(list, doc)
	}
	add(&f.Latest)
	for _, v := range slices.Backward(f.Versions) {
		add(v)
	}
	s.writeLine(r.ctx, 200, map[string]any{"versions": list, "unpublished": f.Unpublished()})
	return nil
}

func (s *Server) aliasDocs(r *request) error {
	f, err := s.named(r)
	if err != nil {
		return err
	}
	list := f.Aliases
	if list == nil {
		list = []hearth.Alias{}
	}
	s.writeLine(r.ctx, 200, map[string]any{"aliases": list})
	return nil
}

type rollbackInput struct {
	Revision string `json:"revision"` // that the alias must still have; "" asks for none
}

// rollback leads an alias back to where it led before its route was last changed. Done
// twice it is where it was.
func (s *Server) rollback(r *request) error {
	in := rollbackInput{}
	if len(r.ctx.Request.Body()) > 0 {
		if err := decodeStrictly(r.ctx.Request.Body(), &in); err != nil {
			return err
		}
	}
	f, err := s.named(r)
	if err != nil {
		return err
	}
	a, err := s.deps.Functions.UpdateAlias(s.work, f.Name, r.args[1], registry.AliasUpdate{
		IfRevision: in.Revision,
		Route: func(a hearth.Alias) (hearth.Route, error) {
			if a.Previous == nil {
				return a.Route, hearth.Errorf(hearth.ErrConflict, "Alias %s of function %s has never led anywhere but to version %s, so there is nothing to go back to.", a.Name, f.Name, a.Version)
			}
			for _, number := range []string{a.Previous.Version, a.Previous.Also} {
				if f.Version(number) == nil {
					return a.Route, hearth.Errorf(hearth.ErrConflict, "Alias %s of function %s led to version %s before, which has been deleted: name another version instead.", a.Name, f.Name, number)
				}
			}
			return *a.Previous, nil
		},
	})
	if err != nil {
		return err
	}
	s.writeLine(r.ctx, 200, a)
	return nil
}
