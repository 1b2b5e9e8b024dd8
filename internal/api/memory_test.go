package api

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/hearth/packed"
	"hearth/internal/invoke"
	"hearth/internal/registry"
)

// memFunctions keeps functions in memory, by the rules of the real registry.
type memFunctions struct {
	mu        sync.Mutex
	functions map[string]*hearth.Function
	code      map[string][]byte
	revisions int
	deleted   int
	numbers   map[string]int // of the last versions of deleted functions
	now       func() time.Time
}

func newMemFunctions(now func() time.Time) *memFunctions {
	return &memFunctions{functions: map[string]*hearth.Function{}, numbers: map[string]int{}, code: map[string][]byte{}, now: now}
}

func (m *memFunctions) storeLocked(archive []byte) (hearth.Code, error) {
	if _, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive))); err != nil {
		return hearth.Code{}, hearth.Errorf(hearth.ErrInvalidZip, "Could not unzip uploaded file. Please check your file, then try to upload again.")
	}
	sum := sha256.Sum256(archive)
	digest := hex.EncodeToString(sum[:])
	m.code[digest] = bytes.Clone(archive)
	return hearth.Code{Digest: digest, Size: int64(len(archive))}, nil
}

func (m *memFunctions) stampLocked(f *hearth.Function) {
	m.revisions++
	f.Latest.Revision = fmt.Sprintf("00000000-0000-4000-9000-%012d", m.revisions)
	f.Latest.LastModified = m.now().UTC()
	m.functions[f.Name] = f
}

func (m *memFunctions) Create(_ context.Context, f *hearth.Function, archive []byte) (*hearth.Function, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.functions[f.Name] != nil {
		return nil, hearth.Errorf(hearth.ErrConflict, "exists: %s", f.Name)
	}
	code, err := m.storeLocked(archive)
	if err != nil {
		return nil, err
	}
	g := f.Clone()
	g.Created = m.now().UTC()
	g.Latest.Function, g.Latest.Number, g.Latest.Code = f.Name, hearth.Latest, code
	m.stampLocked(g)
	return g, nil
}

func (m *memFunctions) Update(_ context.Context, name string, u registry.Update) (*hearth.Function, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.functions[name]
	if old == nil {
		return nil, hearth.Errorf(hearth.ErrNotFound, "no function %s", name)
	}
	if u.IfRevision != "" && u.IfRevision != old.Latest.Revision {
		return nil, hearth.Errorf(hearth.ErrPrecondition, "revision")
	}
	g := old.Clone()
	if u.Edit != nil {
		if err := u.Edit(g); err != nil {
			return nil, err
		}
	}
	if u.Zip != nil {
		code, err := m.storeLocked(u.Zip)
		if err != nil {
			return nil, err
		}
		g.Latest.Code = code
	}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	m.stampLocked(g)
	if u.Publish {
		m.publishLocked(g, nil)
	}
	return g, nil
}

func (m *memFunctions) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.functions[name] == nil {
		return hearth.Errorf(hearth.ErrNotFound, "no function %s", name)
	}
	m.numbers[name] = m.functions[name].Published
	delete(m.functions, name)
	m.deleted++
	return nil
}

func (m *memFunctions) Generation() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(m.revisions + m.deleted)
}

func (m *memFunctions) Get(name string) (*hearth.Function, error) {
	if name == "no-such-luck" {
		panic("a bug in finding functions")
	}
	f, _, err := m.Resolve(name, "")
	return f, err
}

func (m *memFunctions) List() []*hearth.Function {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*hearth.Function
	for _, f := range m.functions {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *hearth.Function) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (m *memFunctions) Resolve(name, qualifier string) (*hearth.Function, *hearth.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.functions[name]
	if f == nil {
		return nil, nil, hearth.Errorf(hearth.ErrNotFound, "no function %s:%s", name, qualifier)
	}
	if a := f.Alias(qualifier); a != nil {
		qualifier = a.Version
	}
	if v := f.Version(qualifier); v != nil {
		return f, v, nil
	}
	return nil, nil, hearth.Errorf(hearth.ErrNotFound, "no function %s:%s", name, qualifier)
}

func (m *memFunctions) State(string) hearth.FunctionState {
	return hearth.FunctionState{State: "Active", UpdateStatus: "Successful"}
}

func (m *memFunctions) OpenCode(_ context.Context, digest string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	archive, ok := m.code[digest]
	if !ok {
		return nil, hearth.Errorf(hearth.ErrNotFound, "no code %s", digest)
	}
	return io.NopCloser(bytes.NewReader(archive)), nil
}

// memInvoker runs functions in this process. What a function does is its handler's
// name; a handler that needs words finds them in the function's description.
type memInvoker struct {
	functions *memFunctions
	mu        sync.Mutex
	served    map[string]uint64
	block     chan struct{} // handler "wait" waits for it, or for ctx
	waiting   chan struct{} // and says here that it does

	ctx    context.Context // of what was started
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

func newMemInvoker(functions *memFunctions) *memInvoker {
	ctx, cancel := context.WithCancel(context.Background())
	return &memInvoker{functions: functions, ctx: ctx, cancel: cancel, served: map[string]uint64{}, block: make(chan struct{}), waiting: make(chan struct{}, 16)}
}

func (m *memInvoker) Start(r *invoke.Request, done hearth.Completion) {
	if r.Function == "panic" { // on the goroutine that Start was called on
		done.Complete(m.Invoke(m.ctx, r))
		return
	}
	m.tasks.Go(func() { done.Complete(m.Invoke(m.ctx, r)) })
}

// close ends what is under way.
func (m *memInvoker) close() {
	m.cancel()
	m.tasks.Wait()
}

func (m *memInvoker) Invoke(ctx context.Context, r *invoke.Request) (*hearth.Result, error) {
	f, v, err := m.functions.Resolve(r.Function, r.Qualifier)
	if err != nil {
		return nil, err
	}
	if f.Reserved != nil && *f.Reserved == 0 {
		return nil, hearth.Errorf(hearth.ErrReservedLimit, "Rate Exceeded.")
	}
	m.mu.Lock()
	m.served[f.Name]++
	n := m.served[f.Name]
	m.mu.Unlock()
	if r.HTTP.Form != 0 { // as handlers get it
		whole := *r
		if whole.Payload, err = packed.Whole(r.Payload, r.HTTP, r.ID); err != nil {
			return nil, err
		}
		r = &whole
	}
	result := &hearth.Result{Instance: "i00000000000a", Seq: n, Cold: n == 1, Version: v.Number}
	if r.WantLog {
		result.LogTail = []byte("START RequestId: " + r.ID + " Version: $LATEST\nEND RequestId: " + r.ID + "\n")
	}
	switch v.Config.Handler {
	case "echo":
		result.Payload = bytes.Clone(r.Payload)
	case "proxy": // the event as the body of a proxy answer
		body := string(r.Payload)
		if r.HTTP.Form != 0 && len(body) >= 512 { // as the shims do
			body, result.Body = "", r.Payload
		}
		result.Payload, _ = json.Marshal(map[string]any{"statusCode": 201, "body": body,
			"multiValueHeaders": map[string][]string{"Set-Cookie": {"a=1", "b=2"}}})
	case "request":
		result.Payload, _ = json.Marshal(map[string]any{
			"id": r.ID, "function": r.Function, "qualifier": r.Qualifier, "arn": r.InvokedARN,
			"context": string(r.ClientContext), "trace": r.TraceID, "payload": string(r.Payload),
		})
	case "say":
		result.Payload = []byte(v.Config.Description)
	case "fail":
		result.FunctionError = hearth.Unhandled
		result.Payload = []byte(`{"errorType":"TypeError","errorMessage":"x is not\na function","trace":["at y"]}`)
	case "full":
		return nil, hearth.Errorf(hearth.ErrCapacity, "This node has no room: 64 MB are free and 128 MB are needed.")
	case "busy":
		return nil, hearth.Errorf(hearth.ErrAccountLimit, "Rate Exceeded.")
	case "broken":
		return nil, fmt.Errorf("the disk is on fire")
	case "panic":
		panic("a bug")
	case "wait":
		m.waiting <- struct{}{}
		select {
		case <-m.block:
			result.Payload = []byte(`"waited"`)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	default:
		result.FunctionError = hearth.Unhandled
		result.Payload = []byte(`{"errorType":"Runtime.HandlerNotFound","errorMessage":"no such handler"}`)
	}
	return result, nil
}

// Provisioned has half of ten executions ready, for every version.
func (m *memPlatform) Provisioned(*hearth.Version) hearth.ProvisionState {
	return hearth.ProvisionState{Allocated: 10, Available: 5}
}

// memPlatform tells of the instances that it is given.
type memPlatform struct {
	started time.Time
	list    []hearth.InstanceInfo
	fns     *memFunctions
}

func (m *memPlatform) Status() hearth.Status {
	return hearth.Status{
		Version: "test", Started: m.started, Isolation: "none", Runtimes: []string{"go"},
		Functions: len(m.fns.List()), Instances: len(m.list), MemoryMB: 1024,
	}
}

func (m *memPlatform) Instances(function string) []hearth.InstanceInfo {
	var list []hearth.InstanceInfo
	for _, i := range m.list {
		if function == "" || i.Function == function {
			list = append(list, i)
		}
	}
	return list
}
