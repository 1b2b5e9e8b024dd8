package cli

import (
	"regexp"
	"testing"

	"github.com/cockroachdb/datadriven"
)

var sizeWords = regexp.MustCompile(`, [0-9.]+ (bytes|KB|MB)`)

// What deploy says about a folder written for another platform: testdata/projects. The
// folders are project/testdata's.
func TestDeployProjects(t *testing.T) {
	datadriven.RunTest(t, "testdata/projects", func(t *testing.T, d *datadriven.TestData) string {
		p := newTestPlatform(t)
		args := []string{"deploy"}
		for i, a := range d.CmdArgs {
			if i == 0 {
				args = append(args, "project/testdata/"+a.Key)
				continue
			}
			args = append(args, a.Key)
			args = append(args, a.Vals...)
		}
		stdout, stderr, exit := run{endpoint: p.URL, tty: true}.do(t, args...)
		if exit != 0 {
			return "exit " + string(rune('0'+exit)) + "\n" + stderr
		}
		clean := regexp.MustCompile(regexp.QuoteMeta(p.URL)).ReplaceAllString(stdout+stderr, "http://127.0.0.1:9000")
		return sizeWords.ReplaceAllString(clean, ", SIZE")
	})
}
