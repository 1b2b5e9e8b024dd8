package shim_test

import (
	"testing"

	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

const python = "/usr/bin/python3"

func startPython(t testing.TB, o shimtest.Options) *shimtest.Instance {
	t.Helper()
	o.Language, o.Interpreter = shim.Python, python
	if o.Handler == "" {
		o.Handler = "app.handler"
	}
	return shimtest.Start(t, o)
}

func TestPythonHello(t *testing.T) {
	in := startPython(t, shimtest.Options{Files: map[string]string{"app.py": `
def handler(event, context):
    print("hello", event)
    return {"hello": event["name"]}
`}})
	t.Log(in.Hello, in.InitErr)
	t.Log(in.Call(t, "r1", `{"name":"x"}`), in.Logs())
}
