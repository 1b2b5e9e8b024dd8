package hearth

import (
	"slices"
	"strings"
)

// Dialect is the contract between a handler and what calls it: what it is given, and
// how it answers. The zero Dialect is AWS; ask Name for its word.
type Dialect string

const (
	// AWS is AWS Lambda's handler(event, context).
	AWS Dialect = ""
	// Google is Cloud Functions: (req, res), background functions and CloudEvents.
	Google Dialect = "google"
	// Azure is Azure Functions: (context, req), or app.http of its v4 model.
	Azure Dialect = "azure"
	// OpenWhisk is Apache OpenWhisk's main(params).
	OpenWhisk Dialect = "openwhisk"
	// Binaris is handler(body, ctx) of Binaris (seed 001).
	Binaris Dialect = "binaris"
	// Prototype is input => output of seed 004's prototype.
	Prototype Dialect = "prototype"
	// Kubeless is name(event, context), with event.data, of Kubeless.
	Kubeless Dialect = "kubeless"
)

// dialectAWS is how AWS is written where the empty word would tell nothing.
const dialectAWS = "aws"

// Name is the dialect's word, "aws" for the zero Dialect.
func (d Dialect) Name() string {
	if d == AWS {
		return dialectAWS
	}
	return string(d)
}

// Dialects lists the words that ParseDialect accepts.
func Dialects() []string {
	return []string{dialectAWS, string(Google), string(Azure), string(OpenWhisk), string(Binaris), string(Prototype), string(Kubeless)}
}

// ParseDialect is the dialect that name stands for; "" and "aws" are AWS. The error is
// an *Error with ErrInvalid, which says what was probably meant.
func ParseDialect(name string) (Dialect, error) {
	if name == "" || name == dialectAWS {
		return AWS, nil
	}
	if slices.Contains(Dialects(), name) {
		return Dialect(name), nil
	}
	return AWS, Errorf(ErrInvalid, "1 validation error detected: Value '%s' at 'dialect' failed to satisfy constraint: %sMember must satisfy enum value set: [%s]",
		clip(name), meant(name, Dialects()), strings.Join(Dialects(), ", "))
}

// meant is "Did you mean x? ", or "" when nothing is near.
func meant(word string, candidates []string) string {
	if near := Nearest(word, candidates); near != "" {
		return "Did you mean " + near + "? "
	}
	return ""
}
