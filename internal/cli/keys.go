package cli

import (
	"fmt"
	"os"

	"hearth/internal/hearth"
	"hearth/internal/sigv4"
)

// Environment variables with access keys: all that a platform accepts, and the one that
// the other commands sign with.
const (
	EnvAccessKeys  = "HEARTH_ACCESS_KEYS"
	EnvAccessKeyID = "HEARTH_ACCESS_KEY_ID"
	EnvSecretKey   = "HEARTH_SECRET_ACCESS_KEY"
)

// accessKeys is where a platform's keys come from.
type accessKeys struct {
	flags []string
	file  string
}

// read gathers the keys of all sources. A source that is given and holds no key is an
// error: an owner who asked for a lock is not to get an open door.
func (k *accessKeys) read(getenv func(string) string) ([]sigv4.Key, error) {
	type source struct{ name, text string }
	var sources []source
	for _, text := range k.flags {
		sources = append(sources, source{"--access-key", text})
	}
	if text := getenv(EnvAccessKeys); text != "" {
		sources = append(sources, source{"$" + EnvAccessKeys, text})
	}
	if k.file != "" {
		text, err := readPrivate(k.file)
		if err != nil {
			return nil, fmt.Errorf("--access-keys-file: %w", err)
		}
		sources = append(sources, source{"--access-keys-file " + k.file, text})
	}
	var all []sigv4.Key
	from := map[string]string{}
	for _, s := range sources {
		keys, err := sigv4.ParseKeys(s.text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", s.name, err)
		case len(keys) == 0:
			return nil, fmt.Errorf("%s holds no access key: write ID:SECRET", s.name)
		}
		for _, key := range keys {
			if other := from[key.ID]; other != "" {
				return nil, fmt.Errorf("%s: access key %s is in %s too", s.name, key.ID, other)
			}
			from[key.ID] = s.name
		}
		all = append(all, keys...)
	}
	return all, nil
}

// readPrivate reads a file that not everybody on this machine may read.
func readPrivate(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o004 != 0 {
		return "", fmt.Errorf("everybody on this machine may read %s. To keep it secret: chmod 600 %s", name, name)
	}
	text, err := os.ReadFile(name)
	return string(text), err
}

// signer signs with the credentials of the environment, Hearth's before AWS's; nil
// without any. Temporary ones of AWS's, which come with a token, are not for us.
func signer(getenv func(string) string) *sigv4.Signer {
	key := sigv4.Key{ID: getenv(EnvAccessKeyID), Secret: getenv(EnvSecretKey)}
	if (key.ID == "" || key.Secret == "") && getenv("AWS_SESSION_TOKEN") == "" {
		key = sigv4.Key{ID: getenv("AWS_ACCESS_KEY_ID"), Secret: getenv("AWS_SECRET_ACCESS_KEY")}
	}
	if key.ID == "" || key.Secret == "" {
		return nil
	}
	return &sigv4.Signer{Key: key, Region: hearth.DefaultRegion, Service: "lambda"}
}

// keyWords tells a person what to do about a refused signature.
func keyWords(exception string) string {
	switch exception {
	case sigv4.MissingToken:
		return ". This platform wants signed requests: set $" + EnvAccessKeyID + " and $" + EnvSecretKey + "."
	case sigv4.Unrecognized, sigv4.Invalid:
		if exception == sigv4.Unrecognized {
			return " The platform does not know the access key in $" + EnvAccessKeyID + " (or $AWS_ACCESS_KEY_ID)."
		}
		return " See $" + EnvSecretKey + " (or $AWS_SECRET_ACCESS_KEY), and this machine's clock."
	}
	return ""
}
