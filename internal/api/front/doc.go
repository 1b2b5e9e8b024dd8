// Package front is HTTP/1.1 on an event loop, for the requests that are many and small:
// it reads them, hands each to a Handler that does not block, and writes the answers,
// all on the loops' goroutines. It knows how messages are framed and nothing of what
// they mean.
//
// It takes only what is beyond doubt. A connection with anything unusual on it (another
// version, chunks, Expect, an upgrade, a header that is not as it should be) is handed
// over, with the bytes that have come, to a server that knows all of HTTP.
package front
