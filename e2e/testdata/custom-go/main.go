// Command custom is a function as people write them for Lambda in Go. It does what its
// event says.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string `json:"do"`
	Wait int    `json:"wait"` // milliseconds
	Size int    `json:"size"`
	Body string `json:"body"` // of a function URL: what to do
}

type served struct {
	Instance string `json:"instance"`
	Request  string `json:"request"`
	Most     int    `json:"most"` // invocations at once so far
	Max      string `json:"max"`  // AWS_LAMBDA_MAX_CONCURRENCY
	Left     int    `json:"left"` // milliseconds until the deadline
}

var (
	mu             sync.Mutex
	inFlight, most int
)

func handle(ctx context.Context, e event) (any, error) {
	mu.Lock()
	inFlight++
	most = max(most, inFlight)
	mu.Unlock()
	defer func() {
		mu.Lock()
		inFlight--
		mu.Unlock()
	}()
	request, _ := lambdacontext.FromContext(ctx)
	log.Printf("serving %s", request.AwsRequestID)
	if e.Do == "" {
		e.Do = e.Body
	}
	switch e.Do {
	case "error":
		return nil, errors.New("out of range")
	case "panic":
		panic("a bug")
	case "exit":
		os.Exit(7)
	case "stream":
		return stream(strings.NewReader("one two three")), nil
	case "slow stream":
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, "first")
			time.Sleep(time.Duration(max(e.Wait, 1500)) * time.Millisecond)
			fmt.Fprintf(w, "second %d", time.Now().UnixMilli())
			w.Close()
		}()
		return stream(r), nil
	case "broken stream":
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, "half")
			w.CloseWithError(errors.New("broke midway"))
		}()
		return stream(r), nil
	}
	time.Sleep(time.Duration(e.Wait) * time.Millisecond)
	deadline, _ := ctx.Deadline()
	mu.Lock()
	defer mu.Unlock()
	return served{os.Getenv("HEARTH_INSTANCE_ID"), request.AwsRequestID, most,
		os.Getenv("AWS_LAMBDA_MAX_CONCURRENCY"), int(time.Until(deadline).Milliseconds())}, nil
}

func stream(r io.Reader) any {
	return &events.LambdaFunctionURLStreamingResponse{
		StatusCode: 201, Headers: map[string]string{"X-From": "go", "Content-Type": "text/plain"}, Cookies: []string{"a=b"}, Body: r,
	}
}

func main() {
	lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM(func() { fmt.Println("stopping") }))
}
