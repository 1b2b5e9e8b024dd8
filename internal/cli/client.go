package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hearth/internal/sigv4"
)

// maxAnswerBytes bounds what is read of an answer that is not a stream.
const maxAnswerBytes = 64 << 20

// client talks to one platform.
type client struct {
	base string // such as http://127.0.0.1:9000, without a final slash
	http *http.Client
	// sign, if there are credentials, signs what is sent; now is its clock.
	sign *sigv4.Signer
	now  func() time.Time
}

// client resolves where the platform is: flag, environment, default.
func (a *app) client() (*client, error) {
	text, source := a.endpoint, "--endpoint"
	if text == "" {
		text, source = a.Getenv(EnvEndpoint), "$"+EnvEndpoint
	}
	if text == "" {
		text = DefaultListen
	}
	base, err := parseEndpoint(text)
	if err != nil {
		return nil, usagef("%s %q is not an address: write http://host:port or host:port", source, text)
	}
	if err := a.trust(); err != nil {
		return nil, err
	}
	return &client{base: base, http: a.http, sign: signer(a.Getenv), now: a.now}, nil
}

// parseEndpoint accepts a URL, host:port, or :port.
func parseEndpoint(text string) (string, error) {
	if strings.HasPrefix(text, ":") {
		text = "127.0.0.1" + text
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("not an http address")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// do sends a request; the answer's status is below 400 unless err is set. The caller
// closes the body.
func (c *client) do(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if c.sign != nil {
		c.sign.SignHTTP(req, body, c.now())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, transportError(c.base, err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

// call sends in (if not nil) as JSON and reads the answer into out (if not nil); it
// returns the answer's status.
func (c *client) call(ctx context.Context, method, path string, in, out any) (int, error) {
	var body []byte
	header := http.Header{"Accept": {"application/json"}}
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return 0, err
		}
		header.Set("Content-Type", "application/json")
	}
	resp, err := c.do(ctx, method, path, body, header)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return 0, transportError(c.base, err)
	}
	if out == nil {
		return resp.StatusCode, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return 0, c.stranger(resp, text)
	}
	return resp.StatusCode, nil
}

// lines reads a stream of JSON lines and hands each to fn until the stream, ctx, or
// fn's patience ends.
func (c *client) lines(ctx context.Context, path string, fn func(line []byte) error) error {
	resp, err := c.do(ctx, http.MethodGet, path, nil, http.Header{"Accept": {"application/x-ndjson"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var line json.RawMessage
		err := dec.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				return c.stranger(resp, nil)
			}
			return transportError(c.base, err)
		}
		if err := fn(line); err != nil {
			return err
		}
	}
}

// refusal turns an answer of 400 or more into an error: Hearth's own shape, Lambda's,
// or neither.
func (c *client) refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return transportError(c.base, err)
	}
	// encoding/json matches names without regard to case: message is Message too.
	var shape struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
	}
	e := &apiError{status: resp.StatusCode}
	if json.Unmarshal(text, &shape) == nil {
		e.code, e.message = shape.Error.Code, shape.Error.Message
		if e.message == "" {
			e.code, e.message = resp.Header.Get("X-Amzn-Errortype"), shape.Message+reasonWords(shape.Reason)
		}
	}
	if e.message == "" {
		return c.stranger(resp, text)
	}
	e.message += keyWords(resp.Header.Get("X-Amzn-Errortype"))
	return &failure{e.exit(), e}
}

// reasonWords explains why Lambda's API throttles: "Rate Exceeded." says little.
func reasonWords(reason string) string {
	switch reason {
	case "":
		return ""
	case "ReservedFunctionConcurrentInvocationLimitExceeded":
		return " As many invocations of this function are in flight as its reserved concurrency allows; try again, or raise it."
	case "ConcurrentInvocationLimitExceeded":
		return " As many invocations are in flight as the platform allows; try again."
	}
	return " (" + reason + ")"
}

// stranger says that whatever answers at the endpoint does not speak as Hearth does.
func (c *client) stranger(resp *http.Response, text []byte) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		kind = "no content type"
	}
	if detail := strings.TrimSpace(string(text)); detail != "" && kind == "text/plain" && len(detail) < 200 {
		kind += ": " + detail
	}
	return platformf("what answers at %s is not Hearth, or not this version of it (%s %s gave %s, %s)",
		c.base, resp.Request.Method, resp.Request.URL.Path, resp.Status, kind)
}

// statusOf is the HTTP status of an error that the platform itself gave, else 0.
func statusOf(err error) int {
	var e *apiError
	if errors.As(err, &e) {
		return e.status
	}
	return 0
}

// query builds a query string from pairs of names and values, leaving out empty ones.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// span is a length of time, in words in JSON: "15m0s".
type span time.Duration

// MarshalJSON writes it as the platform does.
func (s span) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).String()) }

// UnmarshalJSON reads it.
func (s *span) UnmarshalJSON(text []byte) error {
	var words string
	if err := json.Unmarshal(text, &words); err != nil {
		return err
	}
	d, err := time.ParseDuration(words)
	if err != nil {
		return fmt.Errorf("length of time: %w", err)
	}
	*s = span(d)
	return nil
}
