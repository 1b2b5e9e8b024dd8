package sigv4

import (
	"fmt"
	"strings"
)

// minSecret is the fewest characters that a secret may have: it is not typed but
// generated, and guessing is all that protects it.
const minSecret = 16

// ParseKeys reads access keys in the form ID:SECRET, one per line or with commas
// between them; lines that begin with # are comments. Messages never repeat a secret.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	seen := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			continue
		}
		for part := range strings.SplitSeq(line, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			id, secret, ok := strings.Cut(part, ":")
			switch {
			case !ok || id == "":
				return nil, fmt.Errorf("line %d: an access key is ID:SECRET", i+1)
			case strings.ContainsAny(id, "/=; \t"):
				return nil, fmt.Errorf("line %d: the ID of an access key has letters, digits and - _ . only", i+1)
			case len(secret) < minSecret:
				return nil, fmt.Errorf("line %d: the secret of access key %s has %d characters; give it at least %d, such as from: openssl rand -hex 20",
					i+1, id, len(secret), minSecret)
			case seen[id]:
				return nil, fmt.Errorf("line %d: access key %s is there twice", i+1, id)
			}
			seen[id] = true
			keys = append(keys, Key{id, secret})
		}
	}
	return keys, nil
}
