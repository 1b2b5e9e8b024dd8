// Package sample makes the payloads that other clouds' sources of events send, to try
// functions with.
package sample

import (
	"bytes"
	"crypto/md5"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/internal/hearth"
)

//go:embed payloads/*.json
var payloads embed.FS

// Source is something that sends events.
type Source struct {
	Name  string
	Short string
	// Words are short names for places in the payload; any other place is named by its
	// keys with dots between.
	Words map[string][]string
}

// Sources lists what Payload knows.
func Sources() []Source {
	method2 := []string{"requestContext.http.method"}
	path2 := []string{"rawPath", "requestContext.http.path"}
	return []Source{
		{"apigateway", "an HTTP request, payload format 1.0 (REST API)", map[string][]string{
			"method": {"httpMethod", "requestContext.httpMethod"}, "path": {"path"}, "body": {"body"}}},
		{"apigateway-v2", "an HTTP request, payload format 2.0 (HTTP API)", map[string][]string{"method": method2, "path": path2, "body": {"body"}}},
		{"function-url", "an HTTP request to a function URL", map[string][]string{"method": method2, "path": path2, "body": {"body"}}},
		{"s3", "an object put into a bucket", map[string][]string{
			"bucket": {"Records.0.s3.bucket.name"}, "key": {"Records.0.s3.object.key"}, "size": {"Records.0.s3.object.size"}, "event": {"Records.0.eventName"}}},
		{"sqs", "a message of a queue", map[string][]string{"body": {"Records.0.body"}, "queue": {"Records.0.eventSourceARN"}}},
		{"sns", "a notification of a topic", map[string][]string{
			"message": {"Records.0.Sns.Message"}, "subject": {"Records.0.Sns.Subject"}, "topic": {"Records.0.Sns.TopicArn"}}},
		{"schedule", "a tick of a scheduled rule", map[string][]string{"time": {"time"}, "detail": {"detail"}, "rule": {"resources.0"}}},
		{"dynamodb", "an item put into a table", map[string][]string{
			"event": {"Records.0.eventName"}, "image": {"Records.0.dynamodb.NewImage"}, "keys": {"Records.0.dynamodb.Keys"}}},
		{"cloudevent", "a CloudEvent 1.0 of an object in a bucket", map[string][]string{
			"type": {"type"}, "source": {"source"}, "subject": {"subject"}, "data": {"data"}}},
		{"pubsub", "a message of a Pub/Sub topic, for Google's background functions", map[string][]string{
			"message": {"data.data"}, "attributes": {"data.attributes"}, "topic": {"context.resource.name"}}},
	}
}

// Setting replaces the value at a place of a payload.
type Setting struct{ Key, Value string }

// Payload is an event of source at the time now, as JSON, with the settings made one
// after the other. The error is in words for people.
func Payload(source string, now time.Time, settings []Setting) ([]byte, error) {
	i := slices.IndexFunc(Sources(), func(s Source) bool { return s.Name == source })
	if i < 0 {
		var names []string
		for _, s := range Sources() {
			names = append(names, s.Name)
		}
		return nil, fmt.Errorf("there is no event %q%s; there are %s", source, hearth.Hint(source, names), strings.Join(names, ", "))
	}
	s := Sources()[i]
	template, err := payloads.ReadFile("payloads/" + source + ".json")
	if err != nil {
		return nil, err
	}
	raw := fill(template, now)
	for _, set := range settings {
		if raw, err = s.set(raw, set); err != nil {
			return nil, err
		}
	}
	if source == "sqs" {
		raw = sign(raw)
	}
	return raw, nil
}

// fill puts times and ids in.
func fill(template []byte, now time.Time) []byte {
	now = now.UTC()
	id := hearth.NewRequestID()
	return []byte(strings.NewReplacer(
		"{{id}}", id,
		"{{hex16}}", strings.ToUpper(strings.ReplaceAll(id, "-", "")[:16]),
		"{{digits}}", strconv.FormatUint(1e15+rand.Uint64N(9e15), 10),
		"{{iso}}", now.Format("2006-01-02T15:04:05.000Z"),
		"{{seconds}}", now.Format("2006-01-02T15:04:05Z"),
		"{{clf}}", now.Format("02/Jan/2006:15:04:05 -0700"),
		"{{ms}}", strconv.FormatInt(now.UnixMilli(), 10),
		"{{epoch}}", strconv.FormatInt(now.Unix(), 10),
	).Replace(string(template)))
}

// sign puts the digest of a queue's message beside it.
func sign(raw []byte) []byte {
	var event struct{ Records []struct{ Body string } }
	if json.Unmarshal(raw, &event) != nil || len(event.Records) == 0 {
		return raw
	}
	sum := md5.Sum([]byte(event.Records[0].Body))
	return bytes.Replace(raw, []byte("{{md5}}"), []byte(hex.EncodeToString(sum[:])), 1)
}

func (s *Source) set(raw []byte, set Setting) ([]byte, error) {
	places := s.Words[set.Key]
	if places == nil {
		places = []string{set.Key}
	}
	for _, place := range places {
		value := set.Value
		if s.Name == "pubsub" && place == "data.data" {
			value = base64.StdEncoding.EncodeToString([]byte(value))
		}
		changed, err := replace(raw, 0, strings.Split(place, "."), value)
		if err != nil {
			var words []string
			for word := range s.Words {
				words = append(words, word)
			}
			slices.Sort(words)
			return nil, fmt.Errorf("%s: %w%s. Short names are %s; any other place is named by its keys, such as Records.0.awsRegion",
				set.Key, err, hearth.Hint(set.Key, words), strings.Join(words, ", "))
		}
		raw = changed
	}
	return raw, nil
}

// replace puts value at path of the JSON value that begins at from. What has been text
// stays text; elsewhere a value that is JSON is taken as such. A key that is not there
// yet is added to its object.
func replace(raw []byte, from int, path []string, value string) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw[from:]))
	open, err := d.Token()
	if err != nil {
		return nil, err
	}
	object := open == json.Delim('{')
	if !object && open != json.Delim('[') {
		return nil, fmt.Errorf("there is nothing inside of %v", open)
	}
	for i := 0; d.More(); i++ {
		key := strconv.Itoa(i)
		if object {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, _ = token.(string)
		}
		var old json.RawMessage
		if err := d.Decode(&old); err != nil {
			return nil, err
		}
		if key != path[0] {
			continue
		}
		end := from + int(d.InputOffset())
		begin := end - len(old)
		if len(path) > 1 {
			return replace(raw, begin, path[1:], value)
		}
		return slices.Concat(raw[:begin], written(old, value), raw[end:]), nil
	}
	if !object || len(path) > 1 || path[0] == "" {
		return nil, fmt.Errorf("the payload has no %s", path[0])
	}
	end := from + int(d.InputOffset())
	empty := bytes.Equal(bytes.TrimSpace(raw[from:end]), []byte("{"))
	added := slices.Concat(quoted(path[0]), []byte(": "), written(nil, value))
	if !empty {
		added = append([]byte(", "), added...)
	}
	return slices.Concat(raw[:end], added, raw[end:]), nil
}

// written is value as JSON, in place of old.
func written(old json.RawMessage, value string) []byte {
	if (len(old) == 0 || old[0] != '"') && json.Valid([]byte(value)) {
		return []byte(value)
	}
	return quoted(value)
}

// quoted is s as a JSON string.
func quoted(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return []byte(`""`) // cannot be: every string can be written
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
