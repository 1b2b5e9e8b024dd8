// Package runtimeapi lets a program that speaks AWS Lambda's Runtime API be a function
// here: any language's runtime client, or a shell script with curl. It is the body of
// "hearth init", which runs inside the sandbox as its first process: it starts the
// owner's bootstrap, serves the Runtime API to it on the sandbox's own loopback, and
// speaks frames on descriptor 3 outwards as a shim does (see ../PROTOCOL.md). The host
// trusts the frames alone.
//
// Read adapter.go for its life, server.go for the API, invocation.go for who gets
// which invocation, stream.go for streamed responses.
package runtimeapi
