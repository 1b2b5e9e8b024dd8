package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"hearth/internal/hearth"
)

// asyncDoc is hearth.AsyncConfig with lengths of time as people write them.
type asyncDoc struct {
	Retries      *int      `json:"retries,omitempty"`
	MaxAge       *span     `json:"maxAge,omitempty"`
	OnSuccess    string    `json:"onSuccess,omitempty"`
	OnFailure    string    `json:"onFailure,omitempty"`
	DeadLetter   string    `json:"deadLetter,omitempty"`
	LastModified time.Time `json:"lastModified,omitzero"` // not taken from a request
}

func asyncDocOf(a *hearth.AsyncConfig) *asyncDoc {
	if a == nil {
		return nil
	}
	doc := &asyncDoc{Retries: a.Retries, OnSuccess: a.OnSuccess, OnFailure: a.OnFailure, DeadLetter: a.DeadLetter, LastModified: a.LastModified}
	if a.MaxAge > 0 {
		age := span(a.MaxAge)
		doc.MaxAge = &age
	}
	return doc
}

// setAsync replaces the asynchronous settings of f by those in text, a JSON object, or by
// the defaults if that is null. Settings that are as they were keep their date.
func setAsync(f *hearth.Function, text []byte, now time.Time) error {
	var doc asyncDoc
	if string(text) != "null" {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&doc); err != nil {
			return hearth.Errorf(hearth.ErrInvalid, "async is not as it should be: %s; it is null, or an object with retries, maxAge, onSuccess, onFailure and deadLetter.",
				strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	a := &hearth.AsyncConfig{Retries: doc.Retries, OnSuccess: doc.OnSuccess, OnFailure: doc.OnFailure, DeadLetter: doc.DeadLetter}
	if doc.MaxAge != nil {
		if a.MaxAge = time.Duration(*doc.MaxAge); a.MaxAge == 0 {
			a.MaxAge = -1 // zero would be the default: have it refused
		}
	}
	if err := checkAsync(f.Name, a); err != nil {
		return err
	}
	// What Lambda's API has a resource for has a date.
	if !a.Equal(&hearth.AsyncConfig{DeadLetter: a.DeadLetter}) {
		a.LastModified = now
	}
	if old := f.Async; old != nil && !a.LastModified.IsZero() {
		same := *a
		if same.LastModified = old.LastModified; same.Equal(old) && !old.LastModified.IsZero() {
			a.LastModified = old.LastModified
		}
	}
	f.Async = orNothing(a)
	return nil
}
