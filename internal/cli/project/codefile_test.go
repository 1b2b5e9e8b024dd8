package project

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A handler whose file is not there is told before anything is deployed.
func TestHandlersWithoutAFile(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"serverless.yml", "service: s\nprovider: {name: aws, runtime: nodejs20.x}\nfunctions:\n  f: {handler: src/here.f}\n  g: {handler: src/gone.f}\n",
			"serverless.yml:5:3: the handler src/gone.f of g leads to src/gone.js, src/gone.mjs or src/gone.cjs, which is not there"},
		{"serverless.yml", "service: s\nprovider: {name: aws, runtime: python3.12}\nfunctions: {f: {handler: pkg.mod.f}, g: {handler: pkg/other.f}}\n",
			"serverless.yml:3:38: the handler pkg/other.f of g leads to pkg/other.py, which is not there"},
		{"serverless.yml", "service: s\nprovider: {name: aws, runtime: nodejs20.x}\nfunctions: ['${file(more.yml)}']\n", "more.yml:1:1: the handler gone.f of h"},
		{"binaris.yml", "functions:\n  f: {file: gone.js, entrypoint: go}\n", "binaris.yml:2:3: the handler gone.go of f"},
		{"serverless.yml", "service: s\nprovider: {name: aws, runtime: nodejs20.x}\nfunctions: {f: {handler: src/here.f}, g: {handler: src.f}, h: {handler: typed.f}, i: {handler: dep/sub.f}}\n", ""},
		{"serverless.yml", "service: s\nprovider: {name: aws, runtime: provided.al2023}\nfunctions: {f: {handler: any.thing}}\n", ""},
		{"serverless.yml", "service: s\nprovider: {name: google, runtime: nodejs20}\nfunctions: {f: {handler: src}}\n", "leads to index.js"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{c.file: c.text, "src/here.js": "", "pkg/mod.py": "", "typed.ts": "",
			"package.json": `{"dependencies": {"dep": "1"}}`, "more.yml": "h:\n  handler: gone.f\n"} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Read(dir, Options{})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s\n%v", c.text, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}
