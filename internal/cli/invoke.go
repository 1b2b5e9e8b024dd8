package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
)

// answer is what came back from one invocation.
type answer struct {
	requestID     string
	version       string
	functionError string
	payload       []byte
	logTail       []byte
	latency       time.Duration // from the first byte sent to the last received
	header        http.Header
}

// invoke calls a function through Lambda's API and waits for its answer.
func (c *client) invoke(ctx context.Context, name string, payload []byte, wantLog bool) (*answer, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if wantLog {
		header.Set("X-Amz-Log-Type", "Tail")
	}
	path := invocationPath(name)
	begin := time.Now()
	resp, err := c.do(ctx, http.MethodPost, path, payload, header)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return nil, transportError(c.base, err)
	}
	a := &answer{
		requestID:     resp.Header.Get("X-Amzn-Requestid"),
		version:       resp.Header.Get("X-Amz-Executed-Version"),
		functionError: resp.Header.Get("X-Amz-Function-Error"),
		payload:       body,
		latency:       time.Since(begin),
		header:        resp.Header,
	}
	if a.requestID == "" {
		return nil, c.stranger(resp, body)
	}
	if a.logTail, err = base64.StdEncoding.DecodeString(resp.Header.Get("X-Amz-Log-Result")); err != nil {
		return nil, platformf("the platform sent a log that cannot be read: %w", err)
	}
	return a, nil
}

// invocationPath is where NAME or NAME:QUALIFIER is invoked.
func invocationPath(name string) string {
	bare, qualifier, _ := strings.Cut(name, ":")
	return "/2015-03-31/functions/" + url.PathEscape(bare) + "/invocations" + query("Qualifier", qualifier)
}

// submit has a function invoked later and returns the request id. When it returns the
// platform has the event on its disk.
func (c *client) submit(ctx context.Context, name string, payload []byte) (string, error) {
	resp, err := c.do(ctx, http.MethodPost, invocationPath(name), payload,
		http.Header{"Content-Type": {"application/json"}, "X-Amz-Invocation-Type": {"Event"}})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	id := resp.Header.Get("X-Amzn-Requestid")
	if resp.StatusCode != http.StatusAccepted || id == "" {
		return "", c.stranger(resp, nil)
	}
	return id, nil
}

// printAccepted says how to hear of the event again.
func (a *app) printAccepted(name, id string) error {
	if a.json() {
		return a.printJSON(map[string]string{"function": name, "requestId": id})
	}
	fmt.Fprintln(a.out, id)
	if a.err.TTY {
		fmt.Fprintln(a.err, a.err.Paint(screen.Dim, "accepted; what becomes of it: hearth event-status "+id))
	}
	return nil
}

func (a *app) invokeCommand() *cobra.Command {
	var data, file string
	var wantLog, later bool
	cmd := &cobra.Command{
		Use:   "invoke NAME[:VERSION|:ALIAS]",
		Short: "Call a function and print its answer",
		Long: `Call a function with a JSON event and print what it returns. The event comes from -d,
from -f, or from a pipe; without any of them it is empty.

The answer goes to standard output, byte for byte when that is a pipe. With --log the
last 4 KB of the invocation's log go to standard error. When the function fails, the
exit code is 1; on a terminal its error is shown in words instead of JSON.

With --async the platform takes the event and calls the function later, at least once
and again when it fails. The command prints the request id as soon as the event is on
the platform's disk; "hearth event-status" tells what became of it.`,
		Example: `  hearth invoke hello -d '{"name":"you"}'
  hearth invoke hello -f event.json --log
  jq -n '{n: 3}' | hearth invoke hello | jq .

  # one version, or whatever an alias leads to
  hearth invoke hello:3
  hearth invoke hello:prod

  # later, and surely
  hearth event-status --wait $(hearth invoke orders --async -f order.json)

  # in a script
  hearth invoke nightly || echo "nightly failed with $?"`,
		Args:              exactlyOne("function"),
		ValidArgsFunction: a.completeFunctions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			payload, err := a.event(cmd, data, file)
			if err != nil {
				return err
			}
			if later {
				id, err := c.submit(cmd.Context(), args[0], payload)
				if err != nil {
					return explainEvent(payload, c.explainMissing(cmd.Context(), args[0], err))
				}
				return a.printAccepted(args[0], id)
			}
			answer, err := c.invoke(cmd.Context(), args[0], payload, wantLog)
			if err != nil {
				return explainEvent(payload, c.explainMissing(cmd.Context(), args[0], err))
			}
			return a.printAnswer(args[0], answer)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&data, "data", "d", "", "the event, as `JSON`")
	f.StringVarP(&file, "file", "f", "", "read the event from this `file` (- is standard input)")
	f.BoolVar(&wantLog, "log", false, "print the end of the invocation's log on standard error")
	f.BoolVar(&later, "async", false, "do not wait: have the function called later, at least once")
	must(cmd.MarkFlagFilename("file"))
	cmd.MarkFlagsMutuallyExclusive("async", "log")
	return cmd
}

// event reads the payload from wherever it was given.
func (a *app) event(cmd *cobra.Command, data, file string) ([]byte, error) {
	var payload []byte
	var err error
	switch {
	case cmd.Flags().Changed("data") && file != "":
		return nil, usagef("give the event with -d or with -f, not both")
	case cmd.Flags().Changed("data"):
		payload = []byte(data)
	case file == "-":
		payload, err = io.ReadAll(io.LimitReader(a.Stdin, hearth.MaxPayloadBytes+1))
	case file != "":
		payload, err = os.ReadFile(file)
	case a.piped():
		payload, err = io.ReadAll(io.LimitReader(a.Stdin, hearth.MaxPayloadBytes+1))
	}
	if err != nil {
		return nil, usagef("the event cannot be read: %w", err)
	}
	if len(payload) > hearth.MaxPayloadBytes {
		return nil, usagef("the event is too large: at most %s are allowed", screen.Bytes(hearth.MaxPayloadBytes))
	}
	return payload, nil
}

// piped tells whether something is being sent to standard input. Only a pipe or a
// file is taken for that: a service's standard input may be open for ever.
func (a *app) piped() bool {
	f, ok := a.Stdin.(*os.File)
	if !ok {
		return a.Stdin != nil
	}
	info, err := f.Stat()
	return err == nil && (info.Mode()&os.ModeNamedPipe != 0 || info.Mode().IsRegular())
}

// explainEvent adds the usual way out to the platform's complaint about the event.
func explainEvent(payload []byte, err error) error {
	if statusOf(err) != http.StatusBadRequest || json.Valid(payload) || len(payload) == 0 {
		return err
	}
	text := strings.TrimSpace(string(payload))
	if len(text) > 40 || strings.ContainsAny(text, "\n'{[") {
		return usagef("%w\nThe event is not JSON", err)
	}
	return usagef("%w\nThe event is not JSON; text needs its quotes: -d '\"%s\"'", err, text)
}

// printAnswer shows the answer, and returns errFunction when it is a failure.
func (a *app) printAnswer(name string, r *answer) error {
	if a.json() {
		if err := a.printJSON(r.json(name)); err != nil {
			return err
		}
	} else if err := a.printPayload(r); err != nil {
		return err
	}
	if len(r.logTail) > 0 && !a.json() {
		log := strings.TrimRight(string(r.logTail), "\n")
		if a.err.TTY {
			log = screen.Safe(log)
		}
		fmt.Fprint(a.err, a.err.Paint(screen.Dim, log)+"\n")
	}
	if r.functionError == "" {
		return nil
	}
	a.printFailure(name, r)
	return errFunction
}

// printPayload writes the payload as it came; on a terminal laid out, and a failure
// not at all, because printFailure says it better.
func (a *app) printPayload(r *answer) error {
	if !a.out.TTY {
		_, err := a.out.Write(r.payload)
		return err
	}
	if r.functionError != "" {
		return nil
	}
	var b bytes.Buffer
	if json.Indent(&b, r.payload, "", "  ") != nil {
		b.Reset()
		b.Write(r.payload)
	}
	_, err := fmt.Fprintln(a.out, screen.Safe(strings.TrimRight(b.String(), "\n")))
	return err
}

// printFailure tells a function's failure on standard error: in full for a person,
// in one line for a log.
func (a *app) printFailure(name string, r *answer) {
	var doc hearth.FailureDoc
	if json.Unmarshal(r.payload, &doc) != nil || doc.ErrorType == "" && doc.ErrorMessage == "" {
		doc = hearth.FailureDoc{ErrorType: r.functionError, ErrorMessage: string(r.payload)}
	}
	message := strings.TrimSpace(doc.ErrorMessage)
	if !a.err.TTY {
		fmt.Fprintf(a.err, "hearth: %s failed: %s: %s (request %s)\n", name, doc.ErrorType, screen.OneLine(message), r.requestID)
		return
	}
	fmt.Fprintf(a.err, "%s %s\n", a.err.Paint(screen.BoldRed, name+" failed:"), a.err.Paint(screen.Bold, doc.ErrorType))
	for line := range strings.Lines(message) {
		fmt.Fprintf(a.err, "  %s\n", screen.OneLine(strings.TrimRight(line, "\n")))
	}
	for _, line := range stack(&doc) {
		fmt.Fprintf(a.err, "    %s\n", a.err.Paint(screen.Dim, line))
	}
	fmt.Fprintf(a.err, "  %s\n", a.err.Paint(screen.Dim, "more: hearth logs "+name+" --request "+r.requestID))
}

// stack is the trace without the line that repeats the error itself.
func stack(doc *hearth.FailureDoc) []string {
	var lines []string
	for i, entry := range append(doc.Trace, doc.StackTrace...) {
		if i == 0 && strings.Contains(entry, doc.ErrorMessage) && !strings.HasPrefix(strings.TrimSpace(entry), "at ") {
			continue
		}
		for line := range strings.Lines(entry) {
			lines = append(lines, screen.OneLine(strings.TrimSpace(line)))
		}
	}
	return lines
}

// invokeJSON is invoke -o json.
type invokeJSON struct {
	Function      string          `json:"function"`
	RequestID     string          `json:"requestId"`
	Version       string          `json:"version"`
	FunctionError string          `json:"functionError,omitempty"`
	LatencyMS     float64         `json:"latencyMs"`
	Payload       json.RawMessage `json:"payload"`
	Log           string          `json:"log,omitempty"`
}

func (r *answer) json(name string) invokeJSON {
	payload := r.payload
	if !json.Valid(payload) {
		payload, _ = json.Marshal(string(payload)) // text never fails
	}
	return invokeJSON{Function: name, RequestID: r.requestID, Version: r.version, FunctionError: r.functionError,
		LatencyMS: milliseconds(r.latency), Payload: payload, Log: string(r.logTail)}
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
