package hearth

import (
	"regexp"
	"slices"
	"strings"
)

// Languages that a runtime's name can stand for.
const (
	LangNode   = "nodejs"
	LangPython = "python"
	// LangCustom is any language: the function's own executable speaks the Runtime API.
	LangCustom = "provided"
)

// The names that Language accepts. Old and vendors' short forms stand for the same
// language: the node's own interpreter runs them all.
var (
	nodeRuntimes = []string{
		"nodejs24.x", "nodejs22.x", "nodejs20.x", "nodejs18.x", "nodejs16.x", "nodejs14.x",
		"nodejs12.x", "nodejs10.x", "nodejs8.10", "nodejs6.10", "nodejs4.3", "nodejs", "node",
	}
	pythonRuntimes = []string{
		"python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9",
		"python3.8", "python3.7", "python3.6", "python3", "python",
	}
	// go1.x names its executable by the handler; the others call it bootstrap.
	customRuntimes = []string{"provided.al2023", "provided.al2", "provided", "go1.x"}
	// nodejs20, python312: Google's spelling.
	nodeShort   = regexp.MustCompile(`^nodejs(4|6|8|10|12|14|16|18|20|22|24)$`)
	pythonShort = regexp.MustCompile(`^python3([6-9]|1[0-4])$`)
)

// laterRuntimes are families that Hearth knows and has no runtime for.
var laterRuntimes = []struct {
	pattern *regexp.Regexp
	what    string
}{
	{regexp.MustCompile(`^go(lang|1|$)`), "Go"},
	{regexp.MustCompile(`^java([0-9]|$)`), "Java"},
	{regexp.MustCompile(`^dotnet`), ".NET"},
	{regexp.MustCompile(`^ruby`), "Ruby"},
}

// nicknames are words that people use for a runtime.
var nicknames = map[string]string{"js": "nodejs", "javascript": "nodejs", "py": "python"}

// Runtimes lists the runtime names that Hearth runs, newest first, one language
// after the other.
func Runtimes() []string { return slices.Concat(nodeRuntimes, pythonRuntimes, customRuntimes) }

// Language is the language that a runtime's name stands for, LangNode, LangPython or
// LangCustom. The error is an *Error with ErrInvalid: it says which families are
// not offered yet, and for a slip of the pen what was probably meant.
func Language(runtime string) (string, error) {
	switch {
	case slices.Contains(nodeRuntimes, runtime) || nodeShort.MatchString(runtime):
		return LangNode, nil
	case slices.Contains(pythonRuntimes, runtime) || pythonShort.MatchString(runtime):
		return LangPython, nil
	case slices.Contains(customRuntimes, runtime):
		return LangCustom, nil
	case runtime == "python2.7" || runtime == "python27" || runtime == "python2":
		return "", Errorf(ErrInvalid, "Runtime %s is not offered: Hearth runs Python 3 only. Port the code and use python3.12.", runtime)
	}
	for _, later := range laterRuntimes {
		if later.pattern.MatchString(runtime) {
			return "", Errorf(ErrInvalid, "Runtime %s is not offered: Hearth has no %s of its own. Put an executable named bootstrap that speaks the Runtime API into the archive, and use provided.al2023.", clip(runtime), later.what)
		}
	}
	meant, near := "", nicknames[strings.ToLower(runtime)]
	if near == "" {
		near = Nearest(runtime, Runtimes())
	}
	if near != "" {
		meant = "Did you mean " + near + "? "
	}
	return "", Errorf(ErrInvalid, "1 validation error detected: Value '%s' at 'runtime' failed to satisfy constraint: %sMember must satisfy enum value set: [%s]",
		clip(runtime), meant, strings.Join(Runtimes(), ", "))
}
