package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/cli/project"
	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

const deployLong = `Pack a folder (or take a zip archive), send it to the platform, and say where the
function answers. A function of that name is replaced, and its instances with it:
invocations in flight finish on the old code. Otherwise it is created.

What the function is comes from hearth.yml in the folder. Flags win over it. Where
there is none, the project files of other platforms are read: serverless.yml
(providers aws, google, azure, openwhisk, prototype, kubeless), binaris.yml, and
Azure's host.json, function.json and function_app.py. What was understood is said,
and every key that was not. Without any file the name is the folder's, and runtime
and handler are guessed from the code: index.js, index.mjs or the main of
package.json; main.py, lambda_function.py or handler.py.

Where package.json names dependencies and there is no node_modules, they are
installed in a cache and packed from there; the folder itself is never written to.
The same holds for requirements.txt.

With a project's file the function becomes exactly what the file says: a key that was
taken out goes back to its default. Without one, settings that no flag mentions stay
as they are; --env and --tag then give all variables and all tags.

Paths that the file declares answer below /http/SERVICE/, where SERVICE is the
project's name: those of http and httpApi events, and /api/ROUTE of Azure's functions.
A path that another function answers already is refused, before anything is deployed.

A file may hold several functions; all are deployed. --name then picks one of
them; other flags apply to all that are deployed.

The execution model is the knob that matters. "exclusive" gives every invocation an
instance of its own while it runs, as AWS Lambda does. "concurrent" lets up to
--max-concurrency invocations share one instance: fewer cold starts, less memory, one
database connection for all, if the code can bear company.`

const deployExample = `  # everything from ./hearth.yml, or guessed
  hearth deploy

  # a project of the Serverless Framework, for its stage prod, beside another stage
  hearth deploy ./shop --stage prod --prefix prod- --service shop-prod

  # another folder, and a flag that wins over its hearth.yml
  hearth deploy examples/hello --memory 512

  # no hearth.yml at all
  hearth deploy ./resize --name resize --runtime nodejs --handler index.handler \
      --execution-model concurrent --max-concurrency 20 --env BUCKET=pictures

  # an archive that a build made
  hearth deploy dist/app.zip --name app --runtime python3.12 --handler main.handler`

// deployed is one function that deploy has put on the platform.
type deployed struct {
	Name    string `json:"name"`
	Action  string `json:"action"` // created or updated
	URL     string `json:"url"`
	Runtime string `json:"runtime"`
	Handler string `json:"handler"`
	Model   string `json:"model"`
	// MaxConcurrency is how many invocations share one instance: 1 when exclusive.
	MaxConcurrency int    `json:"maxConcurrency"`
	MemoryMB       int    `json:"memoryMB"`
	CodeBytes      int    `json:"codeBytes"`
	Files          int    `json:"files"`
	Guessed        string `json:"guessed,omitempty"`
	Dialect        string `json:"dialect"`
	// Notes say what is otherwise than the project's file has it.
	Notes  []string   `json:"notes,omitempty"`
	Routes []routeDoc `json:"routes,omitempty"`
	// Triggers run it by the clock.
	Triggers []hearth.Trigger `json:"triggers,omitempty"`
}

// routeDoc is a path that a function answers beside its own.
type routeDoc struct {
	Method  string `json:"method"`
	URL     string `json:"url"`
	Payload string `json:"payload"`
}

func (a *app) deployCommand() *cobra.Command {
	o := &deployFlags{}
	cmd := &cobra.Command{
		Use:     "deploy [DIR|ZIP]",
		Short:   "Create or update functions from a folder or an archive",
		Long:    deployLong,
		Example: deployExample,
		Args:    atMostOne("folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source := "."
			if len(args) == 1 {
				source = args[0]
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := a.planDeploy(cmd.Context(), source, o, cmd.Flags())
			if err != nil {
				return err
			}
			return a.deployAll(cmd.Context(), c, p)
		},
	}
	o.register(cmd)
	return cmd
}

// deployAll sends every plan and prints what came of each.
func (a *app) deployAll(ctx context.Context, c *client, p *planned) error {
	if err := c.checkRoutes(ctx, p); err != nil {
		return err
	}
	a.printProject(p)
	done := make([]deployed, 0, len(p.plans))
	for i := range p.plans {
		d, err := c.put(ctx, &p.plans[i])
		if err != nil {
			return fmt.Errorf("%s: %w", p.plans[i].Name, err)
		}
		done = append(done, d)
		if !a.json() {
			a.printDeployed(&d, i > 0)
		}
	}
	if a.json() {
		return a.printJSON(map[string]any{"functions": done, "project": projectDocOf(p.project)})
	}
	a.printIgnored(p.project)
	return nil
}

// checkRoutes refuses paths that another function of the platform answers already: of
// two functions with the same path only one is ever called.
func (c *client) checkRoutes(ctx context.Context, p *planned) error {
	wanted := map[string]string{} // by route: the function that declares it
	own := map[string]bool{}
	for i := range p.plans {
		own[p.plans[i].Name] = true
		for _, r := range p.plans[i].Routes {
			wanted[r.Key()] = p.plans[i].Name
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	there, err := c.functions(ctx)
	if err != nil {
		return err
	}
	for _, f := range there {
		for _, r := range f.Routes {
			if name, taken := wanted[r.Key()]; taken && !own[f.Name] {
				return usagef("%s is to answer %s, but function %s does so already. Nothing has been deployed. "+
					"Give these paths another name with --service NAME, or delete the other: hearth delete %s", name, r, f.Name, f.Name)
			}
		}
	}
	return nil
}

// put creates or updates one function (PUT /hearth/v1/functions/NAME).
func (c *client) put(ctx context.Context, p *plan) (deployed, error) {
	body := map[string]any{"config": p.wire(), "code": p.archive}
	if p.Tags != nil {
		body["tags"] = p.Tags
	}
	if p.Reserved != nil || p.fromFile {
		body["reserved"] = p.Reserved // null takes it away
	}
	if p.Provisioned != nil || p.fromFile {
		body["provisioned"] = p.Provisioned // likewise
	}
	if p.fromFile {
		body["routes"] = append([]hearth.HTTPRoute{}, p.Routes...)
		body["triggers"] = append([]hearth.Trigger{}, p.Triggers...)
		body["async"] = asyncDocOf(p.Async) // null has the defaults again
	}
	var f function
	status, err := c.call(ctx, http.MethodPut, functionPath(p.Name), body, &f)
	if err != nil {
		return deployed{}, err
	}
	k := &f.Latest.Config
	d := deployed{Name: p.Name, Action: "updated", URL: c.functionURL(p.Name), Runtime: k.Runtime, Handler: k.Handler,
		Model: string(k.Model), MaxConcurrency: 1, MemoryMB: k.MemoryMB, CodeBytes: len(p.archive), Files: p.files, Guessed: p.guessed,
		Dialect: k.Dialect, Notes: p.Notes, Triggers: p.Triggers}
	for _, r := range p.Routes {
		d.Routes = append(d.Routes, routeDoc{Method: r.Method, URL: c.base + strings.TrimPrefix(r.String(), r.Method+" "), Payload: r.Payload})
	}
	if status == http.StatusCreated {
		d.Action = "created"
	}
	if k.Model == hearth.Concurrent {
		d.MaxConcurrency = k.MaxConcurrency
	}
	return d, nil
}

func (a *app) printDeployed(d *deployed, another bool) {
	if a.format == formatTSV {
		fmt.Fprintf(a.out, "%s\t%s\t%s\n", d.Name, d.Action, d.URL)
		return
	}
	if another {
		fmt.Fprintln(a.out)
	}
	k := config{Handler: d.Handler, Dialect: d.Dialect, Model: hearth.Model(d.Model), MaxConcurrency: d.MaxConcurrency}
	fmt.Fprintf(a.out, "%s %s  %s\n", a.out.Paint(screen.Bold, d.Name), a.out.Paint(screen.Green, d.Action),
		a.out.Paint(screen.Dim, strings.Join([]string{d.Runtime, k.handlerWords(), screen.MB(d.MemoryMB), screen.Count(d.Files, "file") + ", " + screen.Bytes(int64(d.CodeBytes))}, " · ")))
	if d.Guessed != "" {
		fmt.Fprintf(a.out, "  %s\n", a.out.Paint(screen.Yellow, d.Guessed))
	}
	fmt.Fprintf(a.out, "  %s\n", k.modelWords())
	for _, note := range d.Notes {
		fmt.Fprintf(a.out, "  %s\n", a.out.Paint(screen.Yellow, note))
	}
	fmt.Fprintf(a.out, "  answers at %s\n", a.out.Paint(screen.Cyan, d.URL))
	for _, r := range d.Routes {
		fmt.Fprintf(a.out, "         and %s %s  %s\n", r.Method, a.out.Paint(screen.Cyan, r.URL), a.out.Paint(screen.Dim, "payload "+r.Payload))
	}
	for i := range d.Triggers {
		fmt.Fprintf(a.out, "  runs by trigger %s: %s\n", d.Triggers[i].Name, triggerWords(&d.Triggers[i]))
	}
}

// wire is the configuration as the platform takes it: only what is to be set, with
// lengths of time in words.
func (p *plan) wire() map[string]any {
	c := &p.Patch
	m := map[string]any{}
	put(m, "description", c.Description)
	put(m, "runtime", c.Runtime)
	put(m, "handler", c.Handler)
	put(m, "dialect", dialectName(c.Dialect))
	put(m, "memoryMB", c.MemoryMB)
	put(m, "tmpMB", c.TmpMB)
	put(m, "model", c.Model)
	put(m, "maxConcurrency", c.MaxConcurrency)
	put(m, "env", c.Env)
	put(m, "timeout", words(c.Timeout))
	put(m, "keepAlive", words(c.KeepAlive))
	put(m, "freeze", c.Freeze)
	return m
}

func dialectName(d *hearth.Dialect) *string {
	if d == nil {
		return nil
	}
	name := d.Name()
	return &name
}

func put[T any](m map[string]any, key string, value *T) {
	if value != nil {
		m[key] = *value
	}
}

// words writes a length of time; none at all (hearth.NoKeepAlive) is "0s".
func words(d *time.Duration) *string {
	if d == nil {
		return nil
	}
	s := max(*d, 0).String()
	return &s
}

// fill makes a plan from hearth.yml complete, so that what the file does not mention
// goes back to its default.
func fill(f *project.Function) {
	c := f.Config()
	p := &f.Patch
	def(&p.Description, c.Description)
	def(&p.Dialect, c.Dialect)
	def(&p.MemoryMB, c.MemoryMB)
	def(&p.Timeout, c.Timeout)
	def(&p.TmpMB, c.TmpMB)
	def(&p.KeepAlive, c.KeepAlive)
	def(&p.Freeze, !c.NoFreeze)
	def(&p.Model, c.Model)
	def(&p.MaxConcurrency, c.MaxConcurrency)
	def(&p.Env, map[string]string{})
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
}

func def[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
