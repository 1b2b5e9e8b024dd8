package project

import (
	"io/fs"
	"regexp"
	"strings"
)

// dotenvLine is NAME=VALUE, as a shell would read it.
var dotenvLine = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$`)

// dotenv reads the folder's .env files for a stage (useDotenv of the Serverless
// Framework). Of several that set a variable, the most particular one counts.
func dotenv(folder fs.FS, stage string) map[string]string {
	values := map[string]string{}
	for _, name := range []string{".env." + stage + ".local", ".env.local", ".env." + stage, ".env"} {
		src, err := fs.ReadFile(folder, name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(src)) {
			m := dotenvLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			if _, set := values[m[1]]; !set {
				values[m[1]] = dotenvValue(m[2])
			}
		}
	}
	return values
}

// dotenvValue takes quotes and comments away.
func dotenvValue(s string) string {
	if len(s) >= 2 && s[0] == '\'' {
		if end := strings.IndexByte(s[1:], '\''); end >= 0 {
			return s[1 : 1+end]
		}
	}
	if len(s) >= 2 && s[0] == '"' {
		if end := strings.IndexByte(s[1:], '"'); end >= 0 {
			return strings.ReplaceAll(s[1:1+end], `\n`, "\n")
		}
	}
	if strings.HasPrefix(s, "#") {
		return ""
	}
	bare, _, _ := strings.Cut(s, " #")
	return strings.TrimSpace(bare)
}
