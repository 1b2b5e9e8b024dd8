package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hearth/internal/cli/project"
	"hearth/internal/hearth"
)

// deployFlags are the flags of deploy. Only those that were given count.
type deployFlags struct {
	name, runtime, handler   string
	memory, tmp              string
	timeout, keepAlive       string
	model, description       string
	maxConcurrency, reserved int
	provisioned              int
	freeze                   bool
	env, exclude, tags       []string
	dialect, prefix, stage   string
	service                  string
	opts                     []string
}

func (o *deployFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "the function's `name`; with several in hearth.yml, the one to deploy")
	f.StringVar(&o.runtime, "runtime", "", "what runs it: nodejs, nodejs20.x, python3, python3.12, …")
	f.StringVar(&o.handler, "handler", "", "`module.function` to call, such as index.handler")
	f.StringVar(&o.dialect, "dialect", "", "whose contract the handler follows: aws, google, azure, openwhisk, binaris, prototype or kubeless (default aws)")
	f.StringVar(&o.prefix, "prefix", "", "`text` to put before every function's name")
	f.StringVar(&o.service, "service", "", "the `name` in the declared paths /http/NAME/…, instead of the project's own")
	f.StringVar(&o.stage, "stage", "", "the `stage` that serverless.yml's ${opt:stage} and ${sls:stage} stand for")
	f.StringArrayVar(&o.opts, "opt", nil, "another option for serverless.yml's ${opt:K}, `K=V`; may be repeated")
	f.StringVar(&o.memory, "memory", "", "memory of an instance, in `MB`; processor time comes with it (default 128)")
	f.StringVar(&o.timeout, "timeout", "", "longest run of one invocation, in `seconds` or as 1m30s (default 3)")
	f.StringVar(&o.tmp, "tmp", "", "size of an instance's /tmp, in `MB` (default 512)")
	f.StringVar(&o.model, "execution-model", "", "exclusive or concurrent (default exclusive)")
	f.IntVar(&o.maxConcurrency, "max-concurrency", 0, "invocations that may share one instance, when concurrent (default 10)")
	f.StringVar(&o.keepAlive, "keep-alive", "", "how long (a `duration`) an idle instance is kept, such as 90s or 15m; 0 = not at all (default 15m)")
	f.StringArrayVar(&o.env, "env", nil, "an environment variable, `K=V`; may be repeated, adds to hearth.yml's")
	f.StringVar(&o.description, "description", "", "what it is for, in a sentence")
	f.IntVar(&o.reserved, "reserved", 0, "most `invocations` in flight at once, over all instances; 0 refuses all")
	f.IntVar(&o.provisioned, "provisioned", 0, "`invocations` at once that instances are kept ready for; 0 keeps none")
	f.BoolVar(&o.freeze, "freeze", true, "freeze idle instances; =false lets their timers go on")
	f.StringArrayVar(&o.tags, "tag", nil, "a tag, `K=V`; may be repeated, adds to hearth.yml's")
	f.StringArrayVar(&o.exclude, "exclude", nil, "a `pattern` of files to leave out; may be repeated, adds to hearth.yml's")
	must(cmd.RegisterFlagCompletionFunc("execution-model", cobra.FixedCompletions(
		[]string{string(hearth.Exclusive), string(hearth.Concurrent)}, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("dialect", cobra.FixedCompletions(hearth.Dialects(), cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions(hearth.Runtimes(), cobra.ShellCompDirectiveNoFileComp)))
}

// apply lets the flags win.
func (o *deployFlags) apply(f *project.Function, flags *pflag.FlagSet) error {
	p := &f.Patch
	given := flags.Changed
	if given("runtime") {
		p.Runtime = &o.runtime
	}
	if given("handler") {
		p.Handler = &o.handler
	}
	if given("dialect") {
		dialect, err := hearth.ParseDialect(o.dialect)
		if err != nil {
			return usagef("--dialect: there is no %q%s; there are %s", o.dialect, hearth.Hint(o.dialect, hearth.Dialects()), strings.Join(hearth.Dialects(), ", "))
		}
		p.Dialect = &dialect
	}
	if given("description") {
		p.Description = &o.description
	}
	if given("reserved") {
		if o.reserved < 0 {
			return usagef("--reserved %d must be 0 or more", o.reserved)
		}
		f.Reserved = &o.reserved
	}
	if given("provisioned") {
		if o.provisioned < 0 {
			return usagef("--provisioned %d must be 0 or more", o.provisioned)
		}
		f.Provisioned = &o.provisioned
	}
	if given("freeze") {
		p.Freeze = &o.freeze
	}
	f.Exclude = append(slices.Clone(f.Exclude), o.exclude...)
	if given("execution-model") {
		model := hearth.Model(o.model)
		if model != hearth.Exclusive && model != hearth.Concurrent {
			return usagef("--execution-model %q is neither exclusive nor concurrent", o.model)
		}
		p.Model = &model
	}
	if given("max-concurrency") {
		p.MaxConcurrency = &o.maxConcurrency
		if !given("execution-model") && o.maxConcurrency > 1 {
			model := hearth.Concurrent
			p.Model = &model
		}
	}
	if err := o.applySizes(f, given); err != nil {
		return err
	}
	if err := pairs("--env", o.env, func(k, v string) { setPair(&p.Env, k, v) }); err != nil {
		return err
	}
	tags := &f.Tags
	return pairs("--tag", o.tags, func(k, v string) {
		if *tags == nil {
			*tags = map[string]string{}
		}
		(*tags)[k] = v
	})
}

// applySizes reads the flags that have units.
func (o *deployFlags) applySizes(f *project.Function, given func(string) bool) error {
	p := &f.Patch
	for _, m := range []struct {
		flag, text string
		field      **int
	}{{"memory", o.memory, &p.MemoryMB}, {"tmp", o.tmp, &p.TmpMB}} {
		if !given(m.flag) {
			continue
		}
		n, ok := project.ParseMB(m.text)
		if !ok {
			return usagef("--%s %q is not a number of MB, such as 256, 256MB or 1GB", m.flag, m.text)
		}
		*m.field = &n
	}
	for _, s := range []struct {
		flag, text string
		field      **time.Duration
	}{{"timeout", o.timeout, &p.Timeout}, {"keep-alive", o.keepAlive, &p.KeepAlive}} {
		if !given(s.flag) {
			continue
		}
		d, ok := project.ParseSpan(s.text)
		if !ok || d < 0 {
			return usagef("--%s %q is not a number of seconds, nor a length of time such as 90s or 15m", s.flag, s.text)
		}
		if s.flag == "keep-alive" && d == 0 {
			d = hearth.NoKeepAlive
		}
		*s.field = &d
	}
	return nil
}

func setPair(m **map[string]string, key, value string) {
	if *m == nil {
		*m = &map[string]string{}
	}
	(**m)[key] = value
}

// pairs reads K=V flags.
func pairs(flag string, texts []string, set func(k, v string)) error {
	for _, text := range texts {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" {
			return usagef("%s %q is not of the form KEY=VALUE", flag, text)
		}
		set(k, v)
	}
	return nil
}
