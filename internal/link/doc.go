// Package link carries invocations between Hearth and a sandbox: length-prefixed
// frames on one stream socket, multiplexed by invocation and batched in both
// directions. The host trusts nothing that arrives: every field is bounded and
// checked, and whatever a shim does wrong harms only its own instance.
package link
