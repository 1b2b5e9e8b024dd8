package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/hearth"
)

// function is what the platform tells about a function (GET /hearth/v1/functions/NAME).
type function struct {
	Name      string               `json:"name"`
	Latest    version              `json:"latest"`
	Tags      map[string]string    `json:"tags"`
	Reserved  *int                 `json:"reserved"`
	Created   time.Time            `json:"created"`
	Instances int                  `json:"instances"` // alive now
	State     hearth.FunctionState `json:"state"`
	Published int                  `json:"published"` // the number of the newest version
	Aliases   []hearth.Alias       `json:"aliases"`
	Async     *asyncDoc            `json:"async"`
	Triggers  []hearth.Trigger     `json:"triggers"`
	Routes    []hearth.HTTPRoute   `json:"routes,omitempty"`

	Provisioned []hearth.ProvisionInfo `json:"provisioned,omitempty"`
}

// version is a function's code and configuration.
type version struct {
	Number       string      `json:"number"`
	Revision     string      `json:"revision"`
	LastModified time.Time   `json:"lastModified"`
	Code         hearth.Code `json:"code"`
	Config       config      `json:"config"`
}

// config is hearth.Config with lengths of time as people write them.
type config struct {
	Description    string            `json:"description,omitempty"`
	Runtime        string            `json:"runtime"`
	Handler        string            `json:"handler"`
	Dialect        string            `json:"dialect"`
	MemoryMB       int               `json:"memoryMB"`
	Timeout        span              `json:"timeout"`
	TmpMB          int               `json:"tmpMB"`
	KeepAlive      span              `json:"keepAlive"`
	Freeze         *bool             `json:"freeze,omitempty"` // nil means true
	Model          hearth.Model      `json:"model"`
	MaxConcurrency int               `json:"maxConcurrency"`
	Env            map[string]string `json:"env,omitempty"`
}

// handlerWords is the handler, with its dialect where that is not Lambda's.
func (c *config) handlerWords() string {
	if c.Dialect == "" || c.Dialect == hearth.AWS.Name() {
		return c.Handler
	}
	return c.Handler + " (" + c.Dialect + ")"
}

// modelWords says in a sentence what the execution model means.
func (c *config) modelWords() string {
	if c.Model == hearth.Concurrent {
		return fmt.Sprintf("concurrent: up to %d invocations share one instance; another starts when all are full", c.MaxConcurrency)
	}
	return "exclusive: every invocation has an instance to itself while it runs"
}

// modelShort says it in a table.
func (c *config) modelShort() string {
	if c.Model == hearth.Concurrent {
		return fmt.Sprintf("concurrent ×%d", c.MaxConcurrency)
	}
	return string(hearth.Exclusive)
}

// keepAliveWords is the idle lifetime; there may be none at all.
func (c *config) keepAliveWords() string {
	if time.Duration(c.KeepAlive) <= 0 {
		return "none"
	}
	return spanWords(c.KeepAlive)
}

func functionPath(name string) string { return "/hearth/v1/functions/" + url.PathEscape(name) }

// functionURL is where a function answers.
func (c *client) functionURL(name string) string { return c.base + "/fn/" + name + "/" }

func (c *client) functions(ctx context.Context) ([]function, error) {
	var list struct {
		Functions []function `json:"functions"`
	}
	_, err := c.call(ctx, http.MethodGet, "/hearth/v1/functions", nil, &list)
	return list.Functions, err
}

// function gets one function; an unknown name is an error with a suggestion.
func (c *client) function(ctx context.Context, name string) (function, error) {
	var f function
	_, err := c.call(ctx, http.MethodGet, functionPath(name), nil, &f)
	return f, c.explainMissing(ctx, name, err)
}

// explainMissing adds to the platform's 404 what was probably meant, or what there is.
func (c *client) explainMissing(ctx context.Context, name string, err error) error {
	if statusOf(err) != http.StatusNotFound {
		return err
	}
	bare, _, _ := strings.Cut(name, ":")
	list, listErr := c.functions(ctx)
	if listErr != nil {
		return err
	}
	names := functionNames(list)
	for _, n := range names {
		if n == bare { // it is not the function that is missing
			return err
		}
	}
	way := "See what there is: hearth list"
	if n := hearth.Nearest(bare, names); n != "" {
		way = "Did you mean " + n + "?"
	} else if len(names) == 0 {
		way = "Nothing is deployed yet. Deploy one with: hearth deploy DIR"
	}
	return &failure{ExitNotFound, fmt.Errorf("there is no function %q at %s. %s", bare, c.base, way)}
}

func functionNames(list []function) []string {
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.Name
	}
	return names
}

// completeFunctions offers the names of the platform's functions that are not among
// args yet; most bounds how many a command takes (0 = any number).
func (a *app) completeFunctions(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := a.client()
		if err != nil || (most > 0 && len(args) >= most) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		list, err := c.functions(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, f := range list {
			if !slices.Contains(args, f.Name) {
				names = append(names, cobra.CompletionWithDesc(f.Name, f.Latest.Config.modelShort()))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
