package registry

import "hearth/internal/hearth"

// nodeState is how far this node is with a function.
type nodeState struct {
	version string // ID of the version that it is about
	state   hearth.FunctionState
}

// The states that the registry sets by itself. Words and codes are Lambda's.
var (
	creating = hearth.FunctionState{State: "Pending", Reason: "The function is being created.", ReasonCode: "Creating"}
	updating = hearth.FunctionState{State: "Active", UpdateStatus: "InProgress", UpdateReason: "The function is being updated."}
	active   = hearth.FunctionState{State: "Active", UpdateStatus: "Successful"}
)

// next is the state after old has become f. What was in the store when the node
// started is Active: it was so before.
func (s nodeState) next(old, f *hearth.Function, loading bool) nodeState {
	switch {
	case loading:
		return nodeState{f.Latest.ID(), active}
	case old != nil && old.Latest.ID() == f.Latest.ID():
		return s
	case old != nil && s.state.State == active.State:
		return nodeState{f.Latest.ID(), updating}
	}
	return nodeState{f.Latest.ID(), creating}
}

// State tells how far this node is with a function: Pending from its creation until
// SetState, and Active with an update InProgress when code or configuration have
// changed. It is the zero value for a function that does not exist.
func (r *Registry) State(name string) hearth.FunctionState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[name].state
}

// SetState says how far this node is with a function's version, id being its
// Version.ID: typically Active with UpdateStatus Successful once the code is
// unpacked, or Failed with words. It does nothing, and returns false, if the function
// has moved on to another version or is gone. States are this node's own and not
// stored.
func (r *Registry) SetState(name, id string, state hearth.FunctionState) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.states[name]
	if !ok || s.version != id {
		return false
	}
	r.states[name] = nodeState{id, state}
	return true
}
