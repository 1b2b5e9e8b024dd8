package api

import (
	"slices"

	"hearth/internal/hearth"
	"hearth/internal/registry"
)

type publishInput struct {
	CodeSha256  string
	Description *string
	RevisionID  string `json:"RevisionId"`
}

func (s *Server) publishVersion(r *request) error {
	var in publishInput
	if err := r.decode(&in); err != nil {
		return err
	}
	ref, _, err := s.head(r, "PublishVersion")
	if err != nil {
		return err
	}
	f, v, err := s.deps.Functions.Publish(s.work, ref.Name, registry.Publish{
		IfRevision: in.RevisionID, IfSHA256: in.CodeSha256, Description: in.Description,
	})
	switch {
	case err != nil && hearth.CodeOf(err) == hearth.ErrPrecondition:
		return errRevision()
	case err != nil:
		return s.notFound(err, ref)
	}
	return s.reply(r, 201, s.configurationOfVersion(f, v, v.Number, published))
}

type versionsOutput struct {
	Versions   []configuration
	NextMarker string `json:",omitempty"`
}

// listVersions begins with $LATEST. A marker is the last number of the page before.
func (s *Server) listVersions(r *request) error {
	_, f, err := s.head(r, "ListVersionsByFunction")
	if err != nil {
		return err
	}
	all := append([]*hearth.Version{&f.Latest}, f.Versions...)
	page, err := pageSize(r.query.get("MaxItems"))
	if err != nil {
		return err
	}
	first := 0
	if marker := r.query.get("Marker"); marker != "" {
		i := slices.IndexFunc(all, func(v *hearth.Version) bool { return v.Number == marker })
		if i < 0 {
			return hearth.Errorf(hearth.ErrInvalid, "Marker %q is not one that this list has given, or its version has been deleted: begin again without it.", clip(marker))
		}
		first = i + 1
	}
	out := versionsOutput{Versions: []configuration{}}
	for i := first; i < len(all) && i < first+page; i++ {
		v := all[i]
		out.Versions = append(out.Versions, s.configurationOfVersion(f, v, v.Number, s.stateOf(f, v)))
		if i == first+page-1 && i+1 < len(all) {
			out.NextMarker = v.Number
		}
	}
	return s.reply(r, 200, out)
}

// aliasInput is what CreateAlias and UpdateAlias take. Nil means left out.
type aliasInput struct {
	Name            string
	FunctionVersion *string
	Description     *string
	RoutingConfig   *routingConfig
	RevisionID      string `json:"RevisionId"`
}

type routingConfig struct {
	Weights map[string]float64 `json:"AdditionalVersionWeights"`
}

// route is the route that a becomes.
func (in *aliasInput) route(a hearth.Route) (hearth.Route, error) {
	if in.FunctionVersion != nil {
		a.Version = *in.FunctionVersion
	}
	if in.RoutingConfig == nil {
		return a, nil
	}
	if len(in.RoutingConfig.Weights) > 1 {
		return a, hearth.Errorf(hearth.ErrInvalid, "Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	a.Also, a.Weight = "", 0
	for number, weight := range in.RoutingConfig.Weights {
		a.Also, a.Weight = number, weight
		if number == "" { // "" would mean none
			return a, hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value '' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length greater than or equal to 1]")
		}
	}
	return a, nil
}

type aliasOutput struct {
	AliasArn        string
	Name            string
	FunctionVersion string
	Description     string
	RoutingConfig   *routingConfig `json:",omitempty"`
	RevisionID      string         `json:"RevisionId"`
}

func (s *Server) aliasOf(function string, a hearth.Alias) aliasOutput {
	out := aliasOutput{
		AliasArn: s.arn(function, a.Name), Name: a.Name, FunctionVersion: a.Version,
		Description: a.Description, RevisionID: a.Revision,
	}
	if a.Also != "" {
		out.RoutingConfig = &routingConfig{map[string]float64{a.Also: a.Weight}}
	}
	return out
}

func (s *Server) createAlias(r *request) error {
	var in aliasInput
	if err := r.decode(&in); err != nil {
		return err
	}
	ref, _, err := s.head(r, "CreateAlias")
	if err != nil {
		return err
	}
	a := hearth.Alias{Name: in.Name}
	if in.Description != nil {
		a.Description = *in.Description
	}
	if a.Route, err = in.route(hearth.Route{}); err != nil {
		return err
	}
	if a, err = s.deps.Functions.CreateAlias(s.work, ref.Name, a); err != nil {
		return err
	}
	return s.reply(r, 201, s.aliasOf(ref.Name, a))
}

func (s *Server) updateAlias(r *request) error {
	var in aliasInput
	if err := r.decode(&in); err != nil {
		return err
	}
	ref, _, err := s.head(r, "UpdateAlias")
	if err != nil {
		return err
	}
	a, err := s.deps.Functions.UpdateAlias(s.work, ref.Name, r.args[1], registry.AliasUpdate{
		IfRevision: in.RevisionID, Description: in.Description,
		Route: func(a hearth.Alias) (hearth.Route, error) { return in.route(a.Route) },
	})
	if err != nil && hearth.CodeOf(err) == hearth.ErrPrecondition {
		return errRevision()
	}
	if err != nil {
		return err
	}
	return s.reply(r, 200, s.aliasOf(ref.Name, a))
}

func (s *Server) getAlias(r *request) error {
	ref, f, err := s.head(r, "GetAlias")
	if err != nil {
		return err
	}
	a := f.Alias(r.args[1])
	if a == nil {
		return hearth.Errorf(hearth.ErrNotFound, "Cannot find alias arn: %s", s.arn(ref.Name, clip(r.args[1])))
	}
	return s.reply(r, 200, s.aliasOf(f.Name, *a))
}

// deleteAlias succeeds if there is no such alias (Lambda API).
func (s *Server) deleteAlias(r *request) error {
	ref, _, err := s.head(r, "DeleteAlias")
	if err != nil {
		return err
	}
	if err := s.deps.Functions.DeleteAlias(s.work, ref.Name, r.args[1]); err != nil && hearth.CodeOf(err) != hearth.ErrNotFound {
		return err
	}
	return s.reply(r, 204, nil)
}

type aliasesOutput struct {
	Aliases    []aliasOutput
	NextMarker string `json:",omitempty"`
}

func (s *Server) listAliases(r *request) error {
	_, f, err := s.head(r, "ListAliases")
	if err != nil {
		return err
	}
	page, err := pageSize(r.query.get("MaxItems"))
	if err != nil {
		return err
	}
	marker, number := r.query.get("Marker"), r.query.get("FunctionVersion")
	out := aliasesOutput{Aliases: []aliasOutput{}}
	for _, a := range f.Aliases {
		if a.Name <= marker || number != "" && !a.Uses(number) {
			continue
		}
		if len(out.Aliases) == page {
			out.NextMarker = out.Aliases[page-1].Name
			break
		}
		out.Aliases = append(out.Aliases, s.aliasOf(f.Name, a))
	}
	return s.reply(r, 200, out)
}
