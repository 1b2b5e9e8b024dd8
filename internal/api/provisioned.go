package api

import (
	"encoding/json"
	"strconv"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/registry"
)

// provisionedOutput is Lambda's ProvisionedConcurrencyConfig.
type provisionedOutput struct {
	FunctionArn  string `json:",omitempty"` // in lists
	Requested    int    `json:"RequestedProvisionedConcurrentExecutions"`
	Available    int    `json:"AvailableProvisionedConcurrentExecutions"`
	Allocated    int    `json:"AllocatedProvisionedConcurrentExecutions"`
	Status       string
	StatusReason string `json:",omitempty"`
	LastModified string
}

func provisionedOf(p *hearth.ProvisionInfo) provisionedOutput {
	return provisionedOutput{
		Requested: p.Executions, Available: p.Available, Allocated: p.Allocated,
		Status: p.Status, StatusReason: p.Reason, LastModified: p.LastModified.UTC().Format(lambdaTime),
	}
}

// provisionInfos tells what f has provisioned, and how far this node is with it.
func (s *Server) provisionInfos(f *hearth.Function) []hearth.ProvisionInfo {
	return f.ProvisionInfos(s.deps.Platform.Provisioned)
}

// qualified finds the function, and the alias or published version that the caller must
// name.
func (s *Server) qualified(r *request, latest string) (hearth.FunctionRef, *hearth.Function, error) {
	ref, err := r.ref()
	switch {
	case err != nil:
		return ref, nil, err
	case ref.Qualifier == "":
		return ref, nil, hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value null at 'qualifier' failed to satisfy constraint: Member must not be null")
	case ref.Qualifier == hearth.Latest && latest != "":
		return ref, nil, hearth.Errorf(hearth.ErrInvalid, "%s", latest)
	}
	f, err := s.deps.Functions.Get(ref.Name)
	if err != nil {
		return ref, nil, s.notFound(err, ref)
	}
	return ref, f, s.checkQualifier(f, ref.Qualifier)
}

// checkQualifier tells whether f has such a version or alias.
func (s *Server) checkQualifier(f *hearth.Function, qualifier string) error {
	switch {
	case f.Version(qualifier) != nil || f.Alias(qualifier) != nil:
		return nil
	case hearth.IsVersionNumber(qualifier):
		return hearth.Errorf(hearth.ErrNotFound, "Function not found: %s", s.arn(f.Name, qualifier))
	}
	return hearth.Errorf(hearth.ErrNotFound, "Cannot find alias arn: %s", s.arn(f.Name, qualifier))
}

// Lambda's words for what cannot be provisioned.
const (
	unpublished  = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
	notLatest    = "The function resource provided must be an alias or a published version."
	aliasOfTaken = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
	versionTaken = "Version is pointed by a Provisioned Concurrency alias"
)

func (s *Server) putProvisioned(r *request) error {
	var in struct {
		Executions *int `json:"ProvisionedConcurrentExecutions"`
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	if in.Executions == nil || *in.Executions < 1 {
		value := "null"
		if in.Executions != nil {
			value = "'" + strconv.Itoa(*in.Executions) + "'"
		}
		return hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value %s at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1", value)
	}
	ref, _, err := s.qualified(r, unpublished)
	if err != nil {
		return err
	}
	f, err := s.provision(ref.Name, ref.Qualifier, *in.Executions, true)
	if err != nil {
		return err
	}
	return s.reply(r, 202, provisionedOutput{Requested: *in.Executions, Status: hearth.ProvisionInProgress,
		LastModified: f.ProvisionOf(ref.Qualifier).LastModified.UTC().Format(lambdaTime)})
}

// provision sets the provisioned concurrency of a qualifier; 0 removes it. To Lambda's
// clients an alias of $LATEST is not published.
func (s *Server) provision(name, qualifier string, executions int, publishedOnly bool) (*hearth.Function, error) {
	now := s.now().UTC().Truncate(time.Millisecond)
	return s.deps.Functions.Update(s.work, name, registry.Update{Edit: func(f *hearth.Function) error {
		if executions > 0 {
			if err := s.checkProvision(f, qualifier, executions, publishedOnly); err != nil {
				return err
			}
		}
		f.Provision(qualifier, executions, now)
		return f.Validate()
	}})
}

func (s *Server) checkProvision(f *hearth.Function, qualifier string, executions int, publishedOnly bool) error {
	if err := s.checkQualifier(f, qualifier); err != nil {
		return err
	}
	if limit := s.cfg.AccountLimit; limit > 0 && executions > limit {
		return hearth.Errorf(hearth.ErrInvalid, "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [0]: %d are asked for, and this node runs at most %d invocations at once.", executions, limit)
	}
	if a := f.Alias(qualifier); a != nil {
		switch {
		case publishedOnly && a.Version == hearth.Latest:
			return hearth.Errorf(hearth.ErrInvalid, "%s", unpublished)
		case f.ProvisionOf(a.Version) != nil || a.Also != "" && f.ProvisionOf(a.Also) != nil:
			return hearth.Errorf(hearth.ErrConflict, "%s", aliasOfTaken)
		}
		return nil
	}
	for i := range f.Aliases {
		if a := &f.Aliases[i]; a.Uses(qualifier) && f.ProvisionOf(a.Name) != nil {
			return hearth.Errorf(hearth.ErrConflict, "%s", versionTaken)
		}
	}
	return nil
}

func (s *Server) getProvisioned(r *request) error {
	if r.query.get("List") == "ALL" {
		return s.listProvisioned(r)
	}
	ref, f, err := s.qualified(r, "")
	if err != nil {
		return err
	}
	for _, p := range s.provisionInfos(f) {
		if p.Qualifier == ref.Qualifier {
			return s.reply(r, 200, provisionedOf(&p))
		}
	}
	if ref.Qualifier == hearth.Latest {
		return hearth.Errorf(hearth.ErrInvalid, "%s", notLatest)
	}
	return hearth.Errorf(hearth.ErrNoProvisioned, "No Provisioned Concurrency Config found for this function")
}

// listProvisioned has everything on one page: there are not many.
func (s *Server) listProvisioned(r *request) error {
	_, f, err := s.head(r, "ListProvisionedConcurrencyConfigs")
	if err != nil {
		return err
	}
	list := []provisionedOutput{}
	for _, p := range s.provisionInfos(f) {
		out := provisionedOf(&p)
		out.FunctionArn = s.arn(f.Name, p.Qualifier)
		list = append(list, out)
	}
	return s.reply(r, 200, map[string]any{"ProvisionedConcurrencyConfigs": list})
}

// deleteProvisioned does not mind if there is none, as Lambda does not.
func (s *Server) deleteProvisioned(r *request) error {
	ref, _, err := s.qualified(r, notLatest)
	if err != nil {
		return err
	}
	if _, err := s.provision(ref.Name, ref.Qualifier, 0, true); err != nil {
		return err
	}
	return s.reply(r, 204, nil)
}

// provisionInput is what PUT /hearth/v1/functions/NAME/provisioned takes.
type provisionInput struct {
	Qualifier  string `json:"qualifier"` // $LATEST when left out
	Executions *int   `json:"executions"`
}

// putProvisionDoc sets provisioned concurrency, of $LATEST too; 0 removes it.
func (s *Server) putProvisionDoc(r *request) error {
	var in provisionInput
	if err := decodeStrictly(r.ctx.Request.Body(), &in); err != nil {
		return err
	}
	if in.Executions == nil || *in.Executions < 0 {
		return hearth.Errorf(hearth.ErrInvalid, "executions must be given, a number from 0 up: for how many invocations at once instances are kept ready; 0 keeps none.")
	}
	if in.Qualifier == "" {
		in.Qualifier = hearth.Latest
	}
	f, err := s.named(r)
	if err != nil {
		return err
	}
	if err := s.checkQualifier(f, in.Qualifier); err != nil {
		return err
	}
	if f, err = s.provision(f.Name, in.Qualifier, *in.Executions, false); err != nil {
		return err
	}
	return s.writeProvisioned(r, f)
}

func (s *Server) getProvisionDoc(r *request) error {
	f, err := s.named(r)
	if err != nil {
		return err
	}
	return s.writeProvisioned(r, f)
}

func (s *Server) writeProvisioned(r *request, f *hearth.Function) error {
	list := s.provisionInfos(f)
	if list == nil {
		list = []hearth.ProvisionInfo{}
	}
	s.writeLine(r.ctx, 200, map[string]any{"provisioned": list})
	return nil
}

// applyProvisioned sets that of $LATEST from a number or null; nothing leaves it.
func applyProvisioned(f *hearth.Function, text json.RawMessage) error {
	n := 0
	switch string(text) {
	case "":
		return nil
	case "null":
	default:
		if json.Unmarshal(text, &n) != nil || n < 0 {
			return hearth.Errorf(hearth.ErrInvalid, "provisioned is %s; it must be a number from 0 up, or null.", clip(string(text)))
		}
	}
	f.Provision(hearth.Latest, n, time.Now().UTC().Truncate(time.Millisecond))
	return nil
}
