package project

import (
	"strings"
	"testing"
)

func TestEncoding(t *testing.T) {
	if _, err := ParseServerless("serverless.yml", []byte("service: s\nprovider: aws\nfunctions: \"${env:UNSET, null}\"\n"), testOptions()); err == nil || !strings.Contains(err.Error(), "there are no functions") {
		t.Errorf("null functions: %v", err)
	}
	const good = "service: s\nprovider: {name: aws, runtime: nodejs20.x}\nfunctions: {f: {handler: index.f}}\n"
	for src, want := range map[string]string{
		"\ufeff" + good:                        "",
		strings.ReplaceAll(good, "\n", "\r\n"): "",
		good + "# \xe9t\xe9\n":                 "serverless.yml:4:1: this line is not text in UTF-8",
		"s\x00e\x00r\x00v\x00i\x00c\x00e\x00":  "serverless.yml:1:1: this line is not text in UTF-8",
		"# \u00e9t\u00e9 \ufffd\n" + good:      "",
	} {
		_, err := ParseServerless("serverless.yml", []byte(src), testOptions())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v; want %q", src, err, want)
		}
	}
}
