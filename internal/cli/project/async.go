package project

import (
	"slices"
	"strconv"

	"hearth/internal/hearth"
)

// asyncKeys are those of hearth.yml's async.
var asyncKeys = []string{"retries", "maxAge", "onSuccess", "onFailure", "deadLetter"}

// setAsync reads async: what becomes of events that the function is invoked with
// asynchronously.
func setAsync(d *decoder, f *Function, e entry) {
	o := d.object(e.value, "async")
	if o == nil {
		return
	}
	before := len(d.problems)
	a := &hearth.AsyncConfig{}
	if v, ok := o.get("retries"); ok {
		if n, ok := d.whole(entry{o.at("retries"), v.keyNode, v.value}, 0, hearth.MaxAsyncRetries, ""); ok {
			a.Retries = &n
		}
	}
	if v, ok := o.get("maxAge"); ok {
		if age, ok := d.span(entry{o.at("maxAge"), v.keyNode, v.value}, "1h"); !ok {
			return
		} else if age < hearth.MinEventAge || age > hearth.MaxEventAge {
			d.problem(v.value, "async.maxAge must be from %v to %v, not %s", hearth.MinEventAge, hearth.MaxEventAge, written(v))
		} else {
			a.MaxAge = age
		}
	}
	for key, field := range map[string]*string{"onSuccess": &a.OnSuccess, "onFailure": &a.OnFailure, "deadLetter": &a.DeadLetter} {
		s, v, ok := o.text(key)
		if !ok {
			continue
		}
		if _, err := hearth.ParseDestination(s); err != nil {
			d.problem(v.value, "%s: %s", o.at(key), err)
		}
		*field = s
	}
	for _, v := range o.members {
		if !slices.Contains(asyncKeys, v.key) {
			d.problem(v.keyNode, "unknown key %q%s", v.key, hearth.Hint(v.key, asyncKeys))
		}
	}
	if len(d.problems) == before && !a.Equal(new(hearth.AsyncConfig)) {
		f.Async = a
	}
}

// asyncOf reads what a function of serverless.yml says of its events.
func (s *serverless) asyncOf(o *object, f *Function) {
	a := &hearth.AsyncConfig{}
	if words, e, ok := o.text("maximumRetryAttempts"); ok {
		n, err := strconv.Atoi(words)
		if err != nil || n < 0 || n > hearth.MaxAsyncRetries {
			s.d.problem(e.value, "%s must be a whole number from 0 to %d, not %s", o.at("maximumRetryAttempts"), hearth.MaxAsyncRetries, words)
			return
		}
		a.Retries = &n
	}
	if words, e, ok := o.text("maximumEventAge"); ok {
		age, read := ParseSpan(words)
		if !read || age < hearth.MinEventAge || age > hearth.MaxEventAge {
			s.d.problem(e.value, "%s must be a number of seconds from %.0f to %.0f, not %s", o.at("maximumEventAge"),
				hearth.MinEventAge.Seconds(), hearth.MaxEventAge.Seconds(), words)
			return
		}
		a.MaxAge = age
	}
	if !a.Equal(new(hearth.AsyncConfig)) {
		f.Async = a
	}
}
