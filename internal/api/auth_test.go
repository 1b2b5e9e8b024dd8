package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/sigv4"
)

var testKey = sigv4.Key{ID: "HEARTHTEST", Secret: "a secret of some length"}

// ask sends a request, signed if signer is not nil.
func ask(t *testing.T, w *world, signer *sigv4.Signer, method, path, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if signer != nil {
		signer.SignHTTP(req, []byte(body), w.now())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func TestSignatures(t *testing.T) {
	w := start(t, Config{AccessKeys: []sigv4.Key{{ID: "OTHER", Secret: "another long secret"}, testKey}})
	good := &sigv4.Signer{Key: testKey, Region: "eu-central-1", Service: "lambda"}
	wrong := &sigv4.Signer{Key: sigv4.Key{ID: testKey.ID, Secret: "x"}, Service: "lambda"}
	unknown := &sigv4.Signer{Key: sigv4.Key{ID: "NOBODY", Secret: "x"}, Service: "lambda"}

	create := `{"FunctionName":"f","Runtime":"nodejs20.x","Handler":"echo","Role":"arn:aws:iam::000000000000:role/any","Code":{"ZipFile":"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}`
	for _, c := range []struct {
		name         string
		signer       *sigv4.Signer
		method, path string
		status       int
		exception    string
		words        string
	}{
		{"health", nil, "GET", "/healthz", 200, "", "ok"},
		{"unsigned list", nil, "GET", "/2015-03-31/functions/", 403, sigv4.MissingToken, `{"message":"Missing Authentication Token"}`},
		{"unsigned create", nil, "POST", "/2015-03-31/functions", 403, sigv4.MissingToken, ""},
		{"unsigned invoke", nil, "POST", "/2015-03-31/functions/f/invocations", 403, sigv4.MissingToken, ""},
		{"unsigned stream", nil, "POST", "/2021-11-15/functions/f/response-streaming-invocations", 403, sigv4.MissingToken, ""},
		{"unsigned status", nil, "GET", "/hearth/v1/status", 403, sigv4.MissingToken, `"code":"forbidden"`},
		{"unsigned nonsense", nil, "GET", "/nonsense", 403, sigv4.MissingToken, ""},
		{"unknown key", unknown, "GET", "/2015-03-31/functions/", 403, sigv4.Unrecognized, `{"message":"The security token included in the request is invalid."}`},
		{"wrong secret", wrong, "POST", "/2015-03-31/functions/f/invocations", 403, sigv4.Invalid, "The request signature we calculated does not match"},
		{"create", good, "POST", "/2015-03-31/functions", 201, "", `"FunctionName":"f"`},
		{"invoke", good, "POST", "/2015-03-31/functions/f%3A%24LATEST/invocations", 200, "", "{"},
		{"status", good, "GET", "/hearth/v1/status", 200, "", "functions"},
		{"query", good, "GET", "/2015-03-31/functions/?MaxItems=1&Marker=", 200, "", `"Functions"`},
	} {
		body := ""
		if strings.HasSuffix(c.name, "create") {
			body = create
		}
		status, header, text := ask(t, w, c.signer, c.method, c.path, body)
		if status != c.status || header.Get("X-Amzn-Errortype") != c.exception || !strings.Contains(text, c.words) {
			t.Errorf("%s: %d %s %s", c.name, status, header.Get("X-Amzn-Errortype"), text)
		}
	}
}

// TestSignatureTimes sends requests of other times.
func TestSignatureTimes(t *testing.T) {
	w := start(t, Config{AccessKeys: []sigv4.Key{testKey}})
	signer := &sigv4.Signer{Key: testKey, Region: "r", Service: "lambda"}
	for _, c := range []struct {
		shift time.Duration
		want  string
	}{{0, ""}, {-sigv4.MaxSkew, ""}, {-16 * time.Minute, "Signature expired: 20261121T094400Z is now earlier than 20261121T094500Z"}, {16 * time.Minute, "Signature not yet current"}} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+w.addr+"/2015-03-31/functions/", nil)
		if err != nil {
			t.Fatal(err)
		}
		signer.SignHTTP(req, nil, w.now().Add(c.shift))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if (resp.StatusCode == 200) != (c.want == "") || !strings.Contains(string(text), c.want) {
			t.Errorf("%v: %d %s", c.shift, resp.StatusCode, text)
		}
	}
}

// TestCodeLink follows the link of GetFunction, which needs no signature of one's own.
func TestCodeLink(t *testing.T) {
	w := start(t, Config{AccessKeys: []sigv4.Key{testKey}})
	signer := &sigv4.Signer{Key: testKey, Region: "r", Service: "lambda"}
	ask(t, w, signer, "PUT", "/hearth/v1/functions/f", `{"config":{"runtime":"nodejs","handler":"echo"},"code":"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}`)
	_, _, text := ask(t, w, signer, "GET", "/2015-03-31/functions/f", "")
	var got struct{ Code struct{ Location string } }
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err, text)
	}
	path, ok := strings.CutPrefix(got.Code.Location, "http://"+w.addr)
	if !ok {
		t.Fatal(text)
	}
	if status, _, text := ask(t, w, nil, "GET", path, ""); status != 200 || !strings.HasPrefix(text, "PK") {
		t.Errorf("%s: %d %q", path, status, text)
	}
	if status, _, text := ask(t, w, nil, "GET", strings.Replace(path, "/f/", "/g/", 1), ""); status != 403 {
		t.Errorf("for another function: %d %q", status, text)
	}
}

func TestIAMURLs(t *testing.T) {
	const urlPath = "/2021-10-31/functions/f/url"
	deploy := `{"config":{"runtime":"nodejs","handler":"echo"},"code":"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}`
	signer := &sigv4.Signer{Key: testKey, Region: "r", Service: "lambda"}

	w := start(t, Config{AccessKeys: []sigv4.Key{testKey}})
	ask(t, w, signer, "PUT", "/hearth/v1/functions/f", deploy)
	if status, _, text := ask(t, w, nil, "GET", "/fn/f/", ""); status != 200 {
		t.Errorf("open: %d %s", status, text)
	}
	if status, _, text := ask(t, w, signer, "POST", urlPath, `{"AuthType":"AWS_IAM"}`); status != 201 || !strings.Contains(text, `"AuthType":"AWS_IAM"`) {
		t.Fatalf("create: %d %s", status, text)
	}
	if status, header, text := ask(t, w, nil, "GET", "/fn/f/", ""); status != 403 || header.Get("X-Amzn-Errortype") != "AccessDeniedException" || !strings.Contains(text, "Forbidden") {
		t.Errorf("closed: %d %s", status, text)
	}
	if status, _, text := ask(t, w, &sigv4.Signer{Key: sigv4.Key{ID: "NOBODY"}, Service: "lambda"}, "GET", "/fn/f/", ""); status != 403 || !strings.Contains(text, "security token") {
		t.Errorf("unknown key: %d %s", status, text)
	}
	if status, _, text := ask(t, w, signer, "POST", "/fn/f/a%20b?x=y+z&x=1", "body"); status != 200 {
		t.Errorf("signed: %d %s", status, text)
	}
	if status, _, text := ask(t, w, signer, "PUT", urlPath, `{"AuthType":"NONE"}`); status != 200 {
		t.Errorf("update: %d %s", status, text)
	}
	if status, _, text := ask(t, w, nil, "GET", "/fn/f/", ""); status != 200 {
		t.Errorf("open again: %d %s", status, text)
	}

	// Without keys none can be made, and one that is there from before stays closed.
	w = start(t, Config{})
	ask(t, w, nil, "PUT", "/hearth/v1/functions/f", deploy)
	if status, _, text := ask(t, w, nil, "POST", urlPath, `{"AuthType":"AWS_IAM"}`); status != 400 || !strings.Contains(text, "--access-keys-file") {
		t.Errorf("create without keys: %d %s", status, text)
	}
	f, err := w.functions.Get("f")
	if err != nil {
		t.Fatal(err)
	}
	f.URL = &hearth.URLConfig{AuthType: authIAM}
	if status, _, text := ask(t, w, signer, "GET", "/fn/f/", ""); status != 403 || !strings.Contains(text, "no access keys") {
		t.Errorf("without keys: %d %s", status, text)
	}
}

// TestHopelessBodies: a request whose head shows that it will be refused is, before its
// body is sent.
func TestHopelessBodies(t *testing.T) {
	w := start(t, Config{AccessKeys: []sigv4.Key{testKey}})
	head := func(signer *sigv4.Signer, expect bool) string {
		body := make([]byte, 1<<20)
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.addr+"/2015-03-31/functions", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if signer != nil {
			signer.SignHTTP(req, body, w.now())
		}
		if expect {
			req.Header.Set("Expect", "100-continue")
		}
		var text bytes.Buffer
		fmt.Fprintf(&text, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", req.URL.Path, w.addr, len(body))
		if err := req.Header.Write(&text); err != nil {
			t.Fatal(err)
		}
		return text.String() + "\r\n"
	}
	key := func(id, secret string) *sigv4.Signer {
		return &sigv4.Signer{Key: sigv4.Key{ID: id, Secret: secret}, Region: "r", Service: "lambda"}
	}
	for _, c := range []struct {
		name   string
		signer *sigv4.Signer
		want   string
	}{
		{"unsigned", nil, sigv4.MissingToken},
		{"unknown key", key("NOBODY", "x"), sigv4.Unrecognized},
		{"wrong secret", key(testKey.ID, "x"), sigv4.Invalid},
	} {
		for _, expect := range []bool{false, true} {
			conn, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(patience)) // the test fails then
			if _, err := io.WriteString(conn, head(c.signer, expect)); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if resp.StatusCode != 403 || resp.Header.Get("X-Amzn-Errortype") != c.want {
				t.Errorf("%s, expect %v: %s %v", c.name, expect, resp.Status, resp.Header)
			}
			resp.Body.Close()
			conn.Close()
		}
	}
	// The right key gets to send it, and an invocation of a function URL needs none.
	good := key(testKey.ID, testKey.Secret)
	if status, _, text := ask(t, w, good, "POST", "/2015-03-31/functions", strings.Repeat(" ", 1<<20)); status != 400 {
		t.Errorf("signed: %d %s", status, text)
	}
	if status, _, text := ask(t, w, nil, "POST", "/fn/nobody/", strings.Repeat(" ", 1<<20)); status != 404 {
		t.Errorf("a function URL: %d %s", status, text)
	}
}
