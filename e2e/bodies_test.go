package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Functions that give back what they got, after so many milliseconds as the query says.
const (
	nodeMirror = `
exports.handler = async ({ queryStringParameters: q, body, isBase64Encoded }) => {
  await new Promise((resolve) => setTimeout(resolve, Number(q.ms)));
  return { statusCode: 200, headers: { 'x-mark': q.mark }, body, isBase64Encoded };
};`
	pythonMirror = `
import time
def handler(event, context):
    q = event["queryStringParameters"]
    time.sleep(int(q["ms"]) / 1000)
    return {"statusCode": 200, "headers": {"x-mark": q["mark"]}, "body": event["body"], "isBase64Encoded": event["isBase64Encoded"]}`
	customMirror = `#!/usr/bin/python3
import http.client, json, os, threading, time
API = "/2018-06-01/runtime/invocation/"
def serve():
    c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        c.request("GET", API + "next")
        r = c.getresponse()
        event, request = json.loads(r.read()), r.headers["Lambda-Runtime-Aws-Request-Id"]
        q = event["queryStringParameters"]
        time.sleep(int(q["ms"]) / 1000)
        answer = {"statusCode": 200, "headers": {"x-mark": q["mark"]}, "body": event["body"], "isBase64Encoded": event["isBase64Encoded"]}
        c.request("POST", API + request + "/response", json.dumps(answer))
        c.getresponse().read()
for _ in range(8):
    threading.Thread(target=serve).start()
`
)

// TestBodiesStayApart has clients send bodies of their own, of a byte to megabytes, to
// functions whose instances serve several at once. Some clients leave in the middle, some read
// late, and some functions run out of time: whose memory is used again then must not show up in what
// others get, nor in what they send next over the same connection.
func TestBodiesStayApart(t *testing.T) {
	const clients, each = 32, 8
	p := up(t)
	shared := map[string]any{"model": "concurrent", "maxConcurrency": 8, "timeout": "1s", "memoryMB": 512}
	p.deploy(node("node", nodeMirror, shared))
	p.deploy(python("python", pythonMirror, shared))
	p.deploy(custom("custom", []byte(customMirror), shared))
	for _, name := range mirrors {
		if status, answer := p.do("POST", "/fn/"+name+"/?ms=0&mark=first", []byte("x"), nil); status != 200 {
			t.Fatalf("%s: %d %s", name, status, answer)
		}
	}
	seed := uint64(time.Now().UnixNano())
	var compared atomic.Int64
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			client := &http.Client{Transport: &http.Transport{}} // with one connection, as it asks one thing at a time
			defer client.CloseIdleConnections()
			for j := range each {
				if err := p.mirror(client, r, fmt.Sprintf("%d-%d", i, j), &compared); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	all.Wait()
	if n := compared.Load(); n < clients*each/2 {
		t.Errorf("only %d of %d bodies came back", n, clients*each)
	}
}

var mirrors = [...]string{"node", "python", "custom"}

// mirror makes one request, and compares what comes back with what it sent.
func (p *platform) mirror(client *http.Client, r *rand.Rand, mark string, compared *atomic.Int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name, kind := mirrors[r.IntN(len(mirrors))], "text/plain"
	body := make([]byte, int(math.Exp(r.Float64()*math.Log(4<<20))))
	for i := range body {
		body[i] = byte(' ' + r.IntN('~'-' '))
	}
	if r.IntN(2) == 0 {
		kind, body[0] = "application/octet-stream", 0xff
	}
	wait, overruns := r.IntN(20), r.IntN(16) == 0
	if overruns {
		wait = 1500
	}
	reader := io.Reader(bytes.NewReader(body))
	leaves := r.IntN(6) == 0
	if leaves { // at a random place, in the middle of the body or a moment behind it
		cut := body[:r.IntN(len(body)+1)]
		reader = io.MultiReader(bytes.NewReader(cut), leaving{cancel}, bytes.NewReader(body[len(cut):]))
	}
	url := fmt.Sprintf("%s/fn/%s/?ms=%d&mark=%s", p.url, name, wait, mark)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, reader)
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", kind)
	resp, err := client.Do(req)
	if leaves && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if r.IntN(3) == 0 { // what does not fit into sockets waits in Hearth
		other := &http.Client{Transport: &http.Transport{}}
		defer other.CloseIdleConnections()
		if err := p.mirror(other, r, mark+"-meanwhile", compared); err != nil {
			return err
		}
	}
	got, err := io.ReadAll(resp.Body)
	switch {
	case leaves && err != nil:
		return nil
	case err != nil:
		return err
	case resp.StatusCode == http.StatusBadGateway && strings.Contains(string(got), "Task timed out"):
		return nil // or the machine is slow
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s of %d bytes: %s %.300s", url, len(body), resp.Status, got)
	case overruns:
		return fmt.Errorf("%s did not run out of time", url)
	case !bytes.Equal(got, body) || resp.Header.Get("X-Mark") != mark:
		return fmt.Errorf("%s of %d bytes: got %d others, marked %q", url, len(body), len(got), resp.Header.Get("X-Mark"))
	}
	compared.Add(1)
	return nil
}

// leaving is a reader at which the client goes away.
type leaving struct{ cancel func() }

func (l leaving) Read([]byte) (int, error) {
	l.cancel()
	return 0, io.EOF
}
