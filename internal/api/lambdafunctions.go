package api

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"sort"
	"strconv"

	"hearth/internal/hearth"
	"hearth/internal/registry"
)

// codeInput is where code comes from.
type codeInput struct {
	ZipFile         []byte
	S3Bucket, S3Key string
	ImageURI        string `json:"ImageUri"`
}

func (c *codeInput) archive() ([]byte, error) {
	switch {
	case c.S3Bucket != "" || c.S3Key != "":
		return nil, hearth.Errorf(hearth.ErrNotImplemented, "Hearth has no S3 to fetch code from: send the archive itself as ZipFile (aws lambda … --zip-file fileb://function.zip).")
	case c.ImageURI != "":
		return nil, hearth.Errorf(hearth.ErrNotImplemented, "Container images are not there yet in this version of Hearth: send an archive as ZipFile.")
	case len(c.ZipFile) == 0:
		return nil, hearth.Errorf(hearth.ErrInvalid, "Please provide a source for function code: ZipFile, an archive in base64.")
	case len(c.ZipFile) > hearth.MaxZipBytes:
		return nil, hearth.Errorf(hearth.ErrTooLarge, "The archive has %d bytes, at most %d are allowed.", len(c.ZipFile), hearth.MaxZipBytes)
	}
	return c.ZipFile, nil
}

type createInput struct {
	settings
	FunctionName string
	Code         codeInput
	PackageType  string
	Publish      bool
	Tags         map[string]string
}

func (s *Server) createFunction(r *request) error {
	var in createInput
	if err := r.decode(&in); err != nil {
		return err
	}
	f, archive, err := in.function()
	if err != nil {
		return err
	}
	created, err := s.deps.Functions.Create(s.work, f, archive)
	if err == nil && in.Publish {
		return s.publishCreated(r, created)
	}
	if hearth.CodeOf(err) == hearth.ErrConflict && err != nil {
		return hearth.Errorf(hearth.ErrConflict, "Function already exist: %s", f.Name)
	}
	if err != nil {
		return err
	}
	return s.reply(r, 201, s.configurationOf(created, "", hearth.FunctionState{
		State: "Pending", Reason: "The function is being created.", ReasonCode: "Creating",
	}))
}

// function checks the input and makes the function that it describes.
func (in *createInput) function() (*hearth.Function, []byte, error) {
	if in.PackageType != "" && in.PackageType != "Zip" {
		return nil, nil, hearth.Errorf(hearth.ErrNotImplemented, "PackageType %s is not there yet in this version of Hearth: send an archive with PackageType Zip.", clip(in.PackageType))
	}
	ref, err := hearth.ParseFunctionRef(in.FunctionName)
	if err != nil {
		return nil, nil, err
	}
	if ref.Qualifier != "" {
		return nil, nil, hearth.Errorf(hearth.ErrInvalid, "FunctionName %s has a qualifier; a new function has no versions yet. Leave it out.", clip(in.FunctionName))
	}
	patch, err := in.patch()
	if err != nil {
		return nil, nil, err
	}
	archive, err := in.Code.archive()
	if err != nil {
		return nil, nil, err
	}
	f := &hearth.Function{Name: ref.Name, Tags: in.Tags}
	f.Latest.Config.Normalize()
	patch.Apply(&f.Latest.Config)
	if err := hearth.ApplyTags(f); err != nil {
		return nil, nil, err
	}
	if err := in.setDeadLetter(f); err != nil {
		return nil, nil, err
	}
	return f, archive, f.Validate()
}

// publishCreated publishes what has just been created, unless somebody else has
// changed it already. Then the function is there and its first version is not, and the
// answer says so.
func (s *Server) publishCreated(r *request, f *hearth.Function) error {
	f, v, err := s.deps.Functions.Publish(s.work, f.Name, registry.Publish{IfRevision: f.Latest.Revision})
	if err != nil {
		return err
	}
	return s.reply(r, 201, s.configurationOfVersion(f, v, "", published))
}

type listOutput struct {
	Functions  []configuration
	NextMarker string `json:",omitempty"`
}

func (s *Server) listFunctions(r *request) error {
	functions := s.deps.Functions.List()
	marker := r.query.get("Marker")
	first := sort.Search(len(functions), func(i int) bool { return functions[i].Name > marker })
	page, err := pageSize(r.query.get("MaxItems"))
	if err != nil {
		return err
	}
	out := listOutput{Functions: []configuration{}}
	for i := first; i < len(functions) && i < first+page; i++ {
		f := functions[i]
		out.Functions = append(out.Functions, s.configurationOf(f, "", hearth.FunctionState{}))
		if i == first+page-1 && i+1 < len(functions) {
			out.NextMarker = f.Name
		}
	}
	return s.reply(r, 200, out)
}

// pageSize reads MaxItems: 50 functions at a time unless the caller says otherwise.
func pageSize(text string) (int, error) {
	const most = 50
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 10000 {
		return 0, hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value '%s' at 'maxItems' failed to satisfy constraint: Member must be a number from 1 to 10000", clip(text))
	}
	return min(n, most), nil
}

type getOutput struct {
	Configuration configuration
	Code          codeLocation
	Tags          map[string]string  `json:",omitempty"`
	Concurrency   *concurrencyOutput `json:",omitempty"`
}

type codeLocation struct {
	RepositoryType string
	Location       string
}

func (s *Server) getFunction(r *request) error {
	ref, f, v, err := s.getVersion(r)
	if err != nil {
		return err
	}
	query := ""
	if v.Number != hearth.Latest {
		query = "version=" + v.Number
	}
	location := s.signedLink(r.base(), "/hearth/v1/functions/"+f.Name+"/code", query)
	out := getOutput{
		Configuration: s.configurationOfVersion(f, v, ref.Qualifier, s.stateOf(f, v)),
		Code:          codeLocation{"S3", location},
		Tags:          f.Tags,
	}
	if f.Reserved != nil {
		out.Concurrency = &concurrencyOutput{f.Reserved}
	}
	return s.reply(r, 200, out)
}

// base is this server's address as the client knows it.
func (r *request) base() string { return scheme(secure(r.ctx)) + "://" + r.host() }

func (r *request) host() string {
	if host := r.ctx.Request.Header.Host(); len(host) > 0 {
		return string(host)
	}
	return r.ctx.LocalAddr().String()
}

func (s *Server) getConfiguration(r *request) error {
	ref, f, v, err := s.getVersion(r)
	if err != nil {
		return err
	}
	return s.reply(r, 200, s.configurationOfVersion(f, v, ref.Qualifier, s.stateOf(f, v)))
}

type updateConfigurationInput struct {
	settings
	RevisionID string `json:"RevisionId"`
}

func (s *Server) updateConfiguration(r *request) error {
	var in updateConfigurationInput
	if err := r.decode(&in); err != nil {
		return err
	}
	patch, err := in.patch()
	if err != nil {
		return err
	}
	return s.update(r, registry.Update{IfRevision: in.RevisionID, Edit: func(f *hearth.Function) error {
		patch.Apply(&f.Latest.Config)
		hearth.RetellTags(f)
		if err := in.setDeadLetter(f); err != nil {
			return err
		}
		return f.Latest.Config.Validate()
	}})
}

type updateCodeInput struct {
	codeInput
	Architectures []string
	DryRun        bool
	Publish       bool
	RevisionID    string `json:"RevisionId"`
}

func (s *Server) updateCode(r *request) error {
	var in updateCodeInput
	if err := r.decode(&in); err != nil {
		return err
	}
	if err := checkArchitectures(in.Architectures); err != nil {
		return err
	}
	archive, err := in.archive()
	if err != nil {
		return err
	}
	if in.DryRun {
		return s.tryCode(r, archive, in.RevisionID)
	}
	return s.update(r, registry.Update{IfRevision: in.RevisionID, Zip: archive, Publish: in.Publish})
}

// tryCode checks new code and tells what the function would be, without changing it.
func (s *Server) tryCode(r *request, archive []byte, revision string) error {
	_, f, err := s.head(r, "UpdateFunctionCode")
	if err != nil {
		return err
	}
	if revision != "" && revision != f.Latest.Revision {
		return errRevision()
	}
	if _, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive))); err != nil {
		return hearth.Errorf(hearth.ErrInvalidZip, "Could not unzip uploaded file. Please check your file, then try to upload again.")
	}
	sum := sha256.Sum256(archive)
	would := f.Clone()
	would.Latest.Code = hearth.Code{Digest: hex.EncodeToString(sum[:]), Size: int64(len(archive))}
	return s.reply(r, 200, s.configurationOf(would, "", s.deps.Functions.State(f.Name)))
}

func errRevision() error {
	return hearth.Errorf(hearth.ErrPrecondition, "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
}

// update changes the function that the path names and answers with what it is then.
func (s *Server) update(r *request, u registry.Update) error {
	ref, _, err := s.head(r, "An update")
	if err != nil {
		return err
	}
	f, err := s.deps.Functions.Update(s.work, ref.Name, u)
	if err != nil && hearth.CodeOf(err) == hearth.ErrPrecondition {
		return errRevision()
	}
	if err != nil {
		return s.notFound(err, ref)
	}
	if u.Publish && len(f.Versions) > 0 {
		v := f.Versions[len(f.Versions)-1]
		return s.reply(r, 200, s.configurationOfVersion(f, v, v.Number, published))
	}
	return s.reply(r, 200, s.configurationOf(f, "", s.deps.Functions.State(f.Name)))
}

// deleteFunction removes a function, or one of its versions if the caller names one.
func (s *Server) deleteFunction(r *request) error {
	ref, _, err := s.get(r)
	if err != nil {
		return err
	}
	switch {
	case ref.Qualifier == "":
		err = s.deps.Functions.Delete(s.work, ref.Name)
	case hearth.IsVersionNumber(ref.Qualifier):
		err = s.deps.Functions.DeleteVersion(s.work, ref.Name, ref.Qualifier)
	case ref.Qualifier == hearth.Latest:
		return hearth.Errorf(hearth.ErrInvalid, "%s version cannot be deleted without deleting the function.", ref.Qualifier)
	default:
		return hearth.Errorf(hearth.ErrInvalid, "Deletion of aliases is not currently supported. Use DeleteAlias for alias %s.", clip(ref.Qualifier))
	}
	if err != nil {
		return s.notFound(err, ref)
	}
	return s.reply(r, 204, nil)
}
