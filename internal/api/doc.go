// Package api is what the world sees of Hearth over HTTP: Lambda's API, function
// URLs (/fn/NAME/ and NAME.localhost), and the few resources under /hearth/v1 that
// Lambda has no word for. It alone turns errors into statuses and exception names.
//
// The two hot paths, Invoke and function URLs, are written against fasthttp
// directly and keep their memory in pools; everything else is plain.
package api
