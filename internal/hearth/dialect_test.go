package hearth

import (
	"strings"
	"testing"
)

func TestParseDialect(t *testing.T) {
	for _, name := range Dialects() {
		d, err := ParseDialect(name)
		if err != nil || d.Name() != name {
			t.Errorf("ParseDialect(%q) = %q, %v", name, d, err)
		}
	}
	if d, err := ParseDialect(""); err != nil || d != AWS {
		t.Errorf(`ParseDialect("") = %q, %v`, d, err)
	}
	for slip, want := range map[string]string{"gogle": "Did you mean google?", "Azure": "Did you mean azure?", "openwisk": "Did you mean openwhisk?", "xyz": "enum value set: [aws, google"} {
		_, err := ParseDialect(slip)
		if CodeOf(err) != ErrInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDialect(%q): %v, want %q", slip, err, want)
		}
	}
}

// An instance that serves one dialect must not serve another; "aws" and the zero
// Dialect are the same one, however they came.
func TestDialectIsPartOfWhatInstancesNotice(t *testing.T) {
	a := validConfig()
	b := a.Clone()
	aws, google := Dialect("aws"), Google
	(&ConfigPatch{Dialect: &aws}).Apply(&b)
	if b.Dialect != AWS || !a.SameInstances(&b) {
		t.Errorf("aws was kept as %q", b.Dialect)
	}
	(&ConfigPatch{Dialect: &google}).Apply(&b)
	if a.SameInstances(&b) {
		t.Error("instances for aws would serve google")
	}
	if b.Dialect = "gogle"; CodeOf(b.Validate()) != ErrInvalid {
		t.Error("an unknown dialect is valid")
	}
}
