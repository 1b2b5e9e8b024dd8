package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// event submits an asynchronous invocation and returns its id.
func (p *platform) event(name, payload string) string {
	p.t.Helper()
	status, header, body := p.request("POST", "/2015-03-31/functions/"+name+"/invocations", []byte(payload),
		map[string]string{"X-Amz-Invocation-Type": "Event"})
	if status != http.StatusAccepted || len(body) > 0 {
		p.t.Fatalf("event for %s: %d %s", name, status, body)
	}
	return header.Get("X-Amzn-Requestid")
}

func (p *platform) eventReaches(id string, state hearth.EventState) hearth.EventStatus {
	p.t.Helper()
	var s hearth.EventStatus
	eventually(p.t, patience, "event "+id+" is "+string(state), func() bool {
		p.get("/hearth/v1/async/events/"+id, &s)
		return s.State == state
	})
	return s
}

// TestAsync: an event runs with its id, its status tells where, and its end reaches
// the destination.
func TestAsync(t *testing.T) {
	p := up(t)
	p.deploy(node("sink", `const seen = []; exports.handler = async (e) => { if (e.requestContext) seen.push(e); return seen; };`,
		map[string]any{"model": "concurrent", "maxConcurrency": 10}))
	p.deploy(node("work", `exports.handler = async (event, context) => {
		if (event.ms) await new Promise((resolve) => setTimeout(resolve, event.ms));
		if (event.bad) throw new RangeError('bad');
		return { id: context.awsRequestId };
	};`, nil))
	status, body := p.do("PUT", "/2019-09-25/functions/work/event-invoke-config", []byte(`{"MaximumRetryAttempts":0,"DestinationConfig":{
		"OnSuccess":{"Destination":"arn:aws:lambda:us-east-1:000000000000:function:sink"}}}`), nil)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	id := p.event("work", `{"ms":3000}`)
	running := p.eventReaches(id, hearth.EventRunning)
	eventually(t, patience, "the instance is told", func() bool {
		p.get("/hearth/v1/async/events/"+id, &running)
		return running.Instance != "" && running.Attempt == 1
	})
	if s := p.eventReaches(id, hearth.EventSucceeded); s.Instance != running.Instance {
		t.Errorf("%+v, ran on %s", s, running.Instance)
	}
	eventually(t, patience, "the destination has the record", func() bool {
		return strings.Contains(p.invoke("sink", "{}").payload, `"responsePayload":{"id":"`+id+`"}`)
	})
	bad := p.event("work", `{"bad":true}`)
	if s := p.eventReaches(bad, hearth.EventDead); s.ErrorType != "RangeError" || s.Condition != hearth.ConditionExhausted {
		t.Errorf("%+v", s)
	}
	if letters := p.deadLetters(); len(letters) != 1 || letters[0].ID != bad {
		t.Errorf("%+v", letters)
	}
	// A restart forgets none of it.
	p.stop()
	p = upIn(t, p.dir)
	if letters := p.deadLetters(); len(letters) != 1 || letters[0].ID != bad {
		t.Errorf("after a restart: %+v", letters)
	}
	p.eventReaches(id, hearth.EventSucceeded)
}

func (p *platform) deadLetters() []hearth.DeadLetter {
	p.t.Helper()
	var list struct{ DeadLetters []hearth.DeadLetter }
	p.get("/hearth/v1/dead-letters", &list)
	return list.DeadLetters
}

// TestAsyncStarvesNobody: functions with long queues of slow events, on a node that
// has room for eight instances, leave room for synchronous callers, also of the same
// functions, and for another function's single event.
func TestAsyncStarvesNobody(t *testing.T) {
	p := up(t, "--memory", "2048")
	slow := `exports.handler = (e) => new Promise((resolve) => setTimeout(() => resolve('ok'), e.ms || 0));`
	for _, name := range []string{"flood0", "flood1", "quick", "single"} {
		p.deploy(node(name, slow, map[string]any{"timeout": "60s"}))
	}
	for range 50 {
		p.event("flood0", `{"ms":10000}`)
		p.event("flood1", `{"ms":10000}`)
	}
	eventually(t, patience, "the queues are worked on", func() bool { return len(p.instances("flood0")) > 0 })
	for _, name := range []string{"quick", "flood0", "quick", "flood1", "quick"} {
		if a := p.invoke(name, "{}"); a.status != 200 || a.failed || a.duration > 8*time.Second {
			t.Errorf("%s: %d %s after %v", name, a.status, a.payload, a.duration)
		}
	}
	begin := time.Now()
	p.eventReaches(p.event("single", "{}"), hearth.EventSucceeded)
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("the single event took %v", took)
	}
}
