package worker

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/sandbox"
)

// The words for every way in which an instance can fail. Types and shapes are
// Lambda's recorded behaviour; what follows the first sentence is Hearth's, so that
// a person can act on it.

// timedOut is the failure of an invocation that overran its time.
func timedOut(request string, limit time.Duration) hearth.FailureDoc {
	return hearth.FailureDoc{
		ErrorType:    hearth.TypeTimedOut,
		ErrorMessage: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", request, limit.Seconds()),
	}
}

// tooLarge is the failure of an invocation whose response is over the limit.
func tooLarge(request string) hearth.FailureDoc {
	return hearth.FailureDoc{
		ErrorType: hearth.TypeResponseTooLarge,
		ErrorMessage: fmt.Sprintf("RequestId: %s Error: Response payload size exceeded maximum allowed payload size (%d bytes). "+
			"Return less, or store the result and return where it is.", request, hearth.MaxPayloadBytes),
	}
}

// unsendable is the failure of an invocation that the link refused.
func unsendable(request string, err error) hearth.FailureDoc {
	return hearth.FailureDoc{
		ErrorType:    hearth.TypeProtocol,
		ErrorMessage: fmt.Sprintf("RequestId: %s Error: the invocation could not be sent to its instance: %v", request, err),
	}
}

// death says how an instance ended, for each invocation that was in flight there.
type death struct {
	reason   string // hearth.End…
	exit     sandbox.Exit
	protocol error // what it did wrong, when reason is EndProtocol
	inFlight int   // invocations it took along
	memoryMB int
	peakMB   int
}

// failure is what a caller is told who was in flight when the instance died; without
// a request it is what is told about the instance.
func (d *death) failure(request string) hearth.FailureDoc {
	doc := hearth.FailureDoc{ErrorType: hearth.TypeExit}
	var words string
	switch d.reason {
	case hearth.EndOOM:
		doc.ErrorType = hearth.TypeOutOfMemory
		words = fmt.Sprintf("Runtime exited with error: signal: killed. The instance reached its memory limit of %d MB (peak %d MB). "+
			"Give the function more memory, or let fewer invocations share an instance.", d.memoryMB, d.peakMB)
	case hearth.EndProtocol:
		doc.ErrorType = hearth.TypeProtocol
		words = fmt.Sprintf("The instance was stopped because it broke the frame protocol: %v. "+
			"Code in the function must leave file descriptor 3 alone.", d.protocol)
	case hearth.EndDrained:
		doc.ErrorType = hearth.TypeInstanceFailed
		words = "The platform is stopping and the invocation did not finish in time."
	default:
		words = exitWords(d.exit)
	}
	if d.inFlight > 1 {
		words = sentence(words) + fmt.Sprintf(" %d invocations shared this instance and all of them failed.", d.inFlight)
	}
	doc.ErrorMessage = "Error: " + words
	if request != "" {
		doc.ErrorMessage = "RequestId: " + request + " " + doc.ErrorMessage
	}
	return doc
}

// sentence puts a full stop where another sentence follows. Lambda's words have none.
func sentence(words string) string { return strings.TrimSuffix(words, ".") + "." }

// exitWords is Lambda's wording of how a process ended.
func exitWords(e sandbox.Exit) string {
	if s, ok := e.Signal.(syscall.Signal); ok {
		words := "Runtime exited with error: signal: " + s.String()
		if s == syscall.SIGABRT {
			words += ". Look at the end of the instance's log: an abort is often the language running out of heap."
		}
		return words
	}
	if e.Code == 0 {
		return "Runtime exited without providing a reason"
	}
	return fmt.Sprintf("Runtime exited with error: exit status %d", e.Code)
}

// encode is the JSON of a failure document.
func encode(doc hearth.FailureDoc) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil { // strings always encode
		panic(err)
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}
