package cli

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/internal/hearth"
)

// publishedFunction has the versions of a function of the test platform, by the rules
// of the real one as far as the commands see them.
type publishedFunction struct {
	numbers []string // oldest first
	changed bool     // since the last was published
	aliases []hearth.Alias
}

func (p *testPlatform) handleVersions(mux *http.ServeMux) {
	const lambda = "/2015-03-31/functions/{name}"
	mux.HandleFunc("GET /hearth/v1/functions/{name}/versions", p.withVersions(p.listVersions))
	mux.HandleFunc("POST "+lambda+"/versions", p.withVersions(p.publish))
	mux.HandleFunc("DELETE "+lambda, p.withVersions(p.deleteVersion))
	mux.HandleFunc("GET /hearth/v1/functions/{name}/aliases", p.withVersions(p.listAliases))
	mux.HandleFunc("POST "+lambda+"/aliases", p.withVersions(p.setAlias))
	mux.HandleFunc("PUT "+lambda+"/aliases/{alias}", p.withVersions(p.setAlias))
	mux.HandleFunc("DELETE "+lambda+"/aliases/{alias}", p.withVersions(p.deleteAlias))
	mux.HandleFunc("POST /hearth/v1/functions/{name}/aliases/{alias}/rollback", p.withVersions(p.rollback))
	mux.HandleFunc("GET /hearth/v1/functions/{name}/provisioned", p.withVersions(p.provisioned))
	mux.HandleFunc("PUT /hearth/v1/functions/{name}/provisioned", p.withVersions(p.provision))
}

func (p *testPlatform) provisioned(w http.ResponseWriter, r *http.Request, _ *publishedFunction) {
	answerJSON(w, http.StatusOK, provisionList{p.functions[r.PathValue("name")].Provisioned})
}

// provision has all but one ready.
func (p *testPlatform) provision(w http.ResponseWriter, r *http.Request, pub *publishedFunction) {
	var in struct {
		Qualifier  string
		Executions int
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, hearth.ErrInvalid, err.Error())
		return
	}
	f := p.functions[r.PathValue("name")]
	info := hearth.ProvisionInfo{Allocated: in.Executions, Available: in.Executions - 1, Status: hearth.ProvisionInProgress}
	info.Qualifier, info.Executions, info.LastModified = cmp.Or(in.Qualifier, hearth.Latest), in.Executions, noon
	f.Provisioned = slices.DeleteFunc(slices.Clone(f.Provisioned), func(p hearth.ProvisionInfo) bool { return p.Qualifier == info.Qualifier })
	if in.Executions > 0 {
		f.Provisioned = append(f.Provisioned, info)
	}
	p.functions[f.Name] = f
	p.provisioned(w, r, pub)
}

// withVersions answers 404 for functions that there are not.
func (p *testPlatform) withVersions(serve func(http.ResponseWriter, *http.Request, *publishedFunction)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, ok := p.find(w, r); !ok {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		f := p.versions[r.PathValue("name")]
		if f == nil {
			f = &publishedFunction{changed: true}
			p.versions[r.PathValue("name")] = f
		}
		serve(w, r, f)
	}
}

func (p *testPlatform) listVersions(w http.ResponseWriter, r *http.Request, f *publishedFunction) {
	list := versionList{Unpublished: f.changed}
	latest := p.functions[r.PathValue("name")].Latest
	add := func(number string) {
		v := publishedVersion{version: latest}
		v.Number = number
		for _, a := range f.aliases {
			if a.Uses(number) {
				v.Aliases = append(v.Aliases, a.Name)
			}
		}
		list.Versions = append(list.Versions, v)
	}
	add(hearth.Latest)
	for _, number := range slices.Backward(f.numbers) {
		add(number)
	}
	answerJSON(w, 200, list)
}

func (p *testPlatform) publish(w http.ResponseWriter, _ *http.Request, f *publishedFunction) {
	if f.changed {
		f.numbers = append(f.numbers, strconv.Itoa(len(f.numbers)+1))
		f.changed = false
	}
	answerJSON(w, 201, map[string]string{"Version": f.numbers[len(f.numbers)-1]})
}

func (p *testPlatform) deleteVersion(w http.ResponseWriter, r *http.Request, f *publishedFunction) {
	number := r.URL.Query().Get("Qualifier")
	for _, a := range f.aliases {
		if a.Uses(number) {
			answerJSON(w, 409, map[string]string{"Type": "User", "message": "Version " + number + " cannot be deleted: alias " + a.Name + " leads to it."})
			return
		}
	}
	f.numbers = slices.DeleteFunc(f.numbers, func(n string) bool { return n == number })
	w.WriteHeader(204)
}

func (p *testPlatform) listAliases(w http.ResponseWriter, _ *http.Request, f *publishedFunction) {
	answerJSON(w, 200, map[string]any{"aliases": append([]hearth.Alias{}, f.aliases...)})
}

func (p *testPlatform) setAlias(w http.ResponseWriter, r *http.Request, f *publishedFunction) {
	var in struct {
		Name, FunctionVersion, Description string
		RoutingConfig                      struct{ AdditionalVersionWeights map[string]float64 }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, 400, hearth.ErrInvalid, err.Error())
		return
	}
	a := hearth.Alias{Name: cmp.Or(in.Name, r.PathValue("alias")), Route: hearth.Route{Version: in.FunctionVersion},
		Description: in.Description, Revision: "r1", LastModified: noon}
	for number, weight := range in.RoutingConfig.AdditionalVersionWeights {
		a.Also, a.Weight = number, weight
	}
	for _, number := range []string{a.Version, a.Also} {
		if number != "" && number != hearth.Latest && !slices.Contains(f.numbers, number) {
			answerJSON(w, 404, map[string]string{"Type": "User", "Message": "Function not found: arn:…:" + number})
			return
		}
	}
	f.aliases = slices.DeleteFunc(f.aliases, func(old hearth.Alias) bool {
		if old.Name != a.Name {
			return false
		}
		a.Previous = &old.Route
		return true
	})
	f.aliases = append(f.aliases, a)
	answerJSON(w, 200, map[string]string{})
}

func (p *testPlatform) deleteAlias(w http.ResponseWriter, r *http.Request, f *publishedFunction) {
	f.aliases = slices.DeleteFunc(f.aliases, func(a hearth.Alias) bool { return a.Name == r.PathValue("alias") })
	w.WriteHeader(204)
}

func (p *testPlatform) rollback(w http.ResponseWriter, r *http.Request, f *publishedFunction) {
	for i := range f.aliases {
		a := &f.aliases[i]
		if a.Name != r.PathValue("alias") {
			continue
		}
		if a.Previous == nil {
			refuse(w, 409, hearth.ErrConflict, "Alias "+a.Name+" has never led anywhere else.")
			return
		}
		from := a.Route
		a.Route, a.Previous = *a.Previous, &from
		answerJSON(w, 200, a)
	}
}

func (p *testPlatform) handleAsync(mux *http.ServeMux) {
	mux.HandleFunc("GET /hearth/v1/async/events/{id}", p.eventStatus)
	mux.HandleFunc("GET /hearth/v1/dead-letters", p.listDeadLetters)
	mux.HandleFunc("DELETE /hearth/v1/dead-letters", p.purgeDeadLetters)
	mux.HandleFunc("GET /hearth/v1/dead-letters/{key}", p.deadLetter)
	mux.HandleFunc("DELETE /hearth/v1/dead-letters/{key}", p.deadLetter)
	mux.HandleFunc("POST /hearth/v1/dead-letters/{key}/replay", p.deadLetter)
	for i, function := range []string{"hello", "broken", "broken"} {
		p.letters = append(p.letters, deadLetter{hearth.DeadLetter{Key: uint64(i + 17), ID: "33333333-0" + strconv.Itoa(i), Function: function,
			Accepted: noon, Died: noon.Add(time.Minute), Attempts: 3, Condition: hearth.ConditionExhausted, ErrorType: "TypeError",
			Error: "x is not a function", Size: 11}, json.RawMessage(`{"order":1}`)})
	}
}

func (p *testPlatform) backlogs() []hearth.Backlog {
	return []hearth.Backlog{{Function: "hello", Queued: 12, Running: 3, Retrying: 2, Oldest: noon, AcceptedPerSecond: 5, FinishedPerSecond: 4.25,
		Accepted: 100, Succeeded: 80, Retries: 7, Dead: 1, DeadLetters: 1}}
}

// eventStatus answers by id; "soon" is done when it is asked for the second time.
func (p *testPlatform) eventStatus(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	p.mu.Lock()
	p.calls[id]++
	n := p.calls[id]
	p.mu.Unlock()
	s := hearth.EventStatus{ID: id, Function: "hello", Qualifier: "prod", Attempt: 2, Instance: "i000000000001", Accepted: noon, Changed: noon.Add(time.Second)}
	switch {
	case id == "retries":
		s.State, s.NextAttempt, s.ErrorType, s.Error = hearth.EventRetrying, noon.Add(2*time.Minute), "TypeError", "x is not a function"
	case id == "soon" && n == 1:
		s.State = hearth.EventRunning
	case id == "soon":
		s.State, s.Condition = hearth.EventSucceeded, hearth.ConditionSuccess
	case id == "dead":
		s.State, s.Condition, s.ErrorType, s.Error = hearth.EventDead, hearth.ConditionExhausted, "TypeError", "x is not a function"
	default:
		refuse(w, 404, hearth.ErrNotFound, "Nothing is known of event "+id+".")
		return
	}
	answerJSON(w, 200, s)
}

func (p *testPlatform) listDeadLetters(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	page := deadLetterPage{DeadLetters: []hearth.DeadLetter{}}
	after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	for _, l := range p.letters {
		if name := r.URL.Query().Get("function"); l.Key > after && (name == "" || name == l.Function) {
			page.DeadLetters = append(page.DeadLetters, l.DeadLetter)
		}
	}
	answerJSON(w, 200, page)
}

func (p *testPlatform) purgeDeadLetters(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.letters)
	name := r.URL.Query().Get("function")
	p.letters = slices.DeleteFunc(p.letters, func(l deadLetter) bool { return name == "" || name == l.Function })
	answerJSON(w, 200, map[string]int{"purged": before - len(p.letters)})
}

func (p *testPlatform) deadLetter(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.letters, func(l deadLetter) bool { return strconv.FormatUint(l.Key, 10) == r.PathValue("key") })
	if i < 0 {
		refuse(w, 404, hearth.ErrNotFound, "There is no dead letter "+r.PathValue("key")+".")
		return
	}
	if r.Method == http.MethodGet {
		answerJSON(w, 200, p.letters[i])
		return
	}
	id := p.letters[i].ID
	p.letters = slices.Delete(p.letters, i, i+1)
	if strings.HasSuffix(r.URL.Path, "/replay") {
		answerJSON(w, 202, map[string]string{"id": id})
		return
	}
	w.WriteHeader(204)
}
