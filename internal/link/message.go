package link

import (
	"encoding/json"
	"unicode/utf8"

	"hearth/internal/hearth"
)

// protocolVersion is the one version of the protocol there is so far.
const protocolVersion = 1

// Bounds on what a shim tells about itself, in bytes.
const (
	maxHello   = 4 << 10
	maxReady   = 4 << 10
	maxRuntime = 128
)

// Hello is what a shim says first: that it runs and waits for Init.
type Hello struct {
	Protocol int    `json:"protocol"`
	Runtime  string `json:"runtime"` // e.g. "nodejs20.20.2"; at most 128 bytes
	PID      int    `json:"pid"`     // as seen from inside
}

// Init tells a waiting shim what function it is from now on.
type Init struct {
	Handler          string            `json:"handler"`
	Dialect          string            `json:"dialect"`  // a hearth.Dialect's name: "aws", "google", …
	TaskRoot         string            `json:"taskRoot"` // where the code is, as seen from inside
	Env              map[string]string `json:"env"`      // everything that the handler must see
	Model            hearth.Model      `json:"model"`
	Slots            int               `json:"slots"`
	Function         string            `json:"function"`
	Version          string            `json:"version"`
	MemoryMB         int               `json:"memoryMB"`
	ARN              string            `json:"arn"`
	LogGroup         string            `json:"logGroup"`
	LogStream        string            `json:"logStream"`
	MaxResponseBytes int               `json:"maxResponseBytes"`
}

func parseHello(body []byte) (Hello, error) {
	var hello Hello
	if len(body) > maxHello {
		return hello, violation("HELLO of %d bytes; at most %d are allowed", len(body), maxHello)
	}
	if err := json.Unmarshal(body, &hello); err != nil {
		return hello, violation("HELLO is not the JSON it must be: %v", err)
	}
	if hello.Protocol != protocolVersion {
		return hello, violation("the shim speaks version %d of the protocol, Hearth speaks %d", hello.Protocol, protocolVersion)
	}
	if len(hello.Runtime) > maxRuntime || !utf8.ValidString(hello.Runtime) {
		return hello, violation("the shim's name is longer than %d bytes or not UTF-8", maxRuntime)
	}
	return hello, nil
}

func parseInitError(body []byte) (*InitError, error) {
	e := &InitError{}
	if err := json.Unmarshal(body, &e.Doc); err != nil {
		return nil, violation("INIT_ERROR is not the JSON it must be: %v", err)
	}
	e.Raw = append([]byte(nil), body...)
	return e, nil
}
