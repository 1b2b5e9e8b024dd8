// Package policy decides what a node does ahead of demand. Its deciders are passive, as
// the pool is: they take the time and what is, and return what should be; they start
// nothing, read no clock and know no chance. So virtual time drives the very code that
// decides in production.
//
// Prewarm says how many blank sandboxes wait for functions (design.md 5).
package policy
