package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

// handler passes requests on to the private platform: first to the declared paths, if
// there are any, then to the function's own.
func (r *runner) handler() http.Handler {
	base, err := url.Parse(r.client.base)
	if err != nil {
		panic("an address that the platform gave is none: " + err.Error())
	}
	proxy := &httputil.ReverseProxy{
		Transport:     r.http.Transport,
		FlushInterval: -1, // streams arrive as they are written
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(base)
			if ofThisMachine(p.In.Host) { // the platform knows no others, and the function may answer with links
				p.Out.Host = p.In.Host
			}
			p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
		},
		ModifyResponse: r.asDeclared,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "hearth run: "+err.Error(), http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		begin := r.now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		path := req.URL.EscapedPath()
		r.pass(proxy, seen, req)
		r.say(r.out.Paint(screen.Dim, r.now().In(r.zone).Format("15:04:05.000")) + " " + req.Method + " " + path + " " +
			r.out.Paint(statusStyle(seen.status), strings.TrimSpace(strconv.Itoa(seen.status)+" "+http.StatusText(seen.status))) + " " + r.out.Paint(screen.Dim, r.now().Sub(begin).Round(100*time.Microsecond).String()))
	})
}

func statusStyle(status int) screen.Style {
	if status >= 500 {
		return screen.Red
	}
	return screen.Green
}

// pass finds the way for one request. The body is kept while the first way is tried.
func (r *runner) pass(proxy *httputil.ReverseProxy, w http.ResponseWriter, req *http.Request) {
	t := r.where()
	if t.service == "" {
		r.forward(proxy, w, req, "/fn/"+t.function)
		return
	}
	if t.function == "" {
		r.forward(proxy, w, req, "/http/"+t.service)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, hearth.MaxPayloadBytes))
	if err != nil {
		http.Error(w, "hearth run: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	first := &undeclared{ResponseWriter: w}
	r.forward(proxy, first, req, "/http/"+t.service)
	if first.refused {
		req.Body = io.NopCloser(bytes.NewReader(body))
		r.forward(proxy, w, req, "/fn/"+t.function)
	}
}

// forward sends a request to a path of the platform, under prefix.
func (r *runner) forward(proxy *httputil.ReverseProxy, w http.ResponseWriter, req *http.Request, prefix string) {
	out := req.Clone(req.Context())
	out.URL.RawPath = prefix + req.URL.EscapedPath()
	path, err := url.PathUnescape(out.URL.RawPath)
	if err != nil {
		http.Error(w, "hearth run: the path is malformed", http.StatusBadRequest)
		return
	}
	out.URL.Path = path
	proxy.ServeHTTP(w, out)
}

// ofThisMachine tells the usual names of this machine, with any port.
func ofThisMachine(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	return name == "localhost" || name == "127.0.0.1" || name == "::1"
}

// noRoute begins what the platform says of a path that no function has declared.
const noRoute = "No function answers "

// asDeclared has the platform's word about a path name paths as they are here.
func (r *runner) asDeclared(resp *http.Response) error {
	said := resp.Header.Get("X-Hearth-Error")
	if t := r.where(); t.service == "" || !strings.HasPrefix(said, noRoute) {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	resp.Body.Close()
	prefix := "/http/" + r.where().service + "/"
	body = bytes.ReplaceAll(body, []byte(prefix), []byte("/"))
	resp.Header.Set("X-Hearth-Error", strings.ReplaceAll(said, prefix, "/"))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// undeclared holds back the platform's word that a path is not declared.
type undeclared struct {
	http.ResponseWriter
	refused bool
	fresh   http.Header
}

// Header is a place of its own until it is known that the answer counts.
func (u *undeclared) Header() http.Header {
	if u.fresh == nil {
		u.fresh = http.Header{}
	}
	return u.fresh
}

func (u *undeclared) WriteHeader(status int) {
	u.refused = (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) &&
		strings.HasPrefix(u.fresh.Get("X-Hearth-Error"), noRoute)
	if u.refused {
		return
	}
	for k, v := range u.fresh {
		u.ResponseWriter.Header()[k] = v
	}
	u.ResponseWriter.WriteHeader(status)
}

func (u *undeclared) Write(p []byte) (int, error) {
	if u.refused {
		return len(p), nil
	}
	return u.ResponseWriter.Write(p)
}

// FlushError keeps an answer that does not count from being begun by a flush.
func (u *undeclared) FlushError() error {
	if u.refused {
		return nil
	}
	return http.NewResponseController(u.ResponseWriter).Flush()
}

// Unwrap lets connections be upgraded.
func (u *undeclared) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	if status >= 200 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets streams be flushed.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// logLine shows one entry of a function's log. Places in the code are shown as they
// are in the folder. START and END say nothing that the request's line does not.
func (r *runner) logLine(name string, line []byte) error {
	var e hearth.LogEntry
	if err := json.Unmarshal(line, &e); err != nil {
		return platformf("the platform's log has a line that cannot be read: %w", err)
	}
	if e.Kind == hearth.LogStart || e.Kind == hearth.LogEnd {
		return nil
	}
	text := r.inFolder(e.Text)
	switch e.Kind {
	case hearth.LogReport:
		text = reportWords(text)
	case hearth.LogStdout, hearth.LogStderr:
		text = plainWords(text, e.Request)
	}
	prefix := r.out.Paint(screen.Dim, e.Time.In(r.zone).Format("15:04:05.000")) + " "
	if t := r.where(); t.function == "" {
		prefix += r.out.Paint(screen.Bold, name) + " "
	}
	for one := range strings.Lines(strings.TrimRight(text, "\n")) {
		r.say(prefix + r.out.Paint(kindStyle(e.Kind), screen.OneLine(strings.TrimRight(one, "\n"))))
	}
	return nil
}

// inFolder writes places in the code as they are in the folder.
func (r *runner) inFolder(text string) string {
	prefix := ""
	if dir := filepath.Clean(r.dir); dir != "." {
		prefix = dir + "/"
	}
	return r.places.ReplaceAllLiteralString(text, prefix)
}

// reportWords is a REPORT line without what a developer does not look for.
func reportWords(text string) string {
	_, after, ok := strings.Cut(text, "\t")
	if !ok {
		return text
	}
	return strings.Join(strings.Split(strings.Trim(after, "\t\n "), "\t"), ", ")
}

// plainWords is a line of a function without the time and request that Lambda's
// runtimes put before it, and an error as its message and the places it came from.
func plainWords(text, request string) string {
	parts := strings.SplitN(text, "\t", 4)
	if len(parts) == 4 && parts[1] == request {
		text = parts[2] + " " + parts[3]
	}
	i := strings.Index(text, "{\"errorType\":")
	if i < 0 {
		return text
	}
	var doc struct {
		ErrorType    string   `json:"errorType"`
		ErrorMessage string   `json:"errorMessage"`
		Stack        []string `json:"stack"`
	}
	if json.Unmarshal([]byte(text[i:]), &doc) != nil {
		return text
	}
	lines := []string{doc.ErrorType + ": " + doc.ErrorMessage}
	for _, line := range doc.Stack {
		if at := strings.TrimSpace(line); strings.HasPrefix(at, "at ") && !strings.Contains(at, "(node:") && !strings.Contains(at, "/runtime/node/") {
			lines = append(lines, "    "+at)
		}
	}
	return strings.Join(lines, "\n")
}
