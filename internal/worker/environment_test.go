package worker

import (
	"testing"

	"hearth/internal/hearth"
)

// The settings of the log are variables as Lambda has them, and win over the owner's;
// without them the owner's stand.
func TestEnvironmentOfTheLog(t *testing.T) {
	w := &Worker{}
	v := &hearth.Version{Function: "f", Number: "1"}
	v.Config.Normalize()
	v.Config.Env = map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "TRACE"}
	env := w.environment(v, "i", "s", place{})
	if env["AWS_LAMBDA_LOG_FORMAT"] != "JSON" || env["AWS_LAMBDA_LOG_LEVEL"] != "TRACE" {
		t.Errorf("the owner's variables: %v", env)
	}
	v.Config.LogFormat, v.Config.LogLevel = hearth.LogJSON, "ERROR"
	if env = w.environment(v, "i", "s", place{}); env["AWS_LAMBDA_LOG_LEVEL"] != "ERROR" {
		t.Errorf("the level is %s", env["AWS_LAMBDA_LOG_LEVEL"])
	}
	v.Config.Env, v.Config.LogFormat, v.Config.LogLevel = nil, "", ""
	if _, set := w.environment(v, "i", "s", place{})["AWS_LAMBDA_LOG_FORMAT"]; set {
		t.Error("a format that nobody has chosen")
	}
}
