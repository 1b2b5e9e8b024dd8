package api

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"hearth/internal/hearth"
)

// backlogs lists what functions have queued, of all or of one.
func (s *Server) backlogs(r *request) error {
	var list []hearth.Backlog
	var err error
	if name := r.query.get("function"); name == "" {
		list, err = s.deps.Async.Backlogs(s.work)
	} else {
		if _, err := s.deps.Functions.Get(name); err != nil {
			return hearth.Errorf(hearth.ErrNotFound, "There is no function %s. GET /hearth/v1/functions lists those that exist.", clip(name))
		}
		list = make([]hearth.Backlog, 1)
		list[0], err = s.deps.Async.Backlog(s.work, name)
	}
	if err != nil {
		return err
	}
	if list == nil {
		list = []hearth.Backlog{}
	}
	s.writeLine(r.ctx, 200, map[string]any{"functions": list})
	return nil
}

func (s *Server) eventStatus(r *request) error {
	status, err := s.deps.Async.Status(s.work, r.args[0])
	if err != nil {
		return err
	}
	s.writeLine(r.ctx, 200, status)
	return nil
}

// Dead letters are listed in pages.
const (
	defaultDeadLetters = 100
	maxDeadLetters     = 1000
)

type deadLettersDoc struct {
	DeadLetters []hearth.DeadLetter `json:"deadLetters"`
	Next        uint64              `json:"next,omitempty"` // for after=, when there may be more
}

func (s *Server) deadLetters(r *request) error {
	after, err := number(r, "after", 0)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", defaultDeadLetters)
	if err != nil {
		return err
	}
	n := int(min(max(limit, 1), maxDeadLetters))
	list, err := s.deps.Async.DeadLetters(s.work, r.query.get("function"), after, n)
	if err != nil {
		return err
	}
	doc := deadLettersDoc{DeadLetters: list}
	if list == nil {
		doc.DeadLetters = []hearth.DeadLetter{}
	} else if len(list) == n {
		doc.Next = list[n-1].Key
	}
	s.writeLine(r.ctx, 200, doc)
	return nil
}

func number(r *request, name string, otherwise uint64) (uint64, error) {
	text := r.query.get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, hearth.Errorf(hearth.ErrInvalid, "%s is %q; it must be a number from 0 up.", name, clip(text))
	}
	return n, nil
}

// key is the dead letter that the path names.
func (r *request) key() (uint64, error) {
	key, err := strconv.ParseUint(r.args[0], 10, 64)
	if err != nil {
		return 0, hearth.Errorf(hearth.ErrInvalid, "%q is no dead letter: its key is a number. GET /hearth/v1/dead-letters lists them.", clip(r.args[0]))
	}
	return key, nil
}

// deadLetterDoc shows payload and client context as the JSON that they are.
type deadLetterDoc struct {
	hearth.DeadLetter
	Payload       json.RawMessage `json:"payload"`
	ClientContext json.RawMessage `json:"clientContext,omitempty"`
}

func (s *Server) deadLetter(r *request) error {
	key, err := r.key()
	if err != nil {
		return err
	}
	letter, err := s.deps.Async.DeadLetter(s.work, key)
	if err != nil {
		return err
	}
	doc := deadLetterDoc{DeadLetter: letter, Payload: asJSON(letter.Payload)}
	if len(letter.ClientContext) > 0 {
		doc.ClientContext = asJSON(letter.ClientContext)
	}
	s.writeLine(r.ctx, 200, doc)
	return nil
}

// asJSON is text itself if it is JSON, else a string with its base64.
func asJSON(text []byte) json.RawMessage {
	if json.Valid(text) && utf8.Valid(text) {
		return text
	}
	encoded, err := json.Marshal(text)
	if err != nil {
		panic("api: bytes cannot be written as JSON: " + err.Error())
	}
	return encoded
}

func (s *Server) deleteDeadLetter(r *request) error {
	key, err := r.key()
	if err != nil {
		return err
	}
	if err := s.deps.Async.DeleteDeadLetter(s.work, key); err != nil {
		return err
	}
	r.ctx.SetStatusCode(204)
	return nil
}

// replay submits a dead letter again, under the same request id.
func (s *Server) replay(r *request) error {
	key, err := r.key()
	if err != nil {
		return err
	}
	id, err := s.deps.Async.Replay(s.work, key)
	if err != nil {
		return err
	}
	s.writeLine(r.ctx, 202, map[string]string{"id": id})
	return nil
}

// purgeDeadLetters removes those of one function, or all if the caller says so.
func (s *Server) purgeDeadLetters(r *request) error {
	function := r.query.get("function")
	if function == "" && r.query.get("all") != "1" {
		return hearth.Errorf(hearth.ErrInvalid, "Say whose dead letters to remove: function=NAME, or all=1 for every function's.")
	}
	n, err := s.deps.Async.PurgeDeadLetters(s.work, function)
	if err != nil {
		return err
	}
	s.writeLine(r.ctx, 200, map[string]int{"purged": n})
	return nil
}
