package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// endCases are about how connections end.
func endCases() []httpCase {
	const grace = 50 * time.Millisecond
	return []httpCase{
		{name: "drain lets an invocation finish", under: onAny, cfg: Config{DrainGrace: grace}, run: drainFinishes},
		{name: "drain ends streams well", under: onAny, cfg: Config{DrainGrace: grace}, run: drainEndsFollowing},
		{name: "drain does not wait for half a body", under: onAny, cfg: Config{DrainGrace: grace}, run: drainHalfBody},
		{name: "drain with idle connections", under: onAny, cfg: Config{DrainGrace: grace, HeaderTimeout: 2 * time.Minute}, run: drainIdle},
		{name: "impatient drain", under: onAny, cfg: Config{DrainGrace: grace}, run: drainImpatient},
		{name: "idle connections end", under: onAny, cfg: Config{IdleTimeout: 100 * time.Millisecond}, run: idleEnds},
		{name: "silent connections end", under: onAny, cfg: Config{HeaderTimeout: 500 * time.Millisecond}, run: silentEnds},
		{name: "a client that leaves in the middle of a body", under: onAny, run: leavesMidBody},
		{name: "a client that leaves in the middle of an answer", under: onAny, run: leavesMidAnswer},
	}
}

// waited calls the function that waits, and returns its answer once it has one.
func (d *door) waited(t testing.TB, c *http.Client) <-chan string {
	t.Helper()
	req := d.request(t, "POST", waitPath, strings.NewReader("{}"))
	answer := make(chan string, 1)
	go func() {
		resp, err := c.Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- resp.Status + " " + string(body)
	}()
	<-d.invoker.waiting
	return answer
}

func drainFinishes(t *testing.T, d *door) {
	c := d.client(t)
	answer := d.waited(t, c)
	down := make(chan error, 1)
	go func() { down <- d.Shutdown(context.Background()) }()
	eventually(t, "nothing new is accepted", func() bool {
		fresh, err := net.Dial("tcp", d.addr)
		if err == nil {
			fresh.Close()
		}
		return err != nil
	})
	// Longer than a half request would have been waited for: this one is whole.
	patience := time.NewTimer(3 * d.cfg.DrainGrace)
	defer patience.Stop()
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned with an invocation in flight: %v", err)
	case <-patience.C:
	}
	close(d.invoker.block)
	if got := <-answer; got != `200 OK "waited"` {
		t.Errorf("the one in flight got %s", got)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	d.left(t)
}

func drainEndsFollowing(t *testing.T, d *door) {
	resp := d.open(t, d.client(t), d.request(t, "GET", "/hearth/v1/events?follow=1", nil))
	d.stop(t)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the stream did not end well: %v", err)
	}
}

func drainHalfBody(t *testing.T, d *door) {
	req, begun := d.halfSent(t, echoPath)
	c := d.client(t)
	done := make(chan string, 1)
	go func() {
		resp, err := c.Do(req)
		if err != nil {
			done <- err.Error()
			return
		}
		resp.Body.Close()
		done <- resp.Status
	}()
	<-begun
	d.stop(t)
	req.Body.Close() // net/http waits for it
	if got := <-done; strings.HasPrefix(got, "2") {
		t.Errorf("half a body was answered %s", got)
	}
}

func drainIdle(t *testing.T, d *door) {
	c := d.client(t)
	do(t, c, d.request(t, "GET", "/healthz", nil))
	silent, r := d.knock(t)
	eventually(t, "the server has both connections", func() bool { return d.way.conns(d.world) == 2 })
	begin := time.Now()
	d.stop(t)
	if took := time.Since(begin); took > patience/4 {
		t.Errorf("idle connections held the server up for %v", took)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the silent connection got an answer")
	}
	silent.Close()
}

func drainImpatient(t *testing.T, d *door) {
	answer := d.waited(t, d.client(t))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := d.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Errorf("Shutdown: %v", err)
	}
	if got := <-answer; strings.HasPrefix(got, "2") {
		t.Errorf("an invocation that was cut off was answered %s", got)
	}
	d.left(t)
}

func idleEnds(t *testing.T, d *door) {
	do(t, d.client(t), d.request(t, "GET", "/healthz", nil))
	d.left(t)
}

func silentEnds(t *testing.T, d *door) {
	_, r := d.knock(t)
	_, err := io.ReadAll(r) // an answer is optional
	if n, ok := err.(net.Error); ok && n.Timeout() {
		t.Error("the silent connection is still open")
	}
	d.left(t)
}

func leavesMidBody(t *testing.T, d *door) {
	ctx, leave := context.WithCancel(t.Context())
	req, begun := d.halfSent(t, waitPath)
	go func() { <-begun; leave(); req.Body.Close() }()
	c := d.client(t)
	// The server may still say that half of it is missing, and be faster than the client.
	if resp, err := c.Do(req.WithContext(ctx)); err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("half a body was answered %s", resp.Status)
		}
	}
	d.left(t, c)
	select {
	case <-d.invoker.waiting:
		t.Error("the function was called with half a body")
	default:
	}
}

func leavesMidAnswer(t *testing.T, d *door) {
	text := string(bigJSON(6 << 20))
	ctx, leave := context.WithCancel(t.Context())
	c := d.client(t)
	resp := d.open(t, c, d.request(t, "POST", echoPath, strings.NewReader(text)).WithContext(ctx))
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	leave()
	d.left(t, c)
	if resp, _ := do(t, c, d.request(t, "GET", "/healthz", nil)); resp.StatusCode != 200 {
		t.Errorf("the next one got %s", resp.Status)
	}
}
