package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clockwork writes when each run was due, and its id, to a file outside.
const clockwork = `const fs = require('fs');
exports.handler = async (event, context) => {
  if (event.id !== context.awsRequestId || event['detail-type'] !== 'Scheduled Event') throw new Error('odd event');
  fs.appendFileSync(process.env.RECORDS + '/runs', event.time + ' ' + event.id + '\n');
};`

// TestTriggers: a function with a beat of one second, declared in hearth.yml, runs for
// every second at least once, though the platform is killed and down in between.
func TestTriggers(t *testing.T) {
	dir, records, source := t.TempDir(), t.TempDir(), t.TempDir()
	p := upIn(t, dir, "--isolation", "process")
	for name, text := range map[string]string{
		"index.js": clockwork,
		"hearth.yml": "name: clockwork\nruntime: nodejs\nhandler: index.handler\nenv: {RECORDS: " + records + "}\n" +
			"triggers:\n  - {name: beat, schedule: rate(1 second), missed: all}\n",
	} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, stderr, code := p.hearth("deploy", source); code != 0 {
		t.Fatalf("deploy: %d %s %s", code, out, stderr)
	}
	if out, _, _ := p.hearth("show", "clockwork"); !strings.Contains(out, "rate(1 second)") {
		t.Errorf("show: %s", out)
	}
	for kill := range 4 {
		atLeast := len(runs(t, records)) + 2
		eventually(t, patience, fmt.Sprint(atLeast, " runs before kill ", kill), func() bool { return len(runs(t, records)) >= atLeast })
		p.kill()
		pause(1300 * time.Millisecond) // down for at least one beat
		p = upIn(t, dir, "--isolation", "process")
	}
	atLeast := len(runs(t, records)) + 3
	eventually(t, patience, "runs after the last kill", func() bool { return len(runs(t, records)) >= atLeast })

	// Once the trigger is gone and the queue is empty, nothing more may come.
	status, body := p.put("/hearth/v1/functions/clockwork", map[string]any{"triggers": []any{}})
	if status != http.StatusOK || strings.Contains(string(body), `"triggers"`) {
		t.Fatalf("take the trigger away: %d %s", status, body)
	}
	checkBeat(t, records)
	if status, body := p.put("/hearth/v1/functions/clockwork", map[string]any{"triggers": []any{
		map[string]any{"name": "odd", "schedule": "rate(5 weeks)"}}}); status != http.StatusBadRequest {
		t.Errorf("a schedule that is none: %d %s", status, body)
	}
}

// checkBeat waits until every second between the first run and the last was run, and
// counts those that were run more than once.
func checkBeat(t *testing.T, records string) {
	t.Helper()
	var missing []string
	var seconds, all int
	complete := func() bool {
		ids := map[string]string{}
		var first, last time.Time
		all = 0
		for _, line := range runs(t, records) {
			at, id, _ := strings.Cut(line, " ")
			due, err := time.Parse(time.RFC3339, at)
			if err != nil {
				t.Fatal(err)
			}
			if ids[at] != "" && ids[at] != id {
				t.Fatalf("two events for %s: %s and %s", at, ids[at], id)
			}
			ids[at] = id
			if first.IsZero() || due.Before(first) {
				first = due
			}
			if due.After(last) {
				last = due
			}
			all++
		}
		missing, seconds = nil, len(ids)
		for at := first; !at.After(last); at = at.Add(time.Second) {
			if text := at.Format("2006-01-02T15:04:05Z"); ids[text] == "" {
				missing = append(missing, text)
			}
		}
		return len(missing) == 0
	}
	defer func() { t.Logf("%d due times, %d runs, missing: %v", seconds, all, missing) }()
	eventually(t, patience, "every due time was run", complete)
}

// runs are the lines that the function has written.
func runs(t *testing.T, records string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(records, "runs"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	return lines[:len(lines)-1] // the last one may be under way
}
