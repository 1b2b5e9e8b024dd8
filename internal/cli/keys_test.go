package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAccessKeys(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const secret = "0123456789abcdef"
	good, open, empty := file("good", "# ours\nA:"+secret+"\n", 0o600), file("open", "A:"+secret, 0o604), file("empty", "# none\n", 0o600)
	for _, c := range []struct {
		name, env string
		keys      accessKeys
		want      string // IDs, or words of the error
	}{
		{"none", "", accessKeys{}, ""},
		{"all", "B:" + secret + ",C:" + secret, accessKeys{[]string{"D:" + secret}, good}, "D B C A"},
		{"twice", "A:" + secret, accessKeys{nil, good}, "access key A is in $HEARTH_ACCESS_KEYS too"},
		{"short", "", accessKeys{[]string{"A:hush"}, ""}, "--access-key: line 1: the secret of access key A has 4 characters"},
		{"readable", "", accessKeys{nil, open}, "chmod 600"},
		{"empty file", "", accessKeys{nil, empty}, "holds no access key"},
		{"empty variable", " ", accessKeys{}, "$HEARTH_ACCESS_KEYS holds no access key"},
		{"no file", "", accessKeys{nil, filepath.Join(dir, "nosuch")}, "no such file"},
	} {
		keys, err := c.keys.read(func(string) string { return c.env })
		var ids []string
		for _, k := range keys {
			ids = append(ids, k.ID)
		}
		got := strings.Join(ids, " ")
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != c.want || err != nil && (c.want == "" || !strings.Contains(got, c.want) || strings.Contains(got, "hush")) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSigner(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{}, ""},
		{map[string]string{EnvAccessKeyID: "h", EnvSecretKey: "s", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, "h"},
		{map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, "a"},
		{map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}, ""},
		{map[string]string{EnvAccessKeyID: "h"}, ""},
	} {
		got := ""
		if s := signer(func(name string) string { return c.env[name] }); s != nil {
			got = s.Key.ID
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.env, got, c.want)
		}
	}
}
