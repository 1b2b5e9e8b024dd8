package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"hearth/internal/cli/project"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md anew")

const reference = "../../docs/reference"

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(reference, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// docs/reference/cli.md is what --help says, on one page.
func TestReferenceOfCommands(t *testing.T) {
	root := New(Options{Getenv: func(string) string { return "" }})
	root.InitDefaultCompletionCmd()
	var b strings.Builder
	b.WriteString("# Commands\n\n<!-- Written by: make docs. Change the commands in internal/cli, not this page. -->\n\n")
	fmt.Fprintf(&b, "%s\n\n", root.Long)
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "%s", g.Title)
		for _, c := range root.Commands() {
			if c.GroupID == g.ID {
				fmt.Fprintf(&b, " [%s](#hearth-%s)", c.Name(), c.Name())
			}
		}
		b.WriteString("\n\n")
	}
	fmt.Fprintf(&b, "Flags of every command:\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	for _, c := range root.Commands() {
		if !c.Hidden {
			describeCommand(&b, c)
		}
		for _, sub := range c.Commands() {
			if !sub.Hidden && c.Name() != "completion" {
				describeCommand(&b, sub)
			}
		}
	}
	if *update {
		if err := os.WriteFile(filepath.Join(reference, "cli.md"), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if page(t, "cli.md") != b.String() {
		t.Error("docs/reference/cli.md is not what the commands say any more; write it anew with: make docs")
	}
}

func describeCommand(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n```\n%s\n```\n\n", c.CommandPath(), c.Short, c.UseLine())
	if c.Name() == "completion" {
		b.WriteString("Print the completion script of a shell: `hearth completion bash`, `zsh`, `fish` or `powershell`; each says with\n`--help` how to load it. Names of functions and instances are completed by asking the platform.\n")
		return
	}
	fmt.Fprintf(b, "%s\n", c.Long)
	if len(c.Aliases) > 0 {
		parent := c.Parent().CommandPath() + " "
		fmt.Fprintf(b, "\nAlso: `%s%s`.\n", parent, strings.Join(c.Aliases, "`, `"+parent))
	}
	if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
		fmt.Fprintf(b, "\n```\n%s```\n", flags)
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```sh\n%s\n```\n", strings.ReplaceAll("\n"+c.Example, "\n  ", "\n")[1:])
	}
}

// Every command has what a manual page needs.
func TestHelpIsComplete(t *testing.T) {
	root := New(Options{})
	all := append(root.Commands(), root)
	for _, c := range root.Commands() {
		all = append(all, c.Commands()...)
	}
	for _, c := range all {
		if c.Hidden || c.Name() == "completion" || c.Name() == "help" {
			continue
		}
		if c.Long == "" || c.Example == "" || c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("hearth %s: help needs a short line without a full stop, a long text and examples", c.Name())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len([]rune(line)) > 96 {
				t.Errorf("hearth %s: too wide for a terminal: %s", c.Name(), line)
			}
		}
	}
}

// docs/reference/exit-codes.md lists the codes that there are.
func TestReferenceOfExitCodes(t *testing.T) {
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([0-9]+) \|`).FindAllStringSubmatch(page(t, "exit-codes.md"), -1) {
		got = append(got, m[1])
	}
	var want []string
	for _, code := range []int{ExitOK, ExitFunction, ExitUsage, ExitPlatform, ExitNotFound, ExitRefused, ExitInterrupted} {
		want = append(want, fmt.Sprint(code))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page lists %v, the program has %v", got, want)
	}
}

// docs/reference/hearth.yml.md has a section for each key that the parser knows, with
// its type and default, and examples that the parser accepts.
func TestReferenceOfProjectFile(t *testing.T) {
	text := page(t, "hearth.yml.md")
	sections := map[string]string{}
	var order []string
	for _, s := range strings.Split(text, "\n### `")[1:] {
		name, rest, _ := strings.Cut(s, "`")
		rest, _, _ = strings.Cut(rest, "\n## ")
		sections[name] = rest
		order = append(order, name)
	}
	var want []string
	for _, k := range project.Keys() {
		want = append(want, k.Name)
		section := sections[k.Name]
		if says := fmt.Sprintf("Type: %s. Default: %s.", k.Type, k.Default); !strings.Contains(section, says) {
			t.Errorf("%s: the section does not say %q", k.Name, says)
		}
		if !strings.Contains(section, "\n    "+k.Name+":") {
			t.Errorf("%s: the section has no example of it", k.Name)
		}
	}
	if !slices.Equal(order, want) {
		t.Errorf("the page has sections for %v, the parser knows %v", order, want)
	}
	n := 0
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
		n++
		if _, err := project.Parse("hearth.yml", []byte(m[1])); err != nil {
			t.Errorf("an example is refused:\n%s\n%v", m[1], err)
		}
	}
	for _, name := range order {
		var example strings.Builder
		for line := range strings.Lines(sections[name]) {
			if strings.HasPrefix(line, "    ") {
				example.WriteString(line[4:])
			}
		}
		if _, err := project.Parse("hearth.yml", []byte(example.String())); err != nil {
			t.Errorf("the example of %s is refused:\n%s\n%v", name, &example, err)
		}
	}
	if n < 2 {
		t.Errorf("%d complete examples, want at least two", n)
	}
}

// The examples of the repository are what people copy.
func TestExamplesParse(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/hearth.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		functions, err := project.Load(filepath.Dir(f))
		if err != nil {
			t.Error(err)
		}
		for i := range functions {
			c := functions[i].Config()
			if err := c.Validate(); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}
