package trigger

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"hearth/internal/hearth"
)

// scheduled is the event that EventBridge sends for a scheduled rule.
type scheduled struct {
	Version    string   `json:"version"`
	ID         string   `json:"id"`
	DetailType string   `json:"detail-type"`
	Source     string   `json:"source"`
	Account    string   `json:"account"`
	Time       string   `json:"time"` // the due time, also of a run that is late
	Region     string   `json:"region"`
	Resources  []string `json:"resources"`
	Detail     struct{} `json:"detail"`
}

// idOf is the id of a run, in the form of a UUID (version 8, RFC 9562). It depends on
// when the function was created, so that one of the same name is another one.
func idOf(f *hearth.Function, trigger string, due time.Time) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%d", f.Name, trigger, f.Created.UnixMilli(), due.Unix()))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// payload is what the run's event holds.
func (c *Config) payload(f *hearth.Function, t *hearth.Trigger, id string, due time.Time) []byte {
	if len(t.Input) > 0 {
		return t.Input
	}
	text, err := json.Marshal(scheduled{
		Version: "0", ID: id, DetailType: "Scheduled Event", Source: "aws.events", Account: c.Account, Region: c.Region,
		Time:      due.UTC().Format("2006-01-02T15:04:05Z"),
		Resources: []string{fmt.Sprintf("arn:aws:events:%s:%s:rule/%s-%s", c.Region, c.Account, f.Name, t.Name)},
	})
	if err != nil { // strings only
		panic(fmt.Sprintf("trigger: encode an event: %v", err))
	}
	return text
}
