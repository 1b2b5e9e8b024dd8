package hearth

import "strings"

// A node is one region and one account. Clients want to see some, so these stand
// there unless the owner sets others; both are of the form that SDKs check for.
const (
	DefaultRegion  = "us-east-1"
	DefaultAccount = "000000000000"
)

// MaxQualifierLen is Lambda's limit for the name of a version or alias.
const MaxQualifierLen = 128

// maxRefLen is Lambda's limit for any way to name a function.
const maxRefLen = 170

// FunctionARN is the ARN of a function, of one of its versions or of an alias.
// An empty qualifier leaves the ARN unqualified.
func FunctionARN(region, account, name, qualifier string) string {
	s := "arn:aws:lambda:" + region + ":" + account + ":function:" + name
	if qualifier != "" {
		s += ":" + qualifier
	}
	return s
}

// FunctionRef is a function as a caller named it.
type FunctionRef struct {
	Name      string
	Qualifier string // version or alias; "" when the reference has none
	Region    string // "" when the reference has none
	Account   string // likewise
}

// ParseFunctionRef reads any of the forms in which Lambda's API takes a function:
//
//	name
//	name:qualifier
//	account:function:name[:qualifier]                       (partial ARN)
//	arn:aws:lambda:region:account:function:name[:qualifier] (full ARN)
//
// Region and account of an ARN are parsed, not compared with the node's own: a node
// holds one account's functions, and scripts written for another platform should
// work here unchanged. The error is an *Error with ErrInvalid.
func ParseFunctionRef(s string) (FunctionRef, error) {
	if len(s) > maxRefLen {
		return FunctionRef{}, badRef(s, "it has %d characters, at most %d are allowed", len(s), maxRefLen)
	}
	var ref FunctionRef
	rest := s
	if tail, full := strings.CutPrefix(s, "arn:"); full {
		parts := strings.SplitN(tail, ":", 6)
		if len(parts) != 6 || !isPartition(parts[0]) || parts[1] != "lambda" ||
			!isRegion(parts[2]) || !isAccount(parts[3]) || parts[4] != "function" {
			return FunctionRef{}, badRef(s, "it begins like an ARN but is not one of a function")
		}
		ref.Region, ref.Account, rest = parts[2], parts[3], parts[5]
	} else {
		ref.Region, rest = prefix(rest, isRegion)
		ref.Account, rest = prefix(rest, isAccount)
		_, rest = prefix(rest, func(p string) bool { return p == "function" })
	}
	name, qualifier, qualified := strings.Cut(rest, ":")
	if ValidateName(name) != nil {
		return FunctionRef{}, badRef(s, "a function's name is 1 to %d letters, digits, '-' and '_'", MaxNameLen)
	}
	if qualified {
		if err := ValidateQualifier(qualifier); err != nil {
			return FunctionRef{}, err
		}
	}
	ref.Name, ref.Qualifier = name, qualifier
	return ref, nil
}

// ValidateQualifier checks the name of a version or alias: $LATEST, or 1 to 128 of
// a-z, A-Z, 0-9, '-' and '_' (Lambda API). The error is an *Error with ErrInvalid.
func ValidateQualifier(q string) error {
	if q == Latest || len(q) <= MaxQualifierLen && isWord(q) {
		return nil
	}
	var v violations
	v.add("qualifier", q, "Member must satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+) (%s, or 1 to %d letters, digits, '-' and '_')", Latest, MaxQualifierLen)
	return v.err()
}

// prefix cuts s at its first colon if what is before it satisfies is and something
// is left behind it.
func prefix(s string, is func(string) bool) (head, tail string) {
	head, tail, found := strings.Cut(s, ":")
	if !found || tail == "" || !is(head) {
		return "", s
	}
	return head, tail
}

func badRef(s, format string, args ...any) *Error {
	var v violations
	v.add("functionName", s, format+
		"; write name, name:qualifier, or arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]", args...)
	return v.err().(*Error)
}

func isWord(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != ""
}

func isPartition(s string) bool { return s == "aws" || strings.HasPrefix(s, "aws-") && isWord(s) }

func isAccount(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 12
}

// isRegion accepts words such as us-east-1 and us-gov-west-1: two letters first,
// one digit last, lower-case words between.
func isRegion(s string) bool {
	words := strings.Split(s, "-")
	if len(words) < 3 || len(words) > 5 || len(words[0]) != 2 {
		return false
	}
	last := len(words) - 1
	if len(words[last]) != 1 || words[last][0] < '0' || words[last][0] > '9' {
		return false
	}
	for _, w := range words[:last] {
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return true
}
