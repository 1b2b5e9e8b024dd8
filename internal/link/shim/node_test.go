package shim_test

import (
	"errors"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/link/shim/shimtest"
)

// initFailure is the document of an init that failed.
func initFailure(t *testing.T, in *shimtest.Instance) hearth.FailureDoc {
	t.Helper()
	var failed *link.InitError
	if !errors.As(in.InitErr, &failed) {
		t.Fatalf("init ended with %v; want an InitError; logs: %v", in.InitErr, in.Logs())
	}
	return failed.Doc
}
