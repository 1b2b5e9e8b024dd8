package registry

import (
	"encoding/json"
	"fmt"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// maxRecordBytes bounds a function's record. The store's limit is a little above.
const maxRecordBytes = 1_000_000

// record is how a function is stored. Versions that follow each other mostly have the
// same configuration, so it is written once: a record has room for some four thousand
// versions, or for two hundred that all have a full environment of their own.
type record struct {
	*hearth.Function
	Versions []storedVersion `json:"versions,omitempty"` // hides the function's
}

// storedVersion leaves out what can be told from the function, or from the version
// before it.
type storedVersion struct {
	Number       string      `json:"number"`
	Revision     string      `json:"revision"`
	LastModified time.Time   `json:"lastModified"`
	Code         hearth.Code `json:"code"`
	Description  string      `json:"description,omitempty"`
	Origin       string      `json:"origin,omitempty"`
	// Config has no description; nil means that of the version before.
	Config *hearth.Config `json:"config,omitempty"`
}

// identityOf is the identity of what was made with a revision.
func identityOf(function, revision string) string { return function + "@" + revision }

func encode(f *hearth.Function) ([]byte, error) {
	rec := record{Function: f, Versions: make([]storedVersion, len(f.Versions))}
	var before *hearth.Config
	for i, v := range f.Versions {
		config := v.Config
		config.Description = ""
		rec.Versions[i] = storedVersion{
			Number: v.Number, Revision: v.Revision, LastModified: v.LastModified, Code: v.Code,
			Description: v.Config.Description, Origin: v.Origin,
		}
		if before == nil || !config.Equal(before) {
			rec.Versions[i].Config = &config
			before = &config
		}
	}
	return json.Marshal(rec)
}

func decode(e store.Entry) (*hearth.Function, error) {
	f := new(hearth.Function)
	rec := record{Function: f}
	if err := json.Unmarshal(e.Value, &rec); err != nil {
		return nil, err
	}
	if f.Name != e.Key || f.Latest.Function != e.Key {
		return nil, fmt.Errorf("it is that of %q", f.Name)
	}
	var config *hearth.Config
	for i := range rec.Versions {
		s := &rec.Versions[i]
		if s.Config != nil {
			config = s.Config
		}
		if config == nil {
			return nil, fmt.Errorf("version %s has no configuration", s.Number)
		}
		v := &hearth.Version{
			Function: f.Name, Number: s.Number, Revision: s.Revision, Identity: identityOf(f.Name, s.Revision),
			LastModified: s.LastModified, Code: s.Code, Config: *config, Origin: s.Origin,
		}
		v.Config.Description = s.Description
		f.Versions = append(f.Versions, v)
	}
	return f, nil
}
