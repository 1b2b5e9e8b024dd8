// Package e2e starts the real binary and uses it as people do: over HTTP and by its
// command line. It has tests only.
package e2e
