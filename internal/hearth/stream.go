package hearth

// MaxStreamBytes bounds a streamed response (Lambda API: 200 MB).
const MaxStreamBytes = 209_715_200

// TypeHTTPIntegration is the content type of a streamed response that begins with an
// HTTP prelude: statusCode, headers and cookies as JSON, then eight NUL bytes
// (Lambda API).
const TypeHTTPIntegration = "application/vnd.awslambda.http-integration-response"

// PreludeEnd separates an HTTP prelude from the body.
const PreludeEnd = "\x00\x00\x00\x00\x00\x00\x00\x00"

// ResponseStream is a response that comes in parts while the function still runs. The
// function may be ahead of its reader by some 256 KiB, then it waits.
type ResponseStream interface {
	// ContentType is what the function said about the response, "" if nothing.
	ContentType() string
	// Next returns the next bytes, which are valid until it is called again. It
	// blocks until there are some; at the end it returns io.EOF.
	Next() ([]byte, error)
	// Close tells that nobody reads any more. The function goes on (Lambda API), and
	// what it writes is dropped. Closing twice is harmless.
	Close() error
	// Result is how the invocation ended: FunctionError and, as Payload, the failure
	// document when it failed while it streamed. It blocks until the function has
	// ended, which it cannot while it waits for a reader.
	Result() *Result
	// OnEnd has f called with the result once the function has ended, at once if it
	// has. Call it once, before anything else.
	OnEnd(f func(*Result))
}
