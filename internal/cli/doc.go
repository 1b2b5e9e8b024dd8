// Package cli is what a person types: hearth up, deploy, invoke, logs and the rest.
// But for up, which the composition root supplies, every command talks to a platform
// over HTTP like any other client, and knows nothing of what is behind it.
package cli
