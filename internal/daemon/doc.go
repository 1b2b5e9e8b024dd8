// Package daemon is the composition root: it builds every room, starts them in order,
// and stops them in reverse order. Nothing else knows all of them.
package daemon
