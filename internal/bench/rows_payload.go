package bench

import (
	"fmt"
	"time"

	"hearth/internal/hearth"
)

// payloadSize is a size that goes in and comes out again.
type payloadSize struct {
	id, name    string
	bytes       int
	connections int
}

func payloadSizes() []payloadSize {
	return []payloadSize{
		{"1k", "1 KB", 1 << 10, 16},
		{"100k", "100 KB", 100 << 10, 16},
		{"6m", "6 MB", 6_000_000, 4}, // Lambda's limit is 6,291,556 with everything
	}
}

// payloads measures functions that give back what they are given: text through the
// function URL, JSON through Invoke.
func (s *suite) payloads() error {
	config := map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": 1024, "model": hearth.Concurrent, "maxConcurrency": 64, "timeout": "20s"}
	doors := []struct {
		id, function, way, body, contentType string
		load                                 func(script string) contestant
	}{
		{"url", "textecho", "text", "string.rep('x', %d)", "text/plain", func(script string) contestant {
			c := s.viaURL(s.platform, "textecho")
			c.load.Script = script
			return c
		}},
		{"invoke", "echo", "json", `'{"data":"' .. string.rep('x', %d) .. '"}'`, "application/json", func(script string) contestant {
			c := s.viaURL(s.platform, "echo")
			c.name, c.load = byInvoke, load{URL: s.platform.URL + invokePath("echo"), Script: script}
			return c
		}},
	}
	for _, door := range doors {
		if err := s.platform.deploy(door.function, door.function, config); err != nil {
			return err
		}
		if _, err := s.platform.invoke(door.function, "RequestResponse", []byte("{}")); err != nil {
			return err
		}
		plain, err := s.startDirect(door.function, door.way)
		if err != nil {
			return err
		}
		defer plain.stop()
		for _, size := range payloadSizes() {
			id := door.id + "-" + size.id
			script, err := s.post("payload-"+id, fmt.Sprintf(door.body, size.bytes), door.contentType)
			if err != nil {
				return err
			}
			ours, theirs := door.load(script), plain.contestant(inNode)
			theirs.load.Script = script
			if err := s.payload(id, size, ours, theirs); err != nil {
				s.excuse([]string{"payload-" + id}, err)
			}
		}
	}
	return nil
}

// payload measures one size through one door.
func (s *suite) payload(id string, size payloadSize, ours, theirs contestant) error {
	d := time.Second
	if size.bytes > 1<<20 {
		d = max(s.cfg.Duration, 2*time.Second) // few requests fit into a second
	}
	c, err := s.contest(size.name+" in and out", size.connections, d, theirs.name, []contestant{ours, theirs})
	if err == nil {
		s.rate("payload-"+id, c, ours.name, theirs.name)
	}
	return err
}
