package hearth

import (
	"maps"
	"time"
)

// ConfigPatch is a change of a Config: nil fields stay as they are, all others are
// set, zero values too (Lambda API, UpdateFunctionConfiguration). Env is replaced as
// a whole. A KeepAlive of zero is NoKeepAlive.
type ConfigPatch struct {
	Description      *string            `json:"description,omitempty"`
	Role             *string            `json:"role,omitempty"`
	Runtime          *string            `json:"runtime,omitempty"`
	Handler          *string            `json:"handler,omitempty"`
	Dialect          *Dialect           `json:"dialect,omitempty"` // "aws" or "" for AWS
	MemoryMB         *int               `json:"memoryMB,omitempty"`
	Timeout          *time.Duration     `json:"timeout,omitempty"`
	TmpMB            *int               `json:"tmpMB,omitempty"`
	KeepAlive        *time.Duration     `json:"keepAlive,omitempty"`
	Freeze           *bool              `json:"freeze,omitempty"`
	Model            *Model             `json:"model,omitempty"`
	MaxConcurrency   *int               `json:"maxConcurrency,omitempty"`
	CapacityProvider *string            `json:"capacityProvider,omitempty"`
	Env              *map[string]string `json:"env,omitempty"`
	LogFormat        *string            `json:"logFormat,omitempty"`
	LogLevel         *string            `json:"logLevel,omitempty"`
}

// Apply makes the change in c. It checks nothing: call c.Validate afterwards. To make
// a new Config, Normalize an empty one and Apply a patch to it: then a zero that the
// caller wrote is refused, and one that they left out is the default.
func (p *ConfigPatch) Apply(c *Config) {
	set(&c.Description, p.Description)
	set(&c.Role, p.Role)
	set(&c.Runtime, p.Runtime)
	set(&c.Handler, p.Handler)
	set(&c.Dialect, p.Dialect)
	if c.Dialect == dialectAWS {
		c.Dialect = AWS
	}
	set(&c.MemoryMB, p.MemoryMB)
	set(&c.Timeout, p.Timeout)
	set(&c.TmpMB, p.TmpMB)
	set(&c.KeepAlive, p.KeepAlive)
	if p.KeepAlive != nil && *p.KeepAlive == 0 {
		c.KeepAlive = NoKeepAlive
	}
	if p.Freeze != nil {
		c.NoFreeze = !*p.Freeze
	}
	set(&c.Model, p.Model)
	set(&c.MaxConcurrency, p.MaxConcurrency)
	set(&c.CapacityProvider, p.CapacityProvider)
	if p.Env != nil {
		c.Env = maps.Clone(*p.Env)
	}
	set(&c.LogFormat, p.LogFormat)
	set(&c.LogLevel, p.LogLevel)
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// SameInstances tells whether instances made for c serve d as well: nothing differs
// that an instance, or the pool that keeps it, could notice.
func (c *Config) SameInstances(d *Config) bool {
	a, b := *c, *d
	a.Description, b.Description = "", ""
	a.Role, b.Role = "", ""
	a.CapacityProvider, b.CapacityProvider = "", ""
	return a.Equal(&b)
}

// Equal tells whether c and d are the same configuration; no environment and an empty
// one are.
func (c *Config) Equal(d *Config) bool {
	return c.Description == d.Description && c.Role == d.Role &&
		c.Runtime == d.Runtime && c.Handler == d.Handler && c.Dialect.Name() == d.Dialect.Name() &&
		c.MemoryMB == d.MemoryMB && c.Timeout == d.Timeout && c.TmpMB == d.TmpMB &&
		c.CapacityProvider == d.CapacityProvider && c.KeepAlive == d.KeepAlive && c.NoFreeze == d.NoFreeze && c.Model == d.Model && c.MaxConcurrency == d.MaxConcurrency &&
		c.LogFormat == d.LogFormat && c.LogLevel == d.LogLevel && maps.Equal(c.Env, d.Env)
}
